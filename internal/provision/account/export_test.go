package account_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
	"github.com/fobproject/fob/internal/secret"
)

type parser func([]byte, func() (*secret.Secret, error)) ([]account.Account, []account.Skipped, error)

const phrase = "correct horse ü"

// password gives a password, and the Secret that must be wiped at the end.
func password(text string) (ask func() (*secret.Secret, error), given *secret.Secret) {
	given = secret.New([]byte(text))
	return func() (*secret.Secret, error) { return given, nil }, given
}

var (
	tail      = "keep it in the app that it was made for"
	fromAegis = []plain{
		totp("Example", "anna@example.com", hello), totp("Müller & Söhne", "anna", rfc, codes(provision.SHA256, 7, 20)),
		totp("", "anna", rfc, codes(provision.SHA512, 8, 50)), hotp("Air Canada", "James", rfc, 10300),
	}
	notOfAegis = []account.Skipped{
		{Issuer: "Boeing", Name: "Sophia", Reason: "it is one of Steam's, whose codes are of Steam's own kind: " + tail},
		{Issuer: "Yandex", Name: "boris", Reason: "it is one of Yandex', whose codes are of Yandex' own kind: " + tail},
		{Issuer: "VPN", Name: "mo", Reason: "its codes are mOTP, and Fob makes TOTP and HOTP: " + tail},
		{Issuer: "Cellar", Name: "old", Reason: "its codes are made with none of SHA1, SHA256 and SHA512: " + tail},
	}
	fromTwoFAS = []plain{
		totp("Example", "anna@example.com", hello), totp("", "example.com", hello),
		totp("Work", "anna", rfc, codes(provision.SHA512, 8, 60)), hotp("Air Canada", "Benjamin", rfc, 50, codes(provision.SHA256, 7, 0)),
	}
	notOfTwoFAS = []account.Skipped{notOfAegis[0], notOfAegis[3]}
)

func TestExports(t *testing.T) {
	for _, tt := range []struct {
		file     string
		parse    parser
		password string
		accounts []plain
		skipped  []account.Skipped
	}{
		{"aegis-plain.json", account.ParseAegis, "", fromAegis, notOfAegis},
		{"aegis-encrypted.json", account.ParseAegis, phrase, fromAegis, notOfAegis},
		{"aegis-encrypted.json", account.ParseAegis, "battery staple", fromAegis, notOfAegis},
		{"twofas-plain.2fas", account.ParseTwoFAS, "", fromTwoFAS, notOfTwoFAS},
		{"twofas-encrypted.2fas", account.ParseTwoFAS, phrase, fromTwoFAS, notOfTwoFAS},
	} {
		t.Run(tt.file+" "+tt.password, func(t *testing.T) {
			ask, given := password(tt.password)
			if tt.password == "" {
				ask = nil // nobody is asked
			}
			data := append([]byte("\xef\xbb\xbf"), vector(t, tt.file)...)
			before := bytes.Clone(data)
			accounts, skipped, err := tt.parse(data, ask)
			if err != nil {
				t.Fatal(err)
			}
			check(t, accounts, skipped)
			if diff := cmp.Diff(tt.accounts, reveal(accounts...)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.skipped, skipped); diff != "" {
				t.Error(diff)
			}
			if !bytes.Equal(before, data) {
				t.Error("changed the file")
			}
			if tt.password != "" && given.Len() != 0 {
				t.Error("keeps the password")
			}
		})
	}
}

func TestExportsStayShut(t *testing.T) {
	for file, parse := range map[string]parser{"aegis-encrypted.json": account.ParseAegis, "twofas-encrypted.2fas": account.ParseTwoFAS} {
		data := vector(t, file)
		refuses := func(name string, ask func() (*secret.Secret, error), is ...error) {
			t.Helper()
			accounts, skipped, err := parse(data, ask)
			for _, want := range is {
				if !errors.Is(err, want) || accounts != nil || skipped != nil {
					t.Errorf("%s: %s: got %v, %v, %v", file, name, accounts, skipped, err)
				}
			}
			checkWords(t, err.Error())
		}
		ask, given := password("correct horse")
		refuses("another password", ask, account.ErrPassword)
		if given.Len() != 0 {
			t.Errorf("%s: keeps a wrong password", file)
		}
		ask, _ = password("")
		refuses("an empty password", ask, account.ErrPassword)
		refuses("nobody to ask", nil, provision.ErrEncrypted)
		stopped := errors.New("stopped")
		refuses("no answer", func() (*secret.Secret, error) { return nil, stopped }, provision.ErrEncrypted, stopped)
	}
}

