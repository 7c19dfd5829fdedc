package daemon

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// newLog writes one line an event to w. The journal stamps each line itself: there lines have no
// time. A person at a terminal gets the time of day alone.
func newLog(w io.Writer, journal bool, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.ReplaceAttr = shortTime
	} else if journal {
		o.ReplaceAttr = noTime
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func shortTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
	}
	return a
}

func noTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
