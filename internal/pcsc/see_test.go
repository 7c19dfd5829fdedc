package pcsc

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ebfe/scard"

	"github.com/fobproject/fob/internal/card"
)

// What the virtual readers cannot do: be plugged in and unplugged while pcscd runs, and have a card changed between
// two looks.
func TestSee(t *testing.T) {
	const in, out = scard.StatePresent, scard.StateEmpty
	at := func(name string, state scard.StateFlag, count int) scard.ReaderState {
		return scard.ReaderState{Reader: name, EventState: state | scard.StateFlag(count)<<16}
	}
	for _, c := range []struct {
		name  string
		looks [][]scard.ReaderState
		want  []string
	}{
		{"a reader comes and goes", [][]scard.ReaderState{{}, {at("a", in, 1)}, {at("a", in, 1), at("b", out, 0)}, {at("b", out, 0)}, {}},
			[]string{"", "a+", "a+ b-", "b-", ""}},
		{"the same is no news", [][]scard.ReaderState{{at("a", in, 1)}, {at("a", in|scard.StateInuse, 1)}, {at("a", in, 1)}}, []string{"a+"}},
		{"a card is changed between two looks", [][]scard.ReaderState{{at("a", in, 1), at("b", in, 9)}, {at("a", in, 3), at("b", in, 9)}}, []string{"a+ b+", "a- b+", "a+ b+"}},
		{"a card that is counted late was not changed", [][]scard.ReaderState{{at("a", out, 0)}, {at("a", in, 0)}, {at("a", in, 1)}}, []string{"a-", "a+"}},
		{"a card is changed, and counted late", [][]scard.ReaderState{{at("a", in, 1)}, {at("a", in, 2)}, {at("a", in, 3)}}, []string{"a+", "a-", "a+"}},
		{"the count begins anew", [][]scard.ReaderState{{at("a", in, 0xffff)}, {at("a", in, 1)}}, []string{"a+", "a-", "a+"}},
		{"a card lies the wrong way round", [][]scard.ReaderState{{at("a", in|scard.StateMute, 1)}, {at("a", out, 2)}}, []string{"a+m", "a-"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told []string
			w := watcher{tell: func(readers []card.Reader, err error) error {
				text := ""
				for _, r := range readers {
					text += fmt.Sprintf(" %s%s%s", r.Name, map[bool]string{true: "+", false: "-"}[r.Card], map[bool]string{true: "m"}[r.Mute])
				}
				told = append(told, text[min(len(text), 1):])
				return err
			}}
			for _, states := range c.looks {
				if err := w.see(states); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(told, c.want) {
				t.Errorf("it tells %q, not %q", told, c.want)
			}
		})
	}
}
