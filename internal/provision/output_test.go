package provision_test

import (
	"errors"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision"
)

// testWriter tests what all writers do.
func testWriter(t *testing.T, write func(io.Writer, iter.Seq2[provision.Seed, error]) error) {
	t.Run("passes on the error of whoever has the tokens", func(t *testing.T) {
		broken := errors.New("the daemon is gone")
		seeds := func(yield func(provision.Seed, error) bool) {
			_ = yield(token("1"), nil) && yield(provision.Seed{}, broken)
		}
		if err := write(io.Discard, seeds); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("passes on the error of whoever takes the file", func(t *testing.T) {
		r, w := io.Pipe()
		full := errors.New("the disk is full")
		r.CloseWithError(full)
		if err := write(w, all(token("1"))); !errors.Is(err, full) || !strings.HasPrefix(err.Error(), "cannot write the file: ") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("does not wipe what it writes, and writes much of it", func(t *testing.T) {
		s := token("1")
		n := 0
		seeds := func(yield func(provision.Seed, error) bool) {
			for range 5000 {
				if !yield(s, nil) {
					return
				}
			}
		}
		if err := write(counting{&n}, seeds); err != nil || s.Secret.Len() != 20 || n < 5000*45 {
			t.Errorf("wrote %d bytes, left %d of the seed, %v", n, s.Secret.Len(), err)
		}
	})
}

type counting struct{ n *int }

func (c counting) Write(b []byte) (int, error) {
	*c.n += len(b)
	return len(b), nil
}
