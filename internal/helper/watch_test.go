package helper

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watchChild watches by a child of its own, until tell fails or cancels, and gives what it said.
func watchChild(t *testing.T, behaviour string, tell func(cancel func(), said []string) error) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), plenty)
	defer cancel()
	var said []string
	err := Watch(ctx, Options{Path: os.Args[0], Args: []string{childArg, behaviour}, Grace: 200 * time.Millisecond}, func(b json.RawMessage) error {
		said = append(said, string(b))
		return tell(cancel, said)
	})
	// It has been waited for: this process has no child that it does not know.
	if _, none := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(none, unix.ECHILD) {
		t.Errorf("a child is left: %v", none)
	}
	return said, err
}

func TestWatch(t *testing.T) {
	all := func(func(), []string) error { return nil }
	t.Run("gives what the process says, until it is cancelled", func(t *testing.T) {
		said, err := watchChild(t, "watch", func(cancel func(), said []string) error {
			if len(said) == 3 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || !slices.Equal(said, []string{"0", "1", "2"}) {
			t.Errorf("%q, %v", said, err)
		}
	})
	t.Run("ends a process that talks on", func(t *testing.T) {
		start := time.Now()
		said, err := watchChild(t, "watch-stubborn", func(cancel func(), said []string) error {
			if len(said) == 20 {
				cancel()
			}
			return nil
		})
		if d := time.Since(start); !errors.Is(err, context.Canceled) || len(said) > 21 || d < 150*time.Millisecond || d > 2*time.Second {
			t.Errorf("after %v it said %d things: %v", d, len(said), err)
		}
	})
	for behaviour, want := range map[string]error{
		"watch-garbage": ErrGarbage, "watch-long": ErrGarbage, "watch-done": ErrGarbage, "noise": ErrGarbage, "no-begun": ErrGarbage,
		"watch-crash": ErrCrashed, "exit-at-once": ErrCrashed, "watch-too-much": ErrCrashed,
	} {
		t.Run("blames a process that does "+behaviour, func(t *testing.T) {
			said, err := watchChild(t, behaviour, all)
			if !errors.Is(err, want) || len(said) > 1 {
				t.Errorf("%q, %v", said, err)
			}
			if errors.Is(want, ErrCrashed) && !strings.Contains(err.Error(), "exit status") {
				t.Errorf("%v does not say how it ended", err)
			}
		})
	}
	t.Run("blames a process whose words are not taken", func(t *testing.T) {
		no := errors.New("no")
		said, err := watchChild(t, "watch", func(func(), []string) error { return no })
		if !errors.Is(err, ErrGarbage) || !errors.Is(err, no) || len(said) != 1 {
			t.Errorf("%q, %v", said, err)
		}
	})
	t.Run("says that a program is not there", func(t *testing.T) {
		err := Watch(t.Context(), Options{Path: "/nonexistent"}, func(json.RawMessage) error { return nil })
		if !errors.Is(err, ErrStart) {
			t.Error(err)
		}
	})
}
