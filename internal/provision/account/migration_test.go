package account_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
)

// migration is a link with a message in it.
func migration(message string) string {
	return "otpauth-migration://offline?data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(message)))
}

// field is one of a message's: a number, or text.
func field(number int, value any) string {
	if text, ok := value.(string); ok {
		b := binary.AppendUvarint(nil, uint64(number)<<3|2)
		return string(binary.AppendUvarint(b, uint64(len(text)))) + text
	}
	b := binary.AppendUvarint(nil, uint64(number)<<3)
	return string(binary.AppendUvarint(b, uint64(value.(int))))
}

func vector(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parts are those of testdata/migration.txt, each read anew.
func parts(t *testing.T) (all []account.Batch) {
	t.Helper()
	for line := range strings.Lines(string(vector(t, "migration.txt"))) {
		b, err := account.ParseMigration([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		check(t, b.Accounts, b.Skipped)
		all = append(all, b)
	}
	return all
}

var (
	moved = []plain{
		totp("Example", "anna@example.com", hello), totp("", "anna", rfc, codes(provision.SHA256, 8, 30)),
		hotp("Air Canada", "James", rfc, 10300), totp("Müller & Söhne", "anna", rfc, codes(provision.SHA512, 8, 30)),
	}
	notMoved = []account.Skipped{{Issuer: "Cellar", Name: "old", Reason: "its codes are made with none of SHA1, SHA256 and SHA512: keep it in the app that it was made for"}}
)

func TestParseMigration(t *testing.T) {
	all := parts(t)
	for i, b := range all {
		if b.ID != -1234567 || b.Index != i || b.Size != 3 {
			t.Errorf("part %d is %d of %d of %d", i, b.Index, b.Size, b.ID)
		}
	}
	got := reveal(slices.Concat(all[0].Accounts, all[1].Accounts, all[2].Accounts)...)
	if diff := cmp.Diff(moved, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(notMoved, slices.Concat(all[0].Skipped, all[1].Skipped, all[2].Skipped)); diff != "" {
		t.Error(diff)
	}
}

func TestParseMigrationReads(t *testing.T) {
	x := field(1, "Hello!\xde\xad\xbe\xef") + field(2, "x")
	// Its Base64 has “+”, “/” and “=”.
	const link, bare = "otpauth-migration://offline?data=", "CgoKBfvvvvv/EgF4mgYC+/8="
	for _, tt := range []struct {
		name, link string
		want       plain
	}{
		{"another program's, which leaves most out", "otpauth-migration://offline?data=CjEKCkhlbGxvId6tvu8SGEV4YW1wbGU6YWxpY2VAZ29vZ2xlLmNvbRoHRXhhbXBsZTAC",
			totp("Example", "alice@google.com", hello)},
		{"one with a secret and a name alone", migration(field(1, x)), totp("", "x", hello)},
		{"one that counts its only part from 1", migration(field(1, x) + field(3, 1) + field(4, 1)), totp("", "x", hello)},
		{"fields that are not known", migration(field(1, x+"\x45abcd"+"\x49abcdefgh"+field(99, "later")) + field(77, 5)), totp("", "x", hello)},
		{"8 digits that are written as such", migration(field(1, x+field(5, 8))), totp("", "x", hello, codes(provision.SHA1, 8, 30))},
		{"7 digits", migration(field(1, x+field(5, 3))), totp("", "x", hello, codes(provision.SHA1, 7, 30))},
		{"a counter over that TOTP has none of", migration(field(1, x+field(6, 2)+field(7, 5))), totp("", "x", hello)},
		{"Base64 with a bare “+”", link + bare, totp("", "x", "fbefbefbff")},
		{"Base64 whose “+” became a space", link + strings.ReplaceAll(bare, "+", " "), totp("", "x", "fbefbefbff")},
		{"Base64 for links, without padding", link + strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(bare), totp("", "x", "fbefbefbff")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := account.ParseMigration([]byte(tt.link))
			if err != nil {
				t.Fatal(err)
			}
			check(t, b.Accounts, b.Skipped)
			if diff := cmp.Diff([]plain{tt.want}, reveal(b.Accounts...)); diff != "" {
				t.Error(diff)
			}
			if b.Index != 0 || b.Size != 1 || len(b.Skipped) != 0 {
				t.Errorf("got %+v", b)
			}
		})
	}
}

func TestParseMigrationRefuses(t *testing.T) {
	x := field(1, "Hello!\xde\xad\xbe\xef") + field(2, "x")
	const damaged = "it is cut off or damaged: scan the QR code again"
	whole := migration(field(1, x))
	for _, tt := range []struct {
		name, link string
		says       string
	}{
		{"nothing", "", "it is none, which begins with otpauth-migration://: copy the whole link"},
		{"a link of an account", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP", "it is none"},
		{"another way of moving", "otpauth-migration://online?data=CgA=", "it is of a kind that is not known: export"},
		{"100 kB", whole + "&x=" + strings.Repeat("x", 100_000), "it is longer than a QR code can be: scan one"},
		{"no data", "otpauth-migration://offline?x=CgA=", "it has no data: scan"},
		{"empty data", "otpauth-migration://offline?data===", "it has no data"},
		{"data twice", whole + "&data=CgA=", "it has its data twice: scan"},
		{"data that is no Base64", "otpauth-migration://offline?data=Cg!A", damaged},
		{"an escape that is cut off", whole[:len(whole)-1], damaged},
		{"a message that is cut off", migration(field(1, x)[:14]), damaged},
		{"an account that is cut off", migration(field(1, x[:14])), damaged},
		{"a number without an end", migration(field(1, x) + "\x10\xff"), damaged},
		{"a number of 11 bytes", migration(field(1, x) + "\x10" + strings.Repeat("\xff", 10) + "\x01"), damaged},
		{"a field of number 0", migration(field(1, x) + "\x00\x01"), damaged},
		{"a group", migration(field(1, x) + "\x53\x54"), damaged},
		{"a length beyond all memory", migration("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + x), damaged},
		{"an account that is a number", migration(field(1, 5)), damaged},
		{"a number that is text", migration(field(1, x) + field(3, "3")), damaged},
		{"a secret that is a number", migration(field(1, field(1, 5))), damaged},
		{"a part beyond the last", migration(field(1, x) + field(3, 3) + field(4, 3)), damaged},
		{"a negative part", migration(field(1, x) + field(3, 3) + field(4, -1)), damaged},
		{"300 parts", migration(field(1, x) + field(3, 300)), damaged},
		{"a newer version", migration(field(1, x) + field(2, 3)), "it was made by a newer one than is known here: update Fob"},
		{"no account", migration(field(2, 1)), "there is no account in it: export again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := account.ParseMigration([]byte(tt.link))
			if !errors.Is(err, account.ErrMigration) || b.Accounts != nil || b.Skipped != nil {
				t.Fatalf("got %+v, %v", b, err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("says %q", err)
			}
			checkWords(t, err.Error())
		})
	}
}

func TestParseMigrationSkips(t *testing.T) {
	seed, name, issuer := field(1, "Hello!\xde\xad\xbe\xef"), field(2, "x"), field(3, "y")
	good := field(1, seed+name)
	for _, tt := range []struct {
		name, account string
		says          string
	}{
		{"an account without a secret", name + issuer, "it has no secret"},
		{"an account with a short secret", field(1, "1234") + name + issuer, "its secret does not have 5 to 128 bytes: ask"},
		{"an account with a long secret", field(1, strings.Repeat("x", 129)) + name + issuer, "5 to 128 bytes"},
		{"an account of Steam's", seed + name + field(3, "Steam"), "Steam's own kind"},
		{"a name that is too long", seed + field(2, strings.Repeat("ü", 200)) + issuer, "its name is longer than 128 characters"},
		{"a name with a control character", seed + field(2, "a\x1b[31m") + issuer, "its name has characters that cannot be shown: type the secret instead"},
		{"an issuer with a bidi character", seed + name + field(3, "y\u202e"), "its issuer has characters"},
		{"an account with MD5", seed + name + issuer + field(4, 4), "none of SHA1, SHA256 and SHA512"},
		{"an account with 5 digits", seed + name + issuer + field(5, 5), "6 to 8 digits"},
		{"an account with more digits than there are", seed + name + issuer + field(5, -1), "6 to 8 digits"},
		{"an account of another kind", seed + name + issuer + field(6, 3), "neither TOTP nor HOTP"},
		{"a negative counter", seed + name + issuer + field(6, 1) + field(7, -1), "its counter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := account.ParseMigration([]byte(migration(good + field(1, tt.account) + good)))
			if err != nil {
				t.Fatal(err)
			}
			check(t, b.Accounts, b.Skipped)
			if len(b.Accounts) != 2 || len(b.Skipped) != 1 || !strings.Contains(b.Skipped[0].Reason, tt.says) {
				t.Errorf("took %d, and skipped %+v", len(b.Accounts), b.Skipped)
			}
		})
	}
}

func TestBatches(t *testing.T) {
	var b account.Batches
	if got := b.Progress(); got != "nothing is scanned yet" || !b.Empty() {
		t.Errorf("says %q", got)
	}
	add := func(part account.Batch, want string) {
		t.Helper()
		if err := b.Add(part); err != nil {
			t.Fatal(err)
		}
		if got := b.Progress(); got != want {
			t.Errorf("says %q, want %q", got, want)
		}
	}
	add(parts(t)[2], "1 of 3 scanned: parts 1 and 2 are missing")
	again := parts(t)[2]
	add(again, "1 of 3 scanned: parts 1 and 2 are missing")
	if again.Accounts[0].Seed.Len() != 0 {
		t.Error("the second copy of a part keeps its seed")
	}
	add(parts(t)[0], "2 of 3 scanned: part 2 is missing")

	for _, other := range []account.Batch{{ID: 5, Size: 3, Index: 1}, {ID: -1234567, Size: 4, Index: 1}} {
		other.Accounts = []account.Account{parse(t, "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP")}
		seed := other.Accounts[0].Seed
		if err := b.Add(other); !errors.Is(err, account.ErrOtherExport) {
			t.Errorf("took a part of another export: %v", err)
		}
		if seed.Len() != 0 {
			t.Error("the other export's part keeps its seed")
		}
	}
	for _, none := range []account.Batch{{}, {Size: 3, Index: 3}, {Size: 3, Index: -1}, {Size: 1 << 40}} {
		if err := b.Add(none); !errors.Is(err, account.ErrMigration) {
			t.Errorf("took %+v: %v", none, err)
		}
	}
	accounts, skipped, err := b.Take()
	if !errors.Is(err, account.ErrParts) || !strings.Contains(err.Error(), "2 of 3 scanned: part 2 is missing: scan what is missing too") || accounts != nil || skipped != nil {
		t.Errorf("gave %v, %v, %v", accounts, skipped, err)
	}

	add(parts(t)[1], "3 of 3 scanned")
	accounts, skipped, err = b.Take()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(moved, reveal(accounts...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(notMoved, skipped); diff != "" {
		t.Error(diff)
	}
	if !b.Empty() {
		t.Error("is not empty afterwards")
	}

	kept := parts(t)[0]
	add(kept, "1 of 3 scanned: parts 2 and 3 are missing")
	b.Wipe()
	if !b.Empty() || kept.Accounts[0].Seed.Len() != 0 {
		t.Error("keeps seeds that were wiped")
	}
	for size, want := range map[int]string{
		9:   "1 of 9 scanned: parts 2, 3, 4, 5, 6, 7, 8 and 9 are missing",
		10:  "1 of 10 scanned: parts 2, 3, 4, 5, 6, 7, 8, 9 and 1 more are missing",
		256: "1 of 256 scanned: parts 2, 3, 4, 5, 6, 7, 8, 9 and 247 more are missing",
	} {
		add(account.Batch{ID: 7, Size: size}, want)
		b.Wipe()
	}
}
