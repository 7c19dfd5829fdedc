package provision_test

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// The seed of the RFCs' examples: "12345678901234567890".
const (
	rfcSeedHex    = "3132333435363738393031323334353637383930"
	rfcSeedBase32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	rfcSeedBase64 = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="
)

// list gives what a reader yields, a line each: a token with its seed, or what was wrong.
func list(seeds iter.Seq2[provision.Seed, error]) (lines []string) {
	for s, err := range seeds {
		if err != nil {
			lines = append(lines, err.Error())
			continue
		}
		lines = append(lines, line(s))
	}
	return lines
}

func line(s provision.Seed) string {
	return fmt.Sprintf("%d: %s|%s|%s %s %s %d %d %d %x %s",
		s.Line, s.Serial, s.Manufacturer, s.Model, s.Kind, s.Algorithm, s.Digits, s.Period, s.Counter, s.Secret.Reveal(), s.User)
}

// expect fails unless a reader yields these lines, each of which may end in … instead of the rest.
func expect(t *testing.T, seeds iter.Seq2[provision.Seed, error], want ...string) {
	t.Helper()
	got := list(seeds)
	for i, l := range got {
		if i < len(want) {
			if start, found := strings.CutSuffix(want[i], "…"); found && strings.HasPrefix(l, start) {
				got[i] = want[i]
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// all is a sequence of tokens, as a writer takes it.
func all(seeds ...provision.Seed) iter.Seq2[provision.Seed, error] {
	return func(yield func(provision.Seed, error) bool) {
		for _, s := range seeds {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// token is a TOTP token as most are, changed a little.
func token(serial string, change ...func(*provision.Seed)) provision.Seed {
	s := provision.Seed{
		Serial: serial, Manufacturer: "Acme", Model: "T 1", Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30,
		Secret: secret.New([]byte("12345678901234567890")),
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// program is the path of a program that a test compares with.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

func TestRowError(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  provision.RowError
		want string
	}{
		{"says the line and the serial number", provision.RowError{Line: 7, Serial: "X", Reason: "it is blue"}, "line 7 (serial X): it is blue"},
		{"goes without a serial number", provision.RowError{Line: 7, Reason: "it is blue"}, "line 7: it is blue"},
		{"goes without a line", provision.RowError{Serial: "X", Reason: "it is blue"}, "(serial X): it is blue"},
		{"goes without both", provision.RowError{Reason: "it is blue"}, "it is blue"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("says %q, want %q", got, tt.want)
			}
		})
	}
}

// What is in a file is refused here, with its line, or taken by the daemon.
func TestTextIsRefusedUnlessTheDaemonTakesIt(t *testing.T) {
	for _, tt := range []struct {
		name, serial string
		bad          string // part of the reason; empty: it is taken
	}{
		{"takes 64 characters", strings.Repeat("ü", 64), ""},
		{"takes spaces between words", "No 1 2", ""},
		{"takes what only looks like another thing", "=1+2", ""},
		{"takes the character that stands for others", "a�b", ""},
		{"refuses 65 characters", strings.Repeat("1", 65), "longer than 64 characters"},
		{"refuses nothing", "", "no serial number"},
		{"refuses spaces alone", " \t ", "no serial number"},
		{"refuses two spaces in a row", "1  2", "spaces in a row"},
		{"refuses a tab", "1\t2", "control characters"},
		{"refuses an escape", "1\x1b[31m2", "control characters"},
		{"refuses a zero byte", "1\x002", "control characters"},
		{"refuses text that runs backwards", "1\u202e2", "invisible ones"},
		{"refuses a zero-width space", "1\u200b2", "invisible ones"},
		{"refuses a soft hyphen", "1\u00ad2", "invisible ones"},
		{"refuses a line separator", "1\u20282", "invisible ones"},
		{"refuses a private character", "1\ue0002", "invisible ones"},
		{"refuses a space of another width", "1\u00a02", "spaces in a row"},
		{"refuses what is not UTF-8", "1\xff2", "control characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := "serial,secret\n\"" + tt.serial + "\"," + rfcSeedHex + "\n"
			for s, err := range provision.ReadCSV(strings.NewReader(table), hexTable) {
				if (tt.bad == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.bad) {
					t.Fatalf("got %v", err)
				}
				if err == nil && caller.Clean(s.Serial).String() != s.Serial {
					t.Errorf("took %q, of which the daemon would show %q", s.Serial, caller.Clean(s.Serial))
				}
				var row *provision.RowError
				if err != nil && (!errors.As(err, &row) || caller.Clean(err.Error()).String() != err.Error()) {
					t.Errorf("says %q", err)
				}
			}
		})
	}
	t.Run("makes one line of a manufacturer, a model and a user", func(t *testing.T) {
		table := "serial,secret,maker,model,user\n1," + rfcSeedHex + ",\" oath.Acme\n  Inc. \",\"T\t 1\",\" a\r\n b \"\n"
		o := hexTable
		o.Columns.Manufacturer, o.Columns.Model, o.Columns.User = "maker", "model", "user"
		expect(t, provision.ReadCSV(strings.NewReader(table), o), "2: 1|Acme Inc.|T 1 totp SHA1 6 30 0 "+rfcSeedHex+" a b")
	})
}

// The daemon's bounds stand in internal/oath, which a client does not import.
func TestBoundsAreTheDaemons(t *testing.T) {
	o := hexTable
	o.Columns = provision.Columns{Serial: "1", Secret: "2", Type: "3", Algorithm: "4", Digits: "5", Period: "6", Counter: "7"}
	o.NoHeader = true
	for _, kind := range []oath.Kind{oath.HOTP, oath.TOTP, "ocra"} {
		for _, algorithm := range []oath.Algorithm{oath.SHA1, oath.SHA256, oath.SHA512, "MD5"} {
			for _, digits := range []int{oath.MinDigits - 1, oath.MinDigits, oath.MaxDigits, oath.MaxDigits + 1} {
				for _, period := range []int{0, 1, oath.MaxPeriod, oath.MaxPeriod + 1} {
					for _, seedLen := range []int{oath.MinSeed - 1, oath.MinSeed, oath.MaxSeed, oath.MaxSeed + 1} {
						row := fmt.Sprintf("1,%s,%s,%s,%d,%d,%d", strings.Repeat("a1", seedLen), kind, algorithm, digits, period, oath.MaxCounter)
						p := oath.Params{Kind: kind, Algorithm: algorithm, Digits: digits, Period: period}
						if kind == oath.HOTP {
							p.Period = 0
						}
						want := p.Check() == nil && seedLen >= oath.MinSeed && seedLen <= oath.MaxSeed
						for _, err := range provision.ReadCSV(strings.NewReader(row), o) {
							if (err == nil) != want {
								t.Errorf("%s %s %d %d, %d bytes: %v", kind, algorithm, digits, period, seedLen, err)
							}
						}
					}
				}
			}
		}
	}
	for counter, want := range map[uint64]bool{oath.MaxCounter: true, oath.MaxCounter + 1: false, 1<<64 - 1: false} {
		for _, err := range provision.ReadCSV(strings.NewReader(fmt.Sprintf("1,%s,hotp,,,,%d", rfcSeedHex, counter)), o) {
			if (err == nil) != want {
				t.Errorf("counter %d: %v", counter, err)
			}
		}
	}
}

func TestOneReaderStopsWhenNothingMoreIsWanted(t *testing.T) {
	table := "serial,secret\n1," + rfcSeedHex + "\n2,\n3," + rfcSeedHex + "\n"
	for _, n := range []int{1, 2} {
		for range provision.ReadCSV(strings.NewReader(table), hexTable) {
			if n--; n == 0 {
				break // a reader that went on would panic
			}
		}
	}
}

func TestVisible(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"lets plain text be", "Müller & 山田", "Müller & 山田"},
		{"makes one space of many, and of line breaks", " a \t b\u0085c\u3000\r\n", "a b c"},
		{"leaves out what cannot be seen", "a\x00b\u202ec\u2066d\u200be\ufefff\U000e0041", "abcdef"},
		{"leaves no two spaces around it", "a \u200b b \u202e", "a b"},
		{"marks what is not UTF-8", "a\xffb", "a\ufffdb"},
		{"may leave nothing", "\u202e \u200b", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := provision.Visible(tt.text)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if clean := caller.Clean(got).String(); clean != got {
				t.Errorf("%q would be cleaned to %q", got, clean)
			}
		})
	}
}
