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
	above bool       // it stands above a question, where the cursor is
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

// ask shows the line of progress and below it a question. The line goes on being updated until asked.
func (s *screen) ask(text string, deadline time.Time, question string) {
	s.above = false
	s.progress(text, deadline)
	fmt.Fprintf(s.w, "\n%s", shorten(question, s.room(answerWidth)))
	s.shown, s.above = false, true
}

// reword has the question that stands begin with "Or type" instead of "Type", or the other way round; what
// was typed at it moves along (ICH and DCH).
func (s *screen) reword(or bool) {
	if or {
		fmt.Fprint(s.w, "\x1b7\r\x1b[3@Or t\x1b8\x1b[3C")
	} else {
		fmt.Fprint(s.w, "\x1b7\r\x1b[3PT\x1b8\x1b[3D")
	}
}

// asked says that the question was answered, or left: the cursor is elsewhere.
func (s *screen) asked() { s.above = false }

// answerWidth is what a question leaves free for its answer, in columns.
const answerWidth = 16

// progress shows what is waited for, and how long it still may be.
func (s *screen) progress(text string, deadline time.Time) {
	text = client.Show(text)
	rest := ""
	if !deadline.IsZero() {
		rest = " (" + left(deadline) + " left)"
	}
	switch {
	case s.above:
		// Save the cursor, go up, and come back to where somebody types (DECSC and DECRC).
		fmt.Fprintf(s.w, "\x1b7\x1b[1A\r%s%s\x1b[K\x1b8", shorten(text, s.room(1+len(rest))), rest)
	case s.live:
		fmt.Fprintf(s.w, "\r%s%s\x1b[K", shorten(text, s.room(1+len(rest))), rest)
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

// clear takes the line of progress away; one above a question stays as it is.
func (s *screen) clear() {
	s.above = false
	if s.shown {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.shown = false
	}
}

// room is how many columns are left beside used ones, at least one; 0, which is no bound, where the width
// is not known.
func (s *screen) room(used int) int {
	width := s.width()
	if width <= 0 {
		return 0
	}
	return max(1, width-used)
}

// shorten cuts text to so many columns in its middle: what to do often stands at the end.
func shorten(text string, columns int) string {
	if fit(text, columns) == text {
		return text
	}
	runes := []rune(text)
	// The end gets less than half: it begins in mid-sentence.
	room := (columns - 1) * 2 / 5
	from := len(runes)
	for from > 0 && columnsOf(runes[from-1]) <= room {
		from--
		room -= columnsOf(runes[from])
	}
	end := string(runes[from:])
	used := 0
	for _, r := range end {
		used += columnsOf(r)
	}
	return fit(text, columns-used) + end
}

// fit cuts text to so many columns, at its end; 0 columns are no bound.
func fit(text string, columns int) string {
	if columns <= 0 {
		return text
	}
	used := 0
	for i, r := range text {
		width := columnsOf(r)
		if used+width > columns-1 && i+len(string(r)) < len(text) {
			return text[:i] + "…"
		}
		used += width
	}
	return text
}

// columnsOf is how wide a character is: two columns for those of East Asia and pictures.
func columnsOf(r rune) int {
	if r >= 0x1100 && (r < 0x2000 || r > 0x206F) { // the punctuation between is narrow
		return 2
	}
	return 1
}
