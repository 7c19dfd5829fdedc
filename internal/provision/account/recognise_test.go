package account_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision/account"
)

func TestRecognise(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       account.QR
	}{
		{"an account", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP", account.QRAccount},
		{"an account in great letters", " OTPAUTH://TOTP/X?SECRET=JBSWY3DPEHPK3PXP\n", account.QRAccount},
		{"an account that is wrong", "otpauth://", account.QRAccount},
		{"Google Authenticator's export", "otpauth-migration://offline?data=CgA%3D", account.QRMigration},
		{"Microsoft's, for work", "phonefactor://activate_account?code=123456789&url=https%3a%2f%2fmobileappcommunicator.auth.microsoft.com%2fmac%2f123", account.QRMicrosoft},
		{"Microsoft's, for persons", "ms-msa://code=M.C501_BAY.2.U.12345678-1234&uaid=0123456789abcdef", account.QRMicrosoft},
		{"Duo's", "duo://c53Xoof7cFSOHGxtm69f-YXBpLWU0Yzk4NjNlLmR1b3NlY3VyaXR5LmNvbQ", account.QRDuo},
		{"Duo's, without its scheme", "c53Xoof7cFSOHGxtm69f-YXBpLWU0Yzk4NjNlLmR1b3NlY3VyaXR5LmNvbQ", account.QRDuo},
		{"Duo's, as a link", "https://m-1234abcd.duosecurity.com/activate/c53Xoof7cFSOHGxtm69f", account.QRDuo},
		{"Okta's", "oktaverify://anna@example.com/?t=aaaa&f=bbbb&s=https://example.okta.com&issuer=Example&isIdxEnabled=true", account.QROkta},
		{"Symantec's, as a link", "https://m.vip.symantec.com/x", account.QRSymantec},
		{"Symantec's", "vipaccess://x", account.QRSymantec},
		{"Steam's", "https://s.team/q/1/1234567890123456789", account.QRSteam},
		{"Steam's secret, as password managers have it", "steam://JBSWY3DPEHPK3PXP", account.QRSteam},
		{"WhatsApp's", "https://wa.me/settings/linked_devices#2@abcdef,ghi,jkl", account.QROther},
		{"WhatsApp's, as it was", "2@abcdefghijkl,mnopqr==,stuvwx==,yz", account.QROther},
		{"Signal's", "sgnl://linkdevice?uuid=abc&pub_key=def", account.QROther},
		{"a passkey's", "FIDO:/0123456789", account.QROther},
		{"a wireless network's", "WIFI:T:WPA;S:home;P:secret;;", account.QROther},
		{"a web page", "https://example.com/duosecurity.com", account.QROther},
		{"a web page that means to be another", "https://notduosecurity.com/", account.QROther},
		{"a host that is too long", "https://" + strings.Repeat("a", 300) + ".duosecurity.com/", account.QROther},
		{"a word with a hyphen", "well-known", account.QROther},
		{"nothing", "", account.QROther},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := account.Recognise([]byte(tt.text))
			if got != tt.want {
				t.Errorf("takes it for %s", got)
			}
			checkAdvice(t, got)
		})
	}
	if got := account.Recognise([]byte("x-" + base64.StdEncoding.EncodeToString([]byte("api.duosecurity.com")))); got != account.QRDuo {
		t.Errorf("takes Duo's with padding for %s", got)
	}
}

func checkAdvice(t *testing.T, qr account.QR) {
	t.Helper()
	advice := qr.Advice("link")
	if read := qr == account.QRAccount || qr == account.QRMigration; read != (advice == "") || !read && !strings.HasPrefix(advice, "This link is for ") {
		t.Errorf("advises %q on %s", advice, qr)
	}
}

func TestAdviceSaysWhatElseToDo(t *testing.T) {
	for qr, want := range map[account.QR]string{
		account.QRMicrosoft: "“I want to use a different authenticator app”; if that link is missing, your organisation forbids it: use a security key",
		account.QRDuo:       "choose a security key",
		account.QROkta:      "“Google Authenticator”",
		account.QRSymantec:  "another authenticator app",
		account.QRSteam:     "use that one",
		account.QROther:     "the QR code of its authenticator app",
	} {
		if got := qr.Advice("link"); !strings.Contains(got, want) {
			t.Errorf("advises %q on %s", got, qr)
		}
	}
}
