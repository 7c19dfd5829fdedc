package account_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
	"github.com/fobproject/fob/internal/secret"
)

func TestParseURI(t *testing.T) {
	long := strings.Repeat("ü", 128)
	for _, tt := range []struct {
		name, uri string
		want      plain
	}{
		{"reads the Key URI Format's first example", "otpauth://totp/Example:alice@google.com?secret=JBSWY3DPEHPK3PXP&issuer=Example",
			totp("Example", "alice@google.com", hello)},
		{"reads its second, with all parameters", "otpauth://totp/ACME%20Co:john.doe@email.com?secret=HXDMVJECJJWSRB3HWIZR4IFUGFTMXBOZ&issuer=ACME%20Co&algorithm=SHA1&digits=6&period=30",
			totp("ACME Co", "john.doe@email.com", "3dc6caa4824a6d288767b2331e20b43166cb85d9")},
		{"reads Microsoft's, where the parameter wins", "otpauth://totp/Contoso:anna%40contoso.com?secret=gezdgnbvgy3tqojq&issuer=Microsoft",
			totp("Microsoft", "anna@contoso.com", "31323334353637383930")},
		{"reads GitHub's", "otpauth://totp/GitHub:octocat?secret=JBSWY3DPEHPK3PXP&issuer=GitHub", totp("GitHub", "octocat", hello)},
		{"reads Google's, in small letters and groups", "otpauth://totp/Google%3Aanna%40gmail.com?secret=jbsw+y3dp+ehpk+3pxp&issuer=Google",
			totp("Google", "anna@gmail.com", hello)},
		{"reads Amazon's, with a longer issuer", "otpauth://totp/Amazon%20Web%20Services:anna@123456789012?secret=JBSWY3DPEHPK3PXP&issuer=Amazon%20Web%20Services",
			totp("Amazon Web Services", "anna@123456789012", hello)},
		{"reads Okta's, without an issuer in the label", "otpauth://totp/dev-1.okta.com:dan%40example.com?secret=453T5PHSNTYJ4YEK&issuer=dev-1.okta.com",
			totp("dev-1.okta.com", "dan@example.com", "e7773ebcf26cf09e608a")},
		{"reads Symantec VIP's, as vipaccess writes it", "otpauth://totp/VIP%20Access:SYMC12345678?secret=JBSWY3DPEHPK3PXP&issuer=Symantec&algorithm=SHA1&digits=6",
			totp("Symantec", "SYMC12345678", hello)},
		{"reads a picture's address over", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&image=https%3A%2F%2Fexample.com%2Fa.png&color=ff0000&icon=x", totp("", "x", hello)},
		{"reads other codes", "otpauth://totp/x?algorithm=SHA256&digits=8&period=60&secret=JBSWY3DPEHPK3PXP", totp("", "x", hello, codes(provision.SHA256, 8, 60))},
		{"reads other spellings", "OTPAUTH://TOTP/x?SECRET=JBSWY3DPEHPK3PXP&Algorithm=hmac-sha-512&digits=07", totp("", "x", hello, codes(provision.SHA512, 7, 30))},
		{"reads HOTP", "otpauth://hotp/Air%20Canada:Ben?secret=JBSWY3DPEHPK3PXP&issuer=Air+Canada&counter=50&digits=7",
			hotp("Air Canada", "Ben", hello, 50, codes(provision.SHA1, 7, 0))},
		{"reads HOTP that does not say its counter", "otpauth://hotp/x?secret=JBSWY3DPEHPK3PXP&period=0", hotp("", "x", hello, 0)},
		{"reads a counter over that TOTP has none of", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&counter=-1", totp("", "x", hello)},
		{"reads empty parameters over", "otpauth://totp/Example:x?secret=JBSWY3DPEHPK3PXP&issuer=&algorithm=&digits=&period=", totp("Example", "x", hello)},
		{"reads a secret with padding, also escaped", "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY==%3D%3d==", totp("", "x", "31323334353637383930313233343536")},
		{"reads 5 bytes", "otpauth://totp/x?secret=JBSWY3DP", totp("", "x", "48656c6c6f")},
		{"reads 128 bytes", "otpauth://totp/x?secret=" + strings.Repeat("A", 205), totp("", "x", strings.Repeat("00", 128))},
		{"takes “+” for a space in parameters alone", "otpauth://totp/a+b@example.com?secret=JBSWY3DPEHPK3PXP&issuer=C%2B%2B+Club", totp("C++ Club", "a+b@example.com", hello)},
		{"takes an issuer for one that has “+” for a space in the label", "otpauth://totp/Air+Canada:ben?secret=JBSWY3DPEHPK3PXP&issuer=Air+Canada", totp("Air Canada", "ben", hello)},
		{"takes an issuer once in another case", "otpauth://totp/github:anna?secret=JBSWY3DPEHPK3PXP&issuer=GitHub", totp("GitHub", "anna", hello)},
		{"takes an issuer with a colon, as Gitea's", "otpauth://totp/Nyaa%20(https://old.huihui.cat):user?issuer=Nyaa+%28https%3A%2F%2Fold.huihui.cat%29&secret=JBSWY3DPEHPK3PXP",
			totp("Nyaa (https://old.huihui.cat)", "user", hello)},
		{"takes spaces behind the colon away", "otpauth://totp/Big%20Corp%3A%20alice%40bigco.com?secret=JBSWY3DPEHPK3PXP", totp("Big Corp", "alice@bigco.com", hello)},
		{"takes the issuer for the name if there is none", "otpauth://totp/?secret=JBSWY3DPEHPK3PXP&issuer=Example", totp("", "Example", hello)},
		{"takes it likewise behind the colon", "otpauth://totp/Example:?secret=JBSWY3DPEHPK3PXP", totp("", "Example", hello)},
		{"takes a link without a label", "otpauth://totp?secret=JBSWY3DPEHPK3PXP&issuer=Example", totp("", "Example", hello)},
		{"takes what a link should not have bare", "otpauth://totp/Server #1: Müller?secret=JBSWY3DPEHPK3PXP&issuer=Server #1", totp("Server #1", "Müller", hello)},
		{"takes a link out of a page's source", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&amp;digits=8", totp("", "x", hello, codes(provision.SHA1, 8, 30))},
		{"takes what copying leaves around it", "\ufeff \r\notpauth://totp/x?secret=JBSWY3DPEHPK3PXP\r\n", totp("", "x", hello)},
		{"takes invisible characters out of names", "otpauth://totp/Goog%C2%ADle:an%EF%BB%BFna%20%E2%80%8B?secret=JBSWY3DPEHPK3PXP", totp("Google", "anna", hello)},
		{"takes names that are read from the right", "otpauth://totp/%D7%91%D7%A0%D7%A7:%D8%B3%D9%84%D9%85%D9%89?secret=JBSWY3DPEHPK3PXP", totp("בנק", "سلمى", hello)},
		{"takes pictures that are joined, apart", "otpauth://totp/%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB?secret=JBSWY3DPEHPK3PXP", totp("", "👩💻", hello)},
		{"takes 128 characters each", "otpauth://totp/" + long + ":" + long + "?secret=JBSWY3DPEHPK3PXP", totp(long, long, hello)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := parse(t, tt.uri)
			if diff := cmp.Diff([]plain{tt.want}, reveal(a)); diff != "" {
				t.Error(diff)
			}
			check(t, []account.Account{a}, nil)
		})
	}
}

func TestParseURIRefuses(t *testing.T) {
	const ok = "&secret=JBSWY3DPEHPK3PXP"
	for _, tt := range []struct {
		name, uri string
		says      string
	}{
		{"nothing", "", "it is no link of an account, which begins with otpauth://: copy the whole link"},
		{"a secret alone", "JBSWY3DPEHPK3PXP", "no link of an account"},
		{"half a link", "totp/x?secret=JBSWY3DPEHPK3PXP", "no link of an account"},
		{"another link", "https://example.com/?secret=JBSWY3DPEHPK3PXP", "no link of an account"},
		{"10 kB", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&image=" + strings.Repeat("x", 10_000), "it is longer than any link of an account: copy the otpauth:// link alone"},
		{"no secret", "otpauth://totp/x?issuer=y", "it has no secret: ask the site for a new QR code"},
		{"an empty secret", "otpauth://totp/x?secret=", "it has no secret"},
		{"a secret that is no Base32", "otpauth://totp/x?secret=JBSWY3DPEHPK3PX1", "its secret cannot be read, it is no Base32"},
		{"a secret that is cut off", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXPA", "characters are missing: ask the site"},
		{"a secret in hexadecimal", "otpauth://totp/x?secret=" + strings.Repeat("a2", 16), "looks like hexadecimal"},
		{"a short secret", "otpauth://totp/x?secret=JBSWY3A", "its secret cannot be read, it is shorter than 5 bytes: ask the site"},
		{"a long secret", "otpauth://totp/x?secret=" + strings.Repeat("A", 207), "it is longer than 128 bytes"},
		{"two secrets", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP" + ok, "it has its secret twice: ask the site"},
		{"two issuers", "otpauth://totp/x?issuer=a&ISSUER=a" + ok, "it has its issuer twice"},
		{"digits twice, once empty", "otpauth://totp/x?digits=&digits=6" + ok, "it has its digits twice"},
		{"5 digits", "otpauth://totp/x?digits=5" + ok, "its codes do not have 6 to 8 digits: keep it in the app"},
		{"9 digits", "otpauth://totp/x?digits=9" + ok, "6 to 8 digits"},
		{"digits that are no number", "otpauth://totp/x?digits=+6" + ok, "6 to 8 digits"},
		{"MD5", "otpauth://totp/x?algorithm=MD5" + ok, "its codes are made with none of SHA1, SHA256 and SHA512: keep it in the app"},
		{"a period of 0", "otpauth://totp/x?period=0" + ok, "its period is no number of seconds from 1 to 3600"},
		{"a period of more than an hour", "otpauth://totp/x?period=3601" + ok, "its period"},
		{"a period beyond all numbers", "otpauth://totp/x?period=99999999999999999999" + ok, "its period"},
		{"a negative counter", "otpauth://hotp/x?counter=-1" + ok, "its counter is no number that it could have reached: ask"},
		{"a counter beyond all numbers", "otpauth://hotp/x?counter=18446744073709551616" + ok, "its counter"},
		{"another kind", "otpauth://foo/x?x" + ok, "its codes are neither TOTP nor HOTP: keep it in the app"},
		{"Steam's kind", "otpauth://steam/Steam:x?x" + ok, "it is one of Steam's, whose codes are of Steam's own kind: keep it in the app"},
		{"Steam's encoder", "otpauth://totp/x?encoder=STEAM" + ok, "Steam's own kind"},
		{"Steam as the issuer", "otpauth://totp/x?issuer=steam" + ok, "Steam's own kind"},
		{"Steam as the issuer in the label", "otpauth://totp/Steam:x?x" + ok, "Steam's own kind"},
		{"Yandex' kind", "otpauth://yaotp/x?x" + ok, "Yandex' own kind"},
		{"no name", "otpauth://totp/?x" + ok, "it has no name: type its secret, and give it a name"},
		{"a name that cannot be seen", "otpauth://totp/%E2%80%8B%EF%BB%BF?x" + ok, "it has no name"},
		{"a name with control and bidi characters", "otpauth://totp/a%00b%1b%5b31m%E2%80%AEc?x" + ok, "its name has characters that cannot be shown: type the secret instead, with a name of your own"},
		{"a name with a bare control character", "otpauth://totp/a\x1b[31m?x" + ok, "its name has characters"},
		{"a name with a line break", "otpauth://totp/a%0Ab?x" + ok, "its name has characters"},
		{"a name with a control character of Latin-1", "otpauth://totp/a%C2%9B31m?x" + ok, "its name has characters"},
		{"an issuer in the label with a bidi character", "otpauth://totp/Goog%E2%80%AEle:a?x" + ok, "its name has characters"},
		{"an issuer with a bidi character", "otpauth://totp/a?issuer=%E2%81%A6Google" + ok, "its issuer has characters that cannot be shown: type the secret instead, with an issuer of your own"},
		{"a mark of direction", "otpauth://totp/%D8%9Ca?x" + ok, "its name has characters"},
		{"a bidi character, and no secret", "otpauth://totp/a%E2%80%AE?x", "it has no secret"},
		{"a name of 129 characters", "otpauth://totp/" + strings.Repeat("x", 129) + "?x" + ok, "its name is longer than 128 characters: type its secret"},
		{"a name of 4 kB", "otpauth://totp/" + strings.Repeat("x", 4096) + "?x" + ok, "its name is longer than 128 characters"},
		{"an issuer of 4 kB", "otpauth://totp/x?issuer=" + strings.Repeat("x", 4096) + ok, "its issuer is longer than 128 characters"},
		{"a name that is damaged", "otpauth://totp/x%4?x" + ok, "its name is cut off or damaged, behind a “%”: ask"},
		{"a secret that is damaged", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP%3", "its secret is cut off or damaged"},
		{"a parameter that is damaged", "otpauth://totp/x?issuer=100%+pure" + ok, "its issuer is cut off or damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := account.ParseURI([]byte(tt.uri))
			if !errors.Is(err, account.ErrAccount) || a != (account.Account{}) {
				t.Fatalf("got %+v, %v", a, err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("says %q", err)
			}
			checkWords(t, err.Error())
			if strings.Contains(strings.ToUpper(err.Error()), "JBSWY") {
				t.Errorf("tells the secret: %q", err)
			}
		})
	}
}

func TestURIReadsBack(t *testing.T) {
	seed := func() *secret.Secret { return secret.New([]byte("12345678901234567890")) }
	for _, a := range []account.Account{
		{Issuer: "Example", Name: "anna@example.com", Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Seed: seed()},
		{Issuer: "Müller & Söhne = 100%", Name: "a+b?c#d/e", Kind: provision.TOTP, Algorithm: provision.SHA512, Digits: 8, Period: 3600, Seed: seed()},
		{Name: "a:b", Kind: provision.HOTP, Algorithm: provision.SHA256, Digits: 7, Counter: 1 << 62, Seed: seed()},
		{Issuer: "a:b", Name: ":c:d", Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 1, Seed: seed()},
		{Issuer: "a+b", Name: "a+b:c", Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Seed: seed()},
		{Issuer: ":", Name: "+", Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Seed: seed()},
	} {
		check(t, []account.Account{a}, nil)
	}
	a := account.Account{Issuer: "ACME Co", Name: "anna", Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Seed: seed()}
	const want = "otpauth://totp/ACME%20Co:anna?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=ACME%20Co&algorithm=SHA1&digits=6&period=30"
	uri := a.URI()
	if got := string(uri.Reveal()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := fmt.Sprint(uri, a); strings.Contains(got, "GEZD") || strings.Contains(got, "1234") {
		t.Errorf("shows %s", got)
	}
}