// change gives an export with values changed: paths such as "header.slots.1.n" to what they become.
func change(t *testing.T, data []byte, changes map[string]any) []byte {
	t.Helper()
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	for path, value := range changes {
		at, names := tree, strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			if list, is := at.([]any); is {
				var i int
				fmt.Sscan(name, &i)
				at = list[i]
			} else {
				at = at.(map[string]any)[name]
			}
		}
		at.(map[string]any)[names[len(names)-1]] = value
	}
	b, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAegisRefuses(t *testing.T) {
	encrypted, plain := vector(t, "aegis-encrypted.json"), vector(t, "aegis-plain.json")
	const badParameters, damaged = "what it says of its password is damaged, or none of Aegis'", "what is encrypted in it is cut off or damaged"
	slots := func(n int) (all []any) {
		var file struct{ Header struct{ Slots []any } }
		if err := json.Unmarshal(encrypted, &file); err != nil {
			t.Fatal(err)
		}
		for range n {
			all = append(all, file.Header.Slots[1])
		}
		return all
	}
	for _, tt := range []struct {
		name string
		data []byte
		is   error
		says string
	}{
		{"nothing", nil, provision.ErrFile, "it is no export of Aegis, or damaged: export it again"},
		{"half a file", encrypted[:len(encrypted)/2], provision.ErrFile, "no export of Aegis"},
		{"a file with more behind it", append(bytes.Clone(plain), "{}"...), provision.ErrFile, "no export of Aegis"},
		{"another file", []byte(`{"services":[]}`), provision.ErrFile, "no export of Aegis"},
		{"a newer version", change(t, plain, map[string]any{"version": 2}), provision.ErrFile, "it was made by a newer Aegis than is known here: update Fob"},
		{"a newer version of what it holds", change(t, plain, map[string]any{"db.version": 4}), provision.ErrFile, "newer Aegis"},
		{"no accounts", change(t, plain, map[string]any{"db.entries": []any{}}), provision.ErrFile, "there is no account in it: export again"},
		{"too many accounts", change(t, plain, map[string]any{"db.entries": make([]any, 10_001)}), provision.ErrFile, "more than 10000 accounts"},
		{"accounts that are no list", change(t, plain, map[string]any{"db.entries": "x"}), provision.ErrFile, "no export of Aegis"},
		{"more than 32 MiB", make([]byte, 32<<20+1), provision.ErrFile, "longer than 32 MiB"},
		{"a phone's slot alone", change(t, encrypted, map[string]any{"header.slots.1.type": 2, "header.slots.2.type": 0}), provision.ErrEncrypted, "the phone alone can open it: export it again, with a password"},
		{"no slot", change(t, encrypted, map[string]any{"header.slots": nil}), provision.ErrEncrypted, "the phone alone"},
		{"9 passwords", change(t, encrypted, map[string]any{"header.slots": slots(9)}), provision.ErrFile, badParameters},
		{"an N that is no power of two", change(t, encrypted, map[string]any{"header.slots.2.n": 32767}), provision.ErrFile, badParameters},
		{"an N of 1", change(t, encrypted, map[string]any{"header.slots.2.n": 1}), provision.ErrFile, badParameters},
		{"an N of gigabytes", change(t, encrypted, map[string]any{"header.slots.2.n": 1 << 21}), provision.ErrFile, badParameters},
		{"a negative N", change(t, encrypted, map[string]any{"header.slots.2.n": -32768}), provision.ErrFile, badParameters},
		{"an N beyond all numbers", change(t, encrypted, map[string]any{"header.slots.2.n": 1e30}), provision.ErrFile, "no export of Aegis"},
		{"an r of gigabytes", change(t, encrypted, map[string]any{"header.slots.2.r": 65}), provision.ErrFile, badParameters},
		{"an r of 0", change(t, encrypted, map[string]any{"header.slots.2.r": 0}), provision.ErrFile, badParameters},
		{"a p of minutes", change(t, encrypted, map[string]any{"header.slots.2.p": 9}), provision.ErrFile, badParameters},
		{"a p of 0", change(t, encrypted, map[string]any{"header.slots.2.p": 0}), provision.ErrFile, badParameters},
		{"no salt", change(t, encrypted, map[string]any{"header.slots.2.salt": ""}), provision.ErrFile, badParameters},
		{"a salt that is no hexadecimal", change(t, encrypted, map[string]any{"header.slots.2.salt": "xy"}), provision.ErrFile, badParameters},
		{"a short key", change(t, encrypted, map[string]any{"header.slots.2.key": "00"}), provision.ErrFile, badParameters},
		{"a key's short nonce", change(t, encrypted, map[string]any{"header.slots.2.key_params.nonce": "00"}), provision.ErrFile, badParameters},
		{"a key's short tag", change(t, encrypted, map[string]any{"header.slots.2.key_params.tag": "00"}), provision.ErrFile, badParameters},
		{"a short nonce", change(t, encrypted, map[string]any{"header.params.nonce": "00"}), provision.ErrFile, damaged},
		{"no parameters", change(t, encrypted, map[string]any{"header.params": nil}), provision.ErrFile, damaged},
		{"accounts that are no Base64", change(t, encrypted, map[string]any{"db": "!"}), provision.ErrFile, damaged},
		{"accounts that were changed", change(t, encrypted, map[string]any{"db": "AAAA"}), provision.ErrFile, damaged},
		{"a key that was changed", change(t, encrypted, map[string]any{"header.slots.2.key": strings.Repeat("00", 32)}), account.ErrPassword, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask, _ := password(phrase)
			refused(t, account.ParseAegis, tt.data, ask, tt.is, tt.says)
		})
	}
}

