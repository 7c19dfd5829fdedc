package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/client"
)

// printJSON writes v with what a terminal might obey (C1 controls, bidirectional marks) escaped;
// encoding/json escapes the rest.
func (a *app) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write JSON: %w", err)
	}
	_, err = fmt.Fprintln(a.out, escapeJSON(data))
	return err
}

// printJSONLine writes v on one line, at once.
func (a *app) printJSONLine(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot write JSON: %w", err)
	}
	if _, err := fmt.Fprintln(a.out, escapeJSON(data)); err != nil {
		return err
	}
	return a.out.Flush()
}

// escapeJSON works on the whole text since such characters can only stand inside of strings.
func escapeJSON(data []byte) string {
	var b strings.Builder
	for _, r := range string(data) {
		switch {
		case r == '\n' || unicode.IsGraphic(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xD800+(r>>10), 0xDC00+(r&0x3FF))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// table writes aligned columns; each cell is made safe to show, an empty one becomes "–".
func table(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(cells(row), "\t"))
	}
	return t.Flush()
}

// cells are a row's cells as they are shown.
func cells(row []string) []string {
	shown := make([]string, len(row))
	for i, cell := range row {
		if shown[i] = client.Show(cell); shown[i] == "" {
			shown[i] = "–"
		}
	}
	return shown
}

// facts writes "name  value" lines; those without a value are left out.
func facts(w io.Writer, pairs ...[2]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, pair := range pairs {
		if value := client.Show(pair[1]); value != "" {
			fmt.Fprintf(t, "  %s\t%s\n", pair[0], value)
		}
	}
	return t.Flush()
}

// when shows a time as people here write it, shorter where it is of today.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	t = t.Local()
	now := time.Now()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04")
}

// left shows the time until t in seconds, never less than 0.
func left(t time.Time) string {
	return fmt.Sprintf("%d s", max(0, int(time.Until(t).Round(time.Second)/time.Second)))
}

// quoted puts a name in quotation marks, or gives id where there is no name.
func quoted(name, id string) string {
	if name = client.Show(name); name != "" {
		return "“" + name + "”"
	}
	return client.Show(id)
}

// sentence makes text safe to show and begins and ends it as a sentence.
func sentence(text string) string {
	text = strings.TrimRight(client.Show(text), " :")
	if text == "" {
		return ""
	}
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// days says how long something lasts: "90 days", "12 hours", "30 s".
func days(d time.Duration) string {
	switch hours := int(d / time.Hour); {
	case hours >= 48:
		return plural(hours/24, "day", "days")
	case hours >= 2:
		return plural(hours, "hour", "hours")
	case d >= 2*time.Minute:
		return plural(int(d/time.Minute), "minute", "minutes")
	default:
		return fmt.Sprintf("%d s", int(d/time.Second))
	}
}
