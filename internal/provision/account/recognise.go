package account

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// QR is what a QR code holds.
type QR string

// What QR codes hold.
const (
	QRAccount   QR = "account"   // ParseURI reads it
	QRMigration QR = "migration" // ParseMigration reads it
	QRMicrosoft QR = "microsoft" // Microsoft Authenticator's own, for push messages
	QRDuo       QR = "duo"
	QROkta      QR = "okta"
	QRSymantec  QR = "symantec"
	QRSteam     QR = "steam"
	QROther     QR = "other" // signing in to WhatsApp, a wireless network, a web page …
)

// Recognise tells what a QR code's text is. It looks at its beginning alone: what can be read need not be right.
func Recognise(text []byte) QR {
	text = trim(text)
	for _, of := range []struct {
		prefix string
		is     QR
	}{
		{"otpauth://", QRAccount},
		{"otpauth-migration://", QRMigration},
		{"phonefactor://", QRMicrosoft},
		{"ms-msa://", QRMicrosoft},
		{"duo://", QRDuo},
		{"oktaverify://", QROkta},
		{"vipaccess://", QRSymantec},
		{"steam://", QRSteam},
	} {
		if _, is := cutPrefixFold(text, of.prefix); is {
			return of.is
		}
	}
	if rest, is := cutPrefixFold(text, "https://"); is {
		return recogniseHost(rest)
	}
	if isDuo(text) {
		return QRDuo
	}
	return QROther
}

func recogniseHost(text []byte) QR {
	const longest = 253 // RFC 1035 §2.3.4
	host := text[:min(len(text), longest+1)]
	if end := bytes.IndexAny(host, "/?#:"); end >= 0 {
		host = host[:end]
	}
	switch name := "." + strings.ToLower(string(host)); {
	case strings.HasSuffix(name, ".duosecurity.com"):
		return QRDuo
	case strings.HasSuffix(name, ".vip.symantec.com"):
		return QRSymantec
	case name == ".s.team":
		return QRSteam
	}
	return QROther
}

// isDuo reports whether text is an activation of Duo without its scheme: a code, a hyphen, and the host in Base64.
func isDuo(text []byte) bool {
	const longest = 512
	at := bytes.LastIndexByte(text, '-')
	if at < 0 || len(text) > longest {
		return false
	}
	host, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(string(text[at+1:]), "="))
	return err == nil && strings.HasSuffix(string(host), ".duosecurity.com")
}

// Advice says why such a QR code gives no account, and what to do instead. It is empty for those that do. what is what
// the text was in: a QR code, a link.
func (q QR) Advice(what string) string {
	switch q {
	case QRAccount, QRMigration:
		return ""
	case QRMicrosoft:
		return "This " + what + " is for Microsoft's app alone, and holds no secret to make codes with. Beside it, choose “I want to use a different authenticator app”; if that link is missing, your organisation forbids it: use a security key."
	case QRDuo:
		return "This " + what + " is for Duo's app alone, and holds no secret to make codes with. Where it is shown, go back and choose a security key; if that is not offered, ask your organisation for a hardware token."
	case QROkta:
		return "This " + what + " is for Okta's app alone, and holds no secret to make codes with. Where it is shown, go back and choose “Google Authenticator”, whose QR code works here; if that is missing, your organisation forbids it: use a security key."
	case QRSymantec:
		return "This " + what + " is for Symantec's VIP Access alone, and holds no secret to make codes with. Ask the site whether it takes another authenticator app or a security key."
	case QRSteam:
		return "This " + what + " is for Steam's app alone, and Steam takes no other: use that one."
	}
	return "This " + what + " is for another app, and holds no account. Look at the site for the QR code of its authenticator app, or for the secret as text, to type it."
}
