package account

import (
	"bytes"
	"encoding/base32"
	"fmt"
	"strconv"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// maxURI bounds a link in bytes: a QR code holds less than 3 kB, and some links name a picture.
const maxURI = 8192

// ParseURI reads an account from an otpauth link (the Key URI Format of Google Authenticator):
//
//	otpauth://totp/ISSUER:NAME?secret=BASE32&issuer=ISSUER&algorithm=SHA1&digits=6&period=30
//
// Where the issuers differ the parameter wins. Parameters that are not known are passed over, such as a picture's
// address. Its errors wrap ErrAccount.
func ParseURI(text []byte) (Account, error) {
	a, reason := readURI(text)
	if reason != "" {
		a.Wipe()
		return Account{}, fmt.Errorf("%w: %s", ErrAccount, reason)
	}
	return a, nil
}

// parameters are those of a link that say something, as they stand in it.
type parameters struct{ secret, issuer, algorithm, digits, period, counter, encoder []byte }

func readURI(text []byte) (a Account, reason string) {
	text = trim(text)
	if len(text) > maxURI {
		return a, "it is longer than any link of an account: copy the otpauth:// link alone"
	}
	rest, ok := cutPrefixFold(text, "otpauth://")
	if !ok {
		return a, "it is no link of an account, which begins with otpauth://: copy the whole link"
	}
	path, query, _ := bytes.Cut(rest, []byte("?"))
	kind, label, _ := bytes.Cut(path, []byte("/"))
	a = Account{Algorithm: provision.SHA1, Digits: defaultDigits, Period: defaultPeriod}
	switch {
	case equalFold(kind, "totp"):
		a.Kind = provision.TOTP
	case equalFold(kind, "hotp"):
		a.Kind = provision.HOTP
	case equalFold(kind, "steam"):
		return a, steam
	case equalFold(kind, "yaotp"):
		return a, yandex
	}
	var p parameters
	defer func() { clear(p.secret) }()
	if reason := p.read(query); reason != "" {
		return a, reason
	}
	name, ok := unescape(label, false)
	if !ok {
		return a, "its name is cut off or damaged, behind a “%”: " + anew
	}
	fault := a.readLabel(string(name), string(p.issuer))
	if equalFold(p.encoder, "steam") {
		return a, steam
	}
	if reason := a.fill(&p); reason != "" {
		return a, reason
	}
	if fault != "" {
		return a, fault
	}
	a.tidy()
	return a, a.fault()
}

// fill sets what the parameters say, or tells why it cannot.
func (a *Account) fill(p *parameters) string {
	if len(p.algorithm) > 0 {
		a.Algorithm = provision.ParseAlgorithm(string(p.algorithm))
	}
	// What a number cannot be is -1, which no bound allows. The other kind's number says nothing.
	if len(p.digits) > 0 {
		a.Digits = parseSmall(p.digits)
	}
	if len(p.period) > 0 {
		a.Period = parseSmall(p.period)
	}
	if len(p.counter) > 0 {
		n, err := strconv.ParseUint(string(p.counter), 10, 64)
		if err != nil {
			n = maxCounter + 1
		}
		a.Counter = n
	}
	return a.readSeed(p.secret)
}

// read takes a link's parameters, or tells why it cannot.
func (p *parameters) read(query []byte) string {
	seen := map[string]bool{}
	for pair := range bytes.SplitSeq(query, []byte("&")) {
		key, value, _ := bytes.Cut(pair, []byte("="))
		key = bytes.TrimPrefix(key, []byte("amp;")) // copied out of a page's source
		for _, known := range []struct {
			name string
			to   *[]byte
		}{
			{"secret", &p.secret}, {"issuer", &p.issuer}, {"algorithm", &p.algorithm}, {"digits", &p.digits},
			{"period", &p.period}, {"counter", &p.counter}, {"encoder", &p.encoder},
		} {
			if !equalFold(key, known.name) {
				continue
			}
			if seen[known.name] {
				return fmt.Sprintf("it has its %s twice: %s", known.name, anew)
			}
			seen[known.name] = true
			text, ok := unescape(value, true)
			if !ok {
				return fmt.Sprintf("its %s is cut off or damaged, behind a “%%”: %s", known.name, anew)
			}
			*known.to = text
		}
	}
	return ""
}

// URI is the account as a link, which ParseURI reads back as the same one. The caller wipes it.
func (a Account) URI() *secret.Secret {
	encoding := base32.StdEncoding.WithPadding(base32.NoPadding)
	// Nothing of the secret may stay behind where the bytes would have grown.
	b := make([]byte, 0, 3*(2*len(a.Issuer)+len(a.Name))+encoding.EncodedLen(a.Seed.Len())+128)
	b = append(b, "otpauth://"...)
	b = append(b, a.Kind...)
	b = append(b, '/')
	if a.Issuer != "" || bytes.ContainsRune([]byte(a.Name), ':') {
		b = append(escape(b, a.Issuer), ':')
	}
	b = escape(b, a.Name)
	b = append(b, "?secret="...)
	b = encoding.AppendEncode(b, a.Seed.Reveal())
	if a.Issuer != "" {
		b = escape(append(b, "&issuer="...), a.Issuer)
	}
	b = append(append(b, "&algorithm="...), a.Algorithm...)
	b = strconv.AppendInt(append(b, "&digits="...), int64(a.Digits), 10)
	if a.Kind == provision.HOTP {
		b = strconv.AppendUint(append(b, "&counter="...), a.Counter, 10)
	} else {
		b = strconv.AppendInt(append(b, "&period="...), int64(a.Period), 10)
	}
	return secret.New(b)
}

// escape appends text with what means something in a link percent-encoded (RFC 3986 §2.3).
func escape(b []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '@':
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// unescape undoes percent-encoding in new bytes. In a link's parameters, unlike its path, many sites write “+” for
// a space.
func unescape(text []byte, plus bool) ([]byte, bool) {
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '+' && plus:
			b = append(b, ' ')
		case c == '%':
			high, low := -1, -1
			if i+2 < len(text) {
				high, low = hexDigit(text[i+1]), hexDigit(text[i+2])
			}
			if high < 0 || low < 0 {
				clear(b)
				return nil, false
			}
			b = append(b, byte(high<<4|low))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b, true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// parseSmall reads a decimal number without sign; what cannot be read is -1.
func parseSmall(text []byte) int {
	n, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// trim takes away what copying leaves around text.
func trim(text []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
}

func equalFold(text []byte, name string) bool {
	return len(text) == len(name) && bytes.EqualFold(text, []byte(name))
}

func cutPrefixFold(text []byte, prefix string) ([]byte, bool) {
	if len(text) < len(prefix) || !equalFold(text[:len(prefix)], prefix) {
		return nil, false
	}
	return text[len(prefix):], true
}
