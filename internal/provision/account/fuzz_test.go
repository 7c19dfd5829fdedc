package account_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
	"github.com/fobproject/fob/internal/secret"
)

func FuzzURI(f *testing.F) {
	f.Add([]byte("otpauth://totp/ACME%20Co:john.doe@email.com?secret=HXDMVJECJJWSRB3HWIZR4IFUGFTMXBOZ&issuer=ACME%20Co&algorithm=SHA1&digits=6&period=30"))
	f.Add([]byte("otpauth://hotp/Air+Canada%3A%20b?secret=jbsw+y3dp%3D&issuer=Air+Canada&counter=50&digits=7&algorithm=hmac-sha-512"))
	f.Add([]byte("otpauth://totp/a%00b%1b%5b31m%E2%80%AEc?secret=JBSWY3DPEHPK3PXP&issuer=%D8%9C"))
	f.Add([]byte("otpauth://totp/:a:b?secret=JBSWY3DP&amp;encoder=steam&image=x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := slices.Clone(text)
		a, err := account.ParseURI(text)
		if !slices.Equal(before, text) {
			t.Error("changed what it was given")
		}
		if err == nil {
			check(t, []account.Account{a}, nil)
			return
		}
		if !errors.Is(err, account.ErrAccount) || a != (account.Account{}) {
			t.Errorf("got %+v, %v", a, err)
		}
		checkWords(t, err.Error())
	})
}

func FuzzMigration(f *testing.F) {
	f.Add("\x0a\x31\x0a\x0aHello!\xde\xad\xbe\xef\x12\x18Example:alice@google.com\x1a\x07Example0\x02\x10\x01\x18\x03\x20\x02\x28\x05")
	f.Add("\x0a\x12\x0a\x05abcde\x12\x01x\x20\x03\x28\x02\x30\x01\x38\x07\x45abcd\x49abcdefgh")
	f.Add("\x0a\x10\x0a\x05abcde\x12\x04x\u202e\x1a\x01\x1b")
	f.Fuzz(func(t *testing.T, message string) {
		for _, link := range []string{message, migration(message)} {
			b, err := account.ParseMigration([]byte(link))
			if err != nil {
				if !errors.Is(err, account.ErrMigration) || b.Accounts != nil || b.Skipped != nil {
					t.Errorf("got %+v, %v", b, err)
				}
				checkWords(t, err.Error())
				continue
			}
			check(t, b.Accounts, b.Skipped)
			if b.Size < 1 || b.Size > 256 || b.Index < 0 || b.Index >= b.Size || len(b.Accounts)+len(b.Skipped) == 0 {
				t.Errorf("got part %d of %d with %d accounts, %d skipped", b.Index, b.Size, len(b.Accounts), len(b.Skipped))
			}
			var all account.Batches
			if err := all.Add(b); err != nil || len(all.Missing()) != b.Size-1 {
				t.Errorf("%v; %d parts of %d are missing", err, len(all.Missing()), b.Size)
			}
			if _, _, err := all.Take(); (err == nil) != (b.Size == 1) {
				t.Error(err)
			}
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add([]byte("# mine\r\notpauth://totp/x?secret=JBSWY3DPEHPK3PXP\n\notpauth-migration://offline?data=CjEKCkhlbGxvId6tvu8SGEV4YW1wbGU6YWxpY2VAZ29vZ2xlLmNvbRoHRXhhbXBsZTAC\nx"))
	f.Add([]byte("otpauth://totp/x%E2%80%AE?secret=JBSWY3DPEHPK3PXP\notpauth://totp/y?secret=JBSWY3DPEHPK3PXP"))
	f.Fuzz(func(t *testing.T, data []byte) {
		accounts, skipped, err := account.ParseList(data)
		checkFile(t, accounts, skipped, err)
		account.Sniff(data)
	})
}

// checkFile fails unless what a reader gives of a fuzzed file is what it promises.
func checkFile(t *testing.T, accounts []account.Account, skipped []account.Skipped, err error) {
	t.Helper()
	if err == nil {
		check(t, accounts, skipped)
		return
	}
	if accounts != nil || skipped != nil || !slices.ContainsFunc([]error{provision.ErrFile, provision.ErrEncrypted, account.ErrPassword},
		func(is error) bool { return errors.Is(err, is) }) {
		t.Errorf("got %v, %v, %v", accounts, skipped, err)
	}
	checkWords(t, err.Error())
}

// fuzzExport fuzzes a reader of exports. Nobody knows a password: to try one takes too long.
func fuzzExport(f *testing.F, parse parser, files ...string) {
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"version":1,"header":{},"db":{"version":3,"entries":[{"type":"totp","issuer":"y\u0000","name":"z\u202e","info":{"secret":"JBSWY3DPEHPK3PXP"}}]}}`))
	f.Add([]byte(`{"schemaVersion":4,"services":[{"name":"y\u001b","secret":"JBSWY3DPEHPK3PXP","otp":{"label":"\u2067z"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		asked := 0
		accounts, skipped, err := parse(data, func() (*secret.Secret, error) {
			asked++
			return nil, errors.New("nobody knows")
		})
		checkFile(t, accounts, skipped, err)
		if asked > 1 || asked == 1 && !errors.Is(err, provision.ErrEncrypted) {
			t.Errorf("asked %d times, and got %v", asked, err)
		}
	})
}

func FuzzAegis(f *testing.F) {
	fuzzExport(f, account.ParseAegis, "aegis-plain.json", "aegis-encrypted.json")
}

func FuzzTwoFAS(f *testing.F) {
	fuzzExport(f, account.ParseTwoFAS, "twofas-plain.2fas", "twofas-encrypted.2fas")
}

func FuzzRecognise(f *testing.F) {
	f.Add([]byte("duo://c53Xoof7cFSOHGxtm69f-YXBpLWU0Yzk4NjNlLmR1b3NlY3VyaXR5LmNvbQ"))
	f.Add([]byte("https://m-1.duosecurity.com/activate/x"))
	f.Add([]byte(" OTPAUTH://totp/x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		qr := account.Recognise(text)
		checkAdvice(t, qr)
		if _, err := account.ParseURI(text); err == nil && qr != account.QRAccount {
			t.Errorf("takes an account for %s", qr)
		}
		if _, err := account.ParseMigration(text); err == nil && qr != account.QRMigration {
			t.Errorf("takes an export for %s", qr)
		}
	})
}
