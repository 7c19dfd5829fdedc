package provision

import (
	"bytes"
	"fmt"
	"io"
)

// Bounds of a file, in bytes.
const (
	maxFile  = 256 << 20
	maxEntry = 1 << 20   // of one token, with what stands before it
	maxPiece = 64 << 10  // of one tag, text, value or row
	bufLen   = 128 << 10 // twice a piece, so that little is moved
)

// window is the part of a file that was read and not taken yet. It holds a piece at most, however
// long the file is and whatever is in it, and nothing of what passed through it is left after wipe.
type window struct {
	r        io.Reader
	buf      []byte
	pos, end int   // what was read and not taken
	line     int   // of pos, counted from 1
	total    int64 // bytes read
	marked   int64 // of them, what lay before the last mark
	err      error // what r ended with
}

func newWindow(r io.Reader) window { return window{r: r, buf: make([]byte, bufLen), line: 1} }

// bytes is what was read and not taken. It is valid until more.
func (w *window) bytes() []byte { return w.buf[w.pos:w.end] }

// more reads more behind it, or fails: with io.EOF at the end of the file.
func (w *window) more() error {
	switch {
	case w.err != nil:
		return w.err
	case w.end-w.pos >= maxPiece:
		return w.fault("something here is longer than %d KiB", maxPiece>>10)
	case w.total-w.marked >= maxEntry+bufLen:
		return w.fault("%d KiB go by without a token", maxEntry>>10)
	case w.total > maxFile:
		return w.fault("it is longer than %d MiB: split it", maxFile>>20)
	}
	if w.pos > 0 {
		w.end = copy(w.buf, w.bytes())
		w.pos = 0
	}
	for range 100 {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		w.total += int64(n)
		switch {
		case err == io.EOF:
			w.err = io.EOF
		case err != nil:
			w.err = fmt.Errorf("%w: line %d: %w", ErrFile, w.line, err)
		}
		if n > 0 {
			return nil
		}
		if w.err != nil {
			return w.err
		}
	}
	w.err = fmt.Errorf("%w: line %d: %w", ErrFile, w.line, io.ErrNoProgress)
	return w.err
}

// at gives the byte at i behind pos. Its errors are more's.
func (w *window) at(i int) (byte, error) {
	for w.pos+i >= w.end {
		if err := w.more(); err != nil {
			return 0, err
		}
	}
	return w.buf[w.pos+i], nil
}

// starts reports whether what was not taken starts with a text. The end of the file is no error.
func (w *window) starts(with string) (bool, error) {
	for w.end-w.pos < len(with) {
		if err := w.more(); err != nil {
			if err == io.EOF {
				err = nil
			}
			return false, err
		}
	}
	return string(w.buf[w.pos:w.pos+len(with)]) == with, nil
}

// find gives where, from i on, a text begins. Its errors are more's.
func (w *window) find(i int, text string) (int, error) {
	for {
		if b := w.bytes(); len(b) > i {
			if n := bytes.Index(b[i:], []byte(text)); n >= 0 {
				return i + n, nil
			}
			i = max(i, len(b)-len(text)+1)
		}
		if err := w.more(); err != nil {
			return 0, err
		}
	}
}

// take moves beyond n bytes and returns them. They are valid until more, and may be changed.
func (w *window) take(n int) []byte {
	b := w.buf[w.pos : w.pos+n : w.pos+n]
	w.skip(n, w.lines(n))
	return b
}

// lines is how many lines end in the next n bytes.
func (w *window) lines(n int) int { return bytes.Count(w.bytes()[:n], []byte("\n")) }

// skip moves beyond n bytes, which may have been changed since their lines were counted.
func (w *window) skip(n, lines int) {
	w.pos += n
	w.line += lines
}

// mark says that a token was read: maxEntry counts from here.
func (w *window) mark() { w.marked = w.total - int64(w.end-w.pos) }

// bom takes a byte order mark at the file's beginning, and refuses UTF-16's.
func (w *window) bom() error {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		found, err := w.starts(mark)
		if err != nil {
			return err
		}
		if found && len(mark) == 2 {
			return w.fault("its text is UTF-16: save it as UTF-8")
		}
		if found {
			w.take(len(mark))
		}
	}
	return nil
}

// fault is an error of the file at pos.
func (w *window) fault(format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrFile, w.line, fmt.Sprintf(format, args...))
}

// middle turns the end of the file, where there is no end, into a fault.
func (w *window) middle(err error) error {
	if err == io.EOF {
		return fmt.Errorf("%w: it ends in the middle", ErrFile)
	}
	return err
}

func (w *window) wipe() { clear(w.buf) }
