package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/fobproject/fob/internal/client"
)

// screen shows on stderr what is going on: on a terminal one line that is updated, elsewhere a line
// at each change.
type screen struct {
	w     io.Writer
	live  bool       // the line can be updated
	width func() int // of the terminal in columns; 0 if unknown
	shown bool       // the line of progress is on the screen
	last  string
}

func newScreen(f *os.File) *screen {
	fd := int(f.Fd())
	return &screen{
		w:    f,
		live: term.IsTerminal(fd) && os.Getenv("TERM") != "dumb",
		width: func() int {
			width, _, err := term.GetSize(fd)
			if err != nil {
				return 0
			}
			return width
		},
	}
}

// progress shows what is waited for, and how long it still may be.
func (s *screen) progress(text string, deadline time.Time) {
	text = client.Show(text)
	rest := ""
	if !deadline.IsZero() {
		rest = " (" + left(deadline) + " left)"
	}
	switch {
	case s.live:
		fmt.Fprintf(s.w, "\r%s%s\x1b[K", fit(text, s.width()-1-len(rest)), rest)
		s.shown = true
	case text != s.last:
		fmt.Fprintf(s.w, "%s%s\n", text, rest)
	}
	s.last = text
}

// say shows a line that stays.
func (s *screen) say(format string, args ...any) {
	s.clear()
	fmt.Fprintf(s.w, "%s\n", client.Show(fmt.Sprintf(format, args...)))
}

// clear takes the line of progress away.
func (s *screen) clear() {
	if s.shown {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.shown = false
	}
}

// fit cuts text to so many columns; wide characters count as two.
func fit(text string, columns int) string {
	if columns <= 0 {
		return text
	}
	used := 0
	for i, r := range text {
		width := 1
		if r >= 0x1100 {
			width = 2
		}
		if r == '“' || r == '”' || r == '…' || r == '–' {
			width = 1
		}
		if used+width > columns-1 && i+len(string(r)) < len(text) {
			return text[:i] + "…"
		}
		used += width
	}
	return text
}