func refused(t *testing.T, parse parser, data []byte, ask func() (*secret.Secret, error), is error, says string) {
	t.Helper()
	accounts, skipped, err := parse(data, ask)
	if !errors.Is(err, is) || !strings.Contains(err.Error(), says) || accounts != nil || skipped != nil {
		t.Fatalf("got %v, %v, %v", accounts, skipped, err)
	}
	checkWords(t, err.Error())
}

func TestTwoFASRefuses(t *testing.T) {
	encrypted, plain := vector(t, "twofas-encrypted.2fas"), vector(t, "twofas-plain.2fas")
	const damaged, salt, nonce = "what is encrypted in it is cut off or damaged", "c2FsdHNhbHQ=", "AAAAAAAAAAAAAAAA"
	sealed := strings.Repeat("AAAA", 16)
	for _, tt := range []struct {
		name string
		data []byte
		is   error
		says string
	}{
		{"nothing", nil, provision.ErrFile, "it is no export of 2FAS, or damaged: export it again"},
		{"half a file", encrypted[:len(encrypted)/2], provision.ErrFile, "no export of 2FAS"},
		{"another file", vector(t, "aegis-plain.json"), provision.ErrFile, "there is no account in it"},
		{"a list", []byte("[]"), provision.ErrFile, "no export of 2FAS"},
		{"a newer version", change(t, plain, map[string]any{"schemaVersion": 5}), provision.ErrFile, "newer 2FAS"},
		{"no accounts", change(t, plain, map[string]any{"services": []any{}}), provision.ErrFile, "there is no account in it: export again from 2FAS"},
		{"too many accounts", change(t, plain, map[string]any{"services": make([]any, 10_001)}), provision.ErrFile, "more than 10000 accounts"},
		{"two parts", change(t, encrypted, map[string]any{"servicesEncrypted": sealed + ":" + salt}), provision.ErrFile, damaged},
		{"four parts", change(t, encrypted, map[string]any{"servicesEncrypted": sealed + ":" + salt + ":" + nonce + ":"}), provision.ErrFile, damaged},
		{"parts that are no Base64", change(t, encrypted, map[string]any{"servicesEncrypted": sealed + ":!:" + nonce}), provision.ErrFile, damaged},
		{"no salt", change(t, encrypted, map[string]any{"servicesEncrypted": sealed + "::" + nonce}), provision.ErrFile, damaged},
		{"a long salt", change(t, encrypted, map[string]any{"servicesEncrypted": sealed + ":" + strings.Repeat("AAAA", 400) + ":" + nonce}), provision.ErrFile, damaged},
		{"a short nonce", change(t, encrypted, map[string]any{"servicesEncrypted": sealed + ":" + salt + ":AAAA"}), provision.ErrFile, damaged},
		{"no tag", change(t, encrypted, map[string]any{"servicesEncrypted": "AAAA:" + salt + ":" + nonce}), provision.ErrFile, damaged},
		{"accounts that were changed", change(t, encrypted, map[string]any{"servicesEncrypted": sealed + ":" + salt + ":" + nonce}), account.ErrPassword, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask, _ := password(phrase)
			refused(t, account.ParseTwoFAS, tt.data, ask, tt.is, tt.says)
		})
	}
}

