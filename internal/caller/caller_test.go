package caller_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/caller"
)

func TestAccess(t *testing.T) {
	me := caller.Caller{UID: 1000, Door: caller.DoorSocket}
	other := caller.Caller{UID: 1001, Door: caller.DoorSocket}
	root := caller.Caller{UID: 0, Door: caller.DoorBus}
	nobody := caller.Caller{UID: 1000} // no door vouches for it
	nobodyRoot := caller.Caller{}
	mine, system := caller.Instance{Owner: 1000}, caller.Instance{System: true}
	mineOfRoot := caller.Instance{Owner: 0}
	var undeclared caller.Access
	cases := []struct {
		rule    caller.Access
		who     caller.Caller
		where   caller.Instance
		allowed bool
	}{
		{caller.AccessOwner, me, mine, true}, {caller.AccessOwner, other, mine, false}, {caller.AccessOwner, root, mine, false},
		{caller.AccessAdmin, me, mine, true}, {caller.AccessAdmin, other, mine, false}, {caller.AccessAdmin, root, mine, false},
		{caller.AccessRoot, me, mine, false}, {caller.AccessRoot, root, mine, false},
		{caller.AccessOwner, me, system, true}, {caller.AccessOwner, other, system, true}, {caller.AccessOwner, root, system, true},
		{caller.AccessAdmin, me, system, false}, {caller.AccessAdmin, root, system, true},
		{caller.AccessRoot, me, system, false}, {caller.AccessRoot, root, system, true},
		{caller.AccessRoot, root, mineOfRoot, false}, // root's own instance is a user's
		{caller.AccessOwner, nobody, mine, false}, {caller.AccessOwner, nobody, system, false}, {caller.AccessRoot, nobodyRoot, system, false},
		{undeclared, me, mine, false}, {undeclared, root, system, false}, {caller.Access(99), root, system, false}, {caller.Access(99), me, mine, false},
	}
	for _, c := range cases {
		err := c.rule.Check(c.who, c.where)
		if (err == nil) != c.allowed || (err != nil && !errors.Is(err, caller.ErrForbidden)) {
			t.Errorf("rule %v for %+v at %+v: %v", c.rule, c.who, c.where, err)
		}
	}
	if err := caller.AccessRoot.Check(root, mineOfRoot); err == nil || strings.Contains(err.Error(), "root's") || !strings.Contains(err.Error(), "fobd --system") {
		t.Errorf("root at an own instance is told: %v", err)
	}
	if undeclared.Declared() || caller.Access(99).Declared() || !caller.AccessRoot.Declared() {
		t.Error("Declared is wrong")
	}
}

func TestClean(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"leaves plain text alone", "sudo apt update", "sudo apt update"},
		{"leaves other scripts alone", "Ærø, 東京, سلام", "Ærø, 東京, سلام"},
		{"removes escape sequences", "a\x1b[31mb", "a[31mb"},
		{"removes bidirectional overrides", "user\u202etxt.exe\u2066", "usertxt.exe"},
		{"removes invisible characters", "a\u200b\u00ad\ufeff\U000e0041b", "ab"},
		{"folds white space, line breaks among it", " a\r\n\t b\u2028\u00a0c ", "a b c"},
		{"marks what is not UTF-8", "a\xff\xc0b", "a\ufffd\ufffdb"},
		{"gives nothing for nothing", "\n\x00\t", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := caller.Clean(c.in).String(); got != c.want {
				t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
	long := caller.Clean(strings.Repeat("é", 5000)).String()
	if n := utf8.RuneCountInString(long); n != caller.MaxText || !strings.HasSuffix(long, "…") {
		t.Errorf("long text has %d runes and ends in %q", n, long[len(long)-3:])
	}
	var fromJSON caller.Text
	if err := json.Unmarshal([]byte(`"a\u0007b"`), &fromJSON); err != nil || fromJSON.String() != "ab" {
		t.Errorf("from JSON: %q, %v", fromJSON, err)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "plain", "a\x1b[0m", "\u202e", "\xff", " \n ", strings.Repeat("x", 300), "a\u0301", "\U000e0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out := caller.Clean(in).String()
		if !utf8.ValidString(out) || utf8.RuneCountInString(out) > caller.MaxText {
			t.Fatalf("Clean(%q) = %q", in, out)
		}
		for _, r := range out {
			if !unicode.IsGraphic(r) || (unicode.IsSpace(r) && r != ' ') {
				t.Fatalf("Clean(%q) keeps %U", in, r)
			}
		}
		if again := caller.Clean(out).String(); again != out {
			t.Fatalf("Clean is not stable: %q, then %q", out, again)
		}
	})
}
