package vault

import (
	"io"
	"slices"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/secret"
)

// SlotType says what opens a slot.
type SlotType string

// The types of slot.
const (
	TypeKeyFile       SlotType = "key-file"       // a file beside the database, by itself
	TypeSecretService SlotType = "secret-service" // the desktop's keyring, by itself
	TypePassphrase    SlotType = "passphrase"     // what a person remembers
	TypeRecovery      SlotType = "recovery"       // what a person has printed
	TypeSecurityKey   SlotType = "security-key"   // a tap on a key, by its hmac-secret
)

// The bounds of a passphrase: characters, and bytes.
const (
	minPassphrase = 8
	maxPassphrase = 1024
)

// kind is what the slots of one type have in common. A new type of slot is a new line in kinds.
type kind struct {
	deriver
	title string // what a slot is called if nobody names it
	thing string // what opens it, within a sentence
	slow  bool   // derive takes long: others are tried first
	tap   bool   // a security key has the input
	// read makes of what a person typed the input of derive. It fails with ErrTypo, or with another
	// error where it can be nothing of this type. It is nil, as is fresh, if nobody types it.
	read func(typed *secret.Secret) (input *secret.Secret, err error)
	// fresh makes the input of a new slot, and, if it is not what the person gave, what to show them.
	fresh func(rand io.Reader, passphrase *secret.Secret) (input, shown *secret.Secret, err error)
}

// automatic reports whether slots of this kind open without a person.
func (k kind) automatic() bool { return !k.typed() && !k.tap }

// typed reports whether a person types what opens slots of this kind.
func (k kind) typed() bool { return k.read != nil }

// kinds is the table of the types of slot. New passphrases cost c.
func kinds(c cost) map[SlotType]kind {
	return map[SlotType]kind{
		TypeKeyFile:       {deriver: expand{}, title: "Key file", thing: "key file"},
		TypeSecretService: {deriver: expand{}, title: "Secret service", thing: "secret service"},
		TypePassphrase: {
			deriver: newStretch(c), title: "Passphrase", thing: "passphrase", slow: true,
			read: readPassphrase, fresh: freshPassphrase,
		},
		TypeRecovery: {
			deriver: expand{}, title: "Recovery key", thing: "printed recovery key",
			read: readRecovery, fresh: freshRecovery,
		},
		TypeSecurityKey: {deriver: expandTap{}, title: "Security key", thing: "security key", tap: true},
	}
}

// quickFirst gives the slots that a person opens by typing, and the damaged ones that may have been such, the
// quick ones first.
func (v *Vault) quickFirst(all []entry) []entry {
	persons := slices.DeleteFunc(slices.Clone(all), func(e entry) bool {
		k, known := v.kinds[e.Type]
		return known && !k.typed()
	})
	slow := func(e entry) int {
		if v.kinds[e.Type].slow {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(persons, func(a, b entry) int { return slow(a) - slow(b) })
	return persons
}

func readPassphrase(typed *secret.Secret) (*secret.Secret, error) {
	if typed.Len() > maxPassphrase {
		return nil, ErrWeak
	}
	return secret.New(slices.Clone(typed.Reveal())), nil
}

func freshPassphrase(_ io.Reader, passphrase *secret.Secret) (input, shown *secret.Secret, err error) {
	if utf8.RuneCount(passphrase.Reveal()) < minPassphrase {
		return nil, nil, ErrWeak
	}
	input, err = readPassphrase(passphrase)
	return input, nil, err
}
