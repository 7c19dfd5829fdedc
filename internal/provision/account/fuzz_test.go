package account_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/fobproject/fob/internal/provision/account"
)

func FuzzURI(f *testing.F) {
	f.Add([]byte("otpauth://totp/ACME%20Co:john.doe@email.com?secret=HXDMVJECJJWSRB3HWIZR4IFUGFTMXBOZ&issuer=ACME%20Co&algorithm=SHA1&digits=6&period=30"))
	f.Add([]byte("otpauth://hotp/Air+Canada%3A%20b?secret=jbsw+y3dp%3D&issuer=Air+Canada&counter=50&digits=7&algorithm=hmac-sha-512"))
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
	})
}