func TestExportsSkipWhatIsNoAccount(t *testing.T) {
	aegis := func(entry string) string {
		return `{"version":1,"header":{"slots":null,"params":null},"db":{"version":3,"entries":[` + entry + `,{"type":"totp","name":"x","info":{"secret":"JBSWY3DPEHPK3PXP"}}]}}`
	}
	twoFAS := func(service string) string {
		return `{"schemaVersion":4,"services":[` + service + `,{"name":"x","secret":"JBSWY3DPEHPK3PXP","otp":{}}]}`
	}
	for _, tt := range []struct {
		name  string
		parse parser
		data  string
		want  string // issuer, name and the reason's beginning
	}{
		{"Aegis: nothing", account.ParseAegis, aegis(`null`), "||it has no secret"},
		{"Aegis: a number", account.ParseAegis, aegis(`5`), "||it is not written as Aegis does: export again"},
		{"Aegis: digits that are text", account.ParseAegis, aegis(`{"type":"totp","issuer":"y","name":"z","info":{"secret":"JBSWY3DPEHPK3PXP","digits":"6"}}`), "y|z|it is not written as Aegis does"},
		{"Aegis: no digits at all", account.ParseAegis, aegis(`{"type":"totp","issuer":"y","name":"z","info":{"secret":"JBSWY3DPEHPK3PXP","digits":0}}`), "y|z|its codes do not have 6 to 8 digits"},
		{"Aegis: a negative counter", account.ParseAegis, aegis(`{"type":"hotp","issuer":"y","name":"z","info":{"secret":"JBSWY3DPEHPK3PXP","counter":-1}}`), "y|z|it is not written"},
		{"Aegis: another type", account.ParseAegis, aegis(`{"type":"new","issuer":"y","name":"z","info":{"secret":"JBSWY3DPEHPK3PXP"}}`), "y|z|its codes are neither TOTP nor HOTP"},
		{"Aegis: no secret", account.ParseAegis, aegis(`{"type":"totp","issuer":"y","name":"z","info":{}}`), "y|z|it has no secret"},
		{"Aegis: a secret that is a number", account.ParseAegis, aegis(`{"type":"totp","issuer":"y","name":"z","info":{"secret":5}}`), "y|z|it has no secret"},
		{"Aegis: a secret that is damaged", account.ParseAegis, aegis(`{"type":"totp","issuer":"y","name":"z\u202e","info":{"secret":"JBSWY3DPEHPK3PX1"}}`), "y|z|its secret cannot be read"},
		{"Aegis: a bidi character", account.ParseAegis, aegis(`{"type":"totp","issuer":"y","name":"z\u202e","info":{"secret":"JBSWY3DPEHPK3PXP"}}`), "y|z|its name has characters that cannot be shown: type the secret instead"},
		{"Aegis: a control character in the issuer", account.ParseAegis, aegis(`{"type":"totp","issuer":"y\u0000","name":"z","info":{"secret":"JBSWY3DPEHPK3PXP"}}`), "y|z|its issuer has characters"},
		{"2FAS: a bidi character", account.ParseTwoFAS, twoFAS(`{"name":"y","secret":"JBSWY3DPEHPK3PXP","otp":{"account":"\u2067z"}}`), "y|z|its name has characters"},
		{"2FAS: a control character in the service's name", account.ParseTwoFAS, twoFAS(`{"name":"y\u001b","secret":"JBSWY3DPEHPK3PXP","otp":{"account":"z"}}`), "y|z|its issuer has characters"},
		{"2FAS: a control character in the label", account.ParseTwoFAS, twoFAS(`{"name":"y","secret":"JBSWY3DPEHPK3PXP","otp":{"label":"z\u007f"}}`), "y|z|its name has characters"},
		{"2FAS: a number", account.ParseTwoFAS, twoFAS(`5`), "||it is not written as 2FAS does: export again"},
		{"2FAS: another type", account.ParseTwoFAS, twoFAS(`{"name":"y","secret":"JBSWY3DPEHPK3PXP","otp":{"account":"z","tokenType":"NEW"}}`), "y|z|its codes are neither TOTP nor HOTP"},
		{"2FAS: a period that is text", account.ParseTwoFAS, twoFAS(`{"name":"y","secret":"JBSWY3DPEHPK3PXP","otp":{"account":"z","period":"30"}}`), "y|z|it is not written as 2FAS does"},
		{"2FAS: a long name", account.ParseTwoFAS, twoFAS(`{"name":"y","secret":"JBSWY3DPEHPK3PXP","otp":{"account":"` + strings.Repeat("ü", 129) + `"}}`), "y|" + strings.Repeat("ü", 127) + "…|its name is longer than 128 characters"},
		{"2FAS: no secret", account.ParseTwoFAS, twoFAS(`{"name":"y","otp":{"account":"z"}}`), "y|z|it has no secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			accounts, skipped, err := tt.parse([]byte(tt.data), nil)
			if err != nil {
				t.Fatal(err)
			}
			check(t, accounts, skipped)
			if diff := cmp.Diff([]plain{totp("", "x", hello)}, reveal(accounts...)); diff != "" {
				t.Error(diff)
			}
			if len(skipped) != 1 || !strings.HasPrefix(skipped[0].Issuer+"|"+skipped[0].Name+"|"+skipped[0].Reason, tt.want) {
				t.Errorf("skipped %+v", skipped)
			}
		})
	}
}

