package provision

import (
	"errors"
	"fmt"
	"strings"
)

// ErrFile is wrapped by the errors of a file that cannot be read, or not to its end.
var ErrFile = errors.New("cannot read the file")

// maxTokens bounds a file's tokens, good and bad.
const maxTokens = 250_000

// errStopped says that whoever asked for tokens wants no more.
var errStopped = errors.New("no more tokens are wanted")

// rows hands on a file's tokens, each as soon as it is read.
type rows struct {
	yield func(Seed, error) bool
	lines map[string]int // where each serial number, without regard to case, was accepted
	count int
}

// put yields a token, or why it cannot be taken: the reason, if there is one, or what put itself
// finds. It owns s.Secret. Its errors end the file.
func (r *rows) put(s Seed, reason string) error {
	if r.count++; r.count > maxTokens {
		s.Secret.Wipe()
		return fmt.Errorf("%w: line %d: it has more than %d tokens: split it", ErrFile, s.Line, maxTokens)
	}
	s.tidy()
	if reason == "" {
		reason = s.fault()
	}
	key := strings.ToUpper(s.Serial)
	if reason == "" {
		if line, twice := r.lines[key]; twice {
			reason = fmt.Sprintf("its serial number is that of the token in line %d", line)
		}
	}
	if reason != "" {
		s.Secret.Wipe()
		if serialFault(s.Serial) != "" {
			s.Serial = ""
		}
		return r.stopUnless(r.yield(Seed{Line: s.Line, Serial: s.Serial}, &RowError{Line: s.Line, Serial: s.Serial, Reason: reason}))
	}
	if r.lines == nil {
		r.lines = map[string]int{}
	}
	r.lines[key] = s.Line
	return r.stopUnless(r.yield(s, nil))
}

func (r *rows) stopUnless(more bool) error {
	if !more {
		return errStopped
	}
	return nil
}

// end yields what ended the file.
func (r *rows) end(err error) {
	if err != nil && !errors.Is(err, errStopped) {
		r.yield(Seed{}, err)
	}
}
