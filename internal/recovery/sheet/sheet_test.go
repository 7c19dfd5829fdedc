package sheet_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/recovery/sheet"
	"github.com/fobproject/fob/internal/secret"
)

func info() sheet.Info {
	i := sheet.Info{User: "alice", Host: "desk.example", Made: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	for n := range 10 {
		i.Codes = append(i.Codes, secret.New(fmt.Appendf(nil, "abcd-efgh-jkmn-pqr%d", n)))
	}
	return i
}

func TestWrite(t *testing.T) {
	t.Run("shows whose codes they are, and each with its number, in two columns", func(t *testing.T) {
		var page bytes.Buffer
		if err := sheet.Write(&page, info()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"alice\n", "desk.example\n", "1 March 2026\n", "works once", "passport",
			"fob methods lost METHOD ", "fob methods add key --name NAME ", "A code by itself signs you in only where\npolicy lets",
			"   1  abcd-efgh-jkmn-pqr0         6  abcd-efgh-jkmn-pqr5\n",
			"   5  abcd-efgh-jkmn-pqr4        10  abcd-efgh-jkmn-pqr9\n",
		} {
			if !strings.Contains(page.String(), want) {
				t.Errorf("it lacks %q:\n%s", want, page.String())
			}
		}
	})
	t.Run("fits 80 columns, whatever the names", func(t *testing.T) {
		i := info()
		i.User, i.Host = strings.Repeat("w", 300), strings.Repeat("名", 300)
		var page bytes.Buffer
		if err := sheet.Write(&page, i); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(page.String()) {
			columns := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) + strings.Count(line, "名")
			if columns > 80 {
				t.Errorf("%d columns: %s", columns, line)
			}
		}
	})
	t.Run("prints an odd number of codes", func(t *testing.T) {
		i := info()
		i.Codes = i.Codes[:3]
		var page bytes.Buffer
		if err := sheet.Write(&page, i); err != nil || !strings.Contains(page.String(), "   2  abcd-efgh-jkmn-pqr1\n") {
			t.Errorf("%v:\n%s", err, page.String())
		}
	})
	t.Run("cleans names of what moves a terminal", func(t *testing.T) {
		i := info()
		i.User, i.Host = "al\x1b[2Jice", "de\u202esk\n  User      root"
		var page bytes.Buffer
		if err := sheet.Write(&page, i); err != nil || strings.ContainsAny(page.String(), "\x1b\u202e") || strings.Contains(page.String(), "\n  User      root") {
			t.Errorf("%v:\n%q", err, page.String())
		}
	})
	for name, codes := range map[string][]*secret.Secret{
		"no codes":                        nil,
		"a code that is empty":            {secret.New(nil)},
		"a code that is missing":          {nil},
		"a code that moves a terminal":    {secret.New([]byte("abcd\x1b[2J"))},
		"a code without end":              {secret.New(bytes.Repeat([]byte("a"), 1000))},
		"more codes than a page can hold": make([]*secret.Secret, 101),
	} {
		t.Run("writes nothing for "+name, func(t *testing.T) {
			i := info()
			i.Codes = codes
			var page bytes.Buffer
			if err := sheet.Write(&page, i); err == nil || page.Len() > 0 || strings.Contains(err.Error(), "abcd") {
				t.Errorf("got %v:\n%s", err, page.String())
			}
		})
	}
	t.Run("says at what printer it failed", func(t *testing.T) {
		broken := errors.New("no paper")
		for n := range 40 {
			if err := sheet.Write(&printer{pages: n, err: broken}, info()); n < 30 && !errors.Is(err, broken) {
				t.Errorf("after %d writes: %v", n, err)
			}
		}
	})
}

// printer takes so many writes.
type printer struct {
	pages int
	err   error
}

func (p *printer) Write(b []byte) (int, error) {
	if p.pages--; p.pages < 0 {
		return 0, p.err
	}
	return len(b), nil
}
