// Package account reads accounts as other programs give them: what makes one-time codes for somebody else's site,
// in otpauth links, in Google Authenticator's codes for moving, and in the exports of Aegis and 2FAS.
package account

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// ErrAccount is wrapped by the refusals of an account. They say what is wrong and what to do, and have nothing in
// them of what was read: it may hold a secret.
var ErrAccount = errors.New("cannot take the account")

// Account is one account for a site. What is read is within the bounds that stand at the fields, and its text holds
// no control, bidirectional or other invisible characters.
type Account struct {
	Issuer    string // at most 128 characters; may be empty
	Name      string // 1 to 128 characters
	Kind      provision.Kind
	Algorithm provision.Algorithm
	Digits    int    // 6 to 8
	Period    int    // seconds, 1 to 3600; 0 unless TOTP
	Counter   uint64 // the next one; 0 unless HOTP
	// Seed has 5 to 128 bytes. It belongs to whoever is given the Account, who wipes it.
	Seed *secret.Secret
}

// Skipped is an account that cannot be taken; the others of its file can.
type Skipped struct {
	Issuer string // may be empty
	Name   string // may be empty; in a file of links the line
	Reason string // what is wrong and what to do; has nothing of a secret in it
}

// Wipe clears the seed.
func (a *Account) Wipe() { a.Seed.Wipe() }

// Bounds of an account: what Fob makes codes of.
const (
	minDigits  = 6
	maxDigits  = 8
	maxPeriod  = 3600    // seconds
	maxCounter = 1 << 62 // beyond what anybody could press
	minSeed    = 5       // bytes
	maxSeed    = 128     // bytes
	maxText    = 128     // runes: of issuer and name each
)

// What an account has that does not say.
const (
	defaultDigits = 6
	defaultPeriod = 30 // seconds (RFC 6238 §5.2)
)

// What to do about an account that cannot be taken.
const (
	anew      = "ask the site for a new QR code"
	elsewhere = "keep it in the app that it was made for"
)

// Accounts whose codes are of a kind that no other program has.
const (
	steam  = "it is one of Steam's, whose codes are of Steam's own kind: " + elsewhere
	yandex = "it is one of Yandex', whose codes are of Yandex' own kind: " + elsewhere
)

// tidy gives the account the form in which it is compared and shown.
func (a *Account) tidy() {
	a.Issuer, a.Name = provision.Visible(a.Issuer), provision.Visible(a.Name)
	if a.Name == "" {
		a.Issuer, a.Name = "", a.Issuer
	}
	if a.Kind == provision.HOTP {
		a.Period = 0
	} else {
		a.Counter = 0
	}
}

// fault tells why there can be no such account, or nothing.
func (a *Account) fault() string {
	switch {
	case a.Name == "":
		return "it has no name: type its secret, and give it a name"
	case utf8.RuneCountInString(a.Issuer) > maxText:
		return fmt.Sprintf("its issuer is longer than %d characters: type its secret, and give it a shorter one", maxText)
	case utf8.RuneCountInString(a.Name) > maxText:
		return fmt.Sprintf("its name is longer than %d characters: type its secret, and give it a shorter one", maxText)
	case strings.EqualFold(a.Issuer, "Steam"):
		return steam
	case a.Kind != provision.HOTP && a.Kind != provision.TOTP:
		return "its codes are neither TOTP nor HOTP: " + elsewhere
	case a.Algorithm != provision.SHA1 && a.Algorithm != provision.SHA256 && a.Algorithm != provision.SHA512:
		return "its codes are made with none of SHA1, SHA256 and SHA512: " + elsewhere
	case a.Digits < minDigits || a.Digits > maxDigits:
		return fmt.Sprintf("its codes do not have %d to %d digits: %s", minDigits, maxDigits, elsewhere)
	case a.Kind == provision.TOTP && (a.Period < 1 || a.Period > maxPeriod):
		return fmt.Sprintf("its period is no number of seconds from 1 to %d: %s", maxPeriod, anew)
	case a.Kind == provision.HOTP && a.Counter > maxCounter:
		return "its counter is no number that it could have reached: " + anew
	}
	return ""
}

// hidden tells why nobody should be shown an account of this name: what its characters make of a line, or of the text
// around it, is not what it is. Or nothing.
func hidden(issuer, name string) string {
	bad := func(r rune) bool { return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r) }
	switch {
	case strings.ContainsFunc(name, bad):
		return "its name has characters that cannot be shown: type the secret instead, with a name of your own"
	case strings.ContainsFunc(issuer, bad):
		return "its issuer has characters that cannot be shown: type the secret instead, with an issuer of your own"
	}
	return ""
}

// seedFault tells why no seed is as long, or nothing.
func seedFault(n int) string {
	switch {
	case n == 0:
		return "it has no secret: " + anew
	case n < minSeed || n > maxSeed:
		return fmt.Sprintf("its secret does not have %d to %d bytes: %s", minSeed, maxSeed, anew)
	}
	return ""
}

// readSeed sets the seed from Base32, or tells why it cannot.
func (a *Account) readSeed(text []byte) string {
	if len(text) == 0 {
		return seedFault(0)
	}
	seed, err := provision.ParseShortSeed(text, provision.EncodingBase32, minSeed)
	if err != nil {
		why := strings.TrimPrefix(err.Error(), provision.ErrSeed.Error()+": ")
		return "its secret cannot be read, " + why + ": " + anew
	}
	a.Seed = seed
	return ""
}

// readLabel sets issuer and name from a label, [ISSUER:]NAME, and the issuer that stands beside it, which wins. It
// tells why they cannot be taken, or nothing.
func (a *Account) readLabel(label, issuer string) string {
	fault := hidden(issuer, label)
	label, issuer = provision.Visible(label), provision.Visible(issuer)
	// The issuer may have a colon of its own. Sites that write "+" for a space do so in both places.
	if n := len(issuer); n > 0 && len(label) > n && label[n] == ':' && strings.EqualFold(strings.ReplaceAll(label[:n], "+", " "), strings.ReplaceAll(issuer, "+", " ")) {
		a.Issuer, a.Name = issuer, label[n+1:]
		return fault
	}
	before, after, found := strings.Cut(label, ":")
	switch {
	case !found:
		a.Issuer, a.Name = issuer, label
	case issuer == "":
		a.Issuer, a.Name = before, after
	default:
		a.Issuer, a.Name = issuer, after
	}
	return fault
}