func TestSniff(t *testing.T) {
	for _, tt := range []struct {
		name string
		data []byte
		want account.Format
	}{
		{"Aegis'", vector(t, "aegis-plain.json"), account.FormatAegis},
		{"Aegis', encrypted", vector(t, "aegis-encrypted.json"), account.FormatAegis},
		{"2FAS'", append([]byte("\xef\xbb\xbf\r\n"), vector(t, "twofas-plain.2fas")...), account.FormatTwoFAS},
		{"2FAS', encrypted", vector(t, "twofas-encrypted.2fas"), account.FormatTwoFAS},
		{"Google Authenticator's", vector(t, "migration.txt"), account.FormatList},
		{"a list of links", []byte("# mine\n\nOTPAUTH://totp/x?secret=x\n"), account.FormatList},
		{"nothing", nil, account.FormatUnknown},
		{"notes alone", []byte("# mine\n"), account.FormatUnknown},
		{"text", []byte("Dear Anna,\notpauth://totp/x?secret=x\n"), account.FormatUnknown},
		{"other JSON", []byte(`{"value":[]}`), account.FormatUnknown},
		{"a picture", []byte("\x89PNG\r\n\x1a\n"), account.FormatUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := account.Sniff(tt.data); got != tt.want {
				t.Errorf("takes it for %q", got)
			}
		})
	}
}
