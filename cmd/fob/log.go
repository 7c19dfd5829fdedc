package main

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// logPage is how many entries are asked for at once.
const logPage = 100

// maxLogNumber is the most entries that -n asks for.
const maxLogNumber = 10000

func (a *app) logCmd() *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show what was decided, and check that nobody changed it",
		Long: `Show the newest decisions, oldest first. Each has its number in the log's chain;
the receipt of an approval can be checked with fob log receipt. With --since all
entries from then on are shown, unless -n says how many. --request shows what
else is known of them.

A service's name alone is that of all who ask under it: mailer finds
app:1000:mailer, and app:0:mailer that root began. A method that was removed is
named by its whole id, as --json shows it. A kind or a decision may be put as
shown, such as "wrong code", or as in --json, such as wrong-code.

A time is a span up to now, such as 24h or 7d, a date, or a time as in
2026-01-31T12:00:00Z. A date in --until is included.

--json prints one entry a line, also with --follow: that is the export.

--verify has the daemon check the whole log: the chain, its own signatures and
the keys'. --head checks that a head which you have noted elsewhere is in it:
its hash as fob status shows it, or number:hash. Exit code 7 says that the log
does not hold.`,
		Example: `  fob log -n 5
  fob log --decision denied --since 7d --service mailer
  fob log --kind "new sign-in method" --method Blue
  fob log --follow
  fob log --json --since 2026-01-01 >log.jsonl
  fob log --verify --head 1041:5f0c…
  fob log receipt 3kx9v2ab`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := o.query(cmd, time.Now())
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if o.verify {
				return a.verifyLog(cmd.Context(), c, o.head)
			}
			if cmd.Flags().Changed("method") {
				if query.Method, err = a.logMethod(cmd.Context(), o.user, o.method); err != nil {
					return err
				}
			}
			entries := lastEntries(cmd.Context(), c, query, o.number)
			if !o.since.IsZero() && !cmd.Flags().Changed("number") {
				entries = entriesAfter(cmd.Context(), c, query)
			}
			if o.follow {
				return a.followLog(cmd.Context(), c, query, entries)
			}
			none := "Nothing was decided yet."
			if query != (client.LogQuery{}) {
				none = "The log has no such entry."
			}
			return a.showLog(entries, none, o.request != "")
		},
	}
	o.flags(cmd)
	completeFunc(cmd, "method", a.completeMethods(&o.user))
	cmd.AddCommand(a.receiptCmd())
	return cmd
}

// showLog prints entries, or none where there are none; in detail, also what the table has no room for.
func (a *app) showLog(entries iter.Seq2[api.LogEntry, error], none string, detail bool) error {
	var all []api.LogEntry
	for e, err := range entries {
		if err != nil {
			return err
		}
		if !a.json {
			all = append(all, e)
			continue
		}
		if err := a.printJSONLine(e); err != nil {
			return err
		}
	}
	switch {
	case a.json:
		return nil
	case len(all) == 0:
		_, err := fmt.Fprintln(a.out, none)
		return err
	}
	if err := (&logTable{app: a}).print(all); err != nil || !detail {
		return err
	}
	for _, e := range all {
		if err := a.printLogDetail(e); err != nil {
			return err
		}
	}
	return nil
}

// logHeader are the log's columns. The last takes the room that is left.
var logHeader = []string{"NO", "TIME", "DECISION", "KIND", "USER", "SERVICE", "BY", "REQUEST", "WHY"}

// logTable shows entries as a table that can go on: a column keeps its width until something wider comes.
type logTable struct {
	app   *app
	width []int // of all columns but the last; nil: the header was not printed yet
}

// print prints entries, before the first ones the header.
func (t *logTable) print(entries []api.LogEntry) error {
	if len(entries) == 0 {
		return nil
	}
	var rows [][]string
	if t.width == nil {
		t.width = make([]int, len(logHeader)-1)
		rows = append(rows, logHeader)
	}
	for _, e := range entries {
		rows = append(rows, cells(logRow(e)))
	}
	for _, row := range rows {
		for i := range t.width {
			t.width[i] = max(t.width[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		used := 0
		for i, width := range t.width {
			line.WriteString(row[i] + strings.Repeat(" ", width-utf8.RuneCountInString(row[i])+2))
			used += width + 2
		}
		line.WriteString(fit(row[len(t.width)], t.app.room(used)))
		if _, err := fmt.Fprintln(t.app.out, line.String()); err != nil {
			return err
		}
	}
	return nil
}

// minWhy is how many columns a reason gets on the narrowest terminal.
const minWhy = 30

// room is how many columns of the terminal are left beside used ones, but not less than minWhy; 0,
// which is no bound, where the results do not go to a terminal.
func (a *app) room(used int) int {
	if a.width <= 0 {
		return 0
	}
	return max(minWhy, a.width-used)
}

func logRow(e api.LogEntry) []string {
	by := e.MethodName
	if e.Strength != "" && e.Strength != noStrength {
		if by != "" {
			by += " "
		}
		by += "(" + e.Strength + ")"
	}
	why := e.Reason
	if why == e.Decision {
		why = "" // it says nothing more
	}
	return []string{strconv.FormatUint(e.Seq, 10), when(e.Time), decisionName(e.Decision), kindName(e.Kind), e.User, e.Service, by, e.Request, why}
}

// printLogDetail shows what else is known of an entry, if anything.
func (a *app) printLogDetail(e api.LogEntry) error {
	said := func(name, text string) string {
		if text = client.Show(text); text == "" || slices.Contains(e.Vouched, name) {
			return text
		}
		return text + "  (claimed)"
	}
	details := [][2]string{
		{"origin", said("origin", e.Origin)},
		{"host", said("host", e.Host)},
		{"SSH key", said("ssh_key", e.SSHKey)},
		{"program", said("command", e.Executable)},
		{"vouched for", strings.Join(e.Vouched, ", ")},
		{"tried", strings.Join(e.Tried, "; ")},
		{"remembered", e.Grant},
	}
	if !slices.ContainsFunc(details, func(d [2]string) bool { return d[1] != "" }) {
		return nil
	}
	fmt.Fprintf(a.out, "\nEntry %d, from a place that is %s:\n", e.Seq, client.Show(e.Place))
	return facts(a.out, details...)
}

// The log's words for a typed code that was not accepted, and for a tap that does not count because the
// key's counter went back. Such entries decide nothing by themselves.
const (
	wrongCode     = "wrong-code"
	possibleClone = "possible-clone"
)

func decisionName(decision string) string {
	switch decision {
	case wrongCode:
		return "wrong code"
	case possibleClone:
		return "possible clone"
	}
	return decision
}
