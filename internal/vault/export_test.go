package vault

import (
	"encoding/json"

	"github.com/fobproject/fob/internal/store"
)

// Cheap makes new passphrases cost next to nothing, so that tests under the race detector end today.
func Cheap(v *Vault) *Vault {
	v.kinds = kinds(cost{Time: 1, Memory: 64, Threads: 1})
	return v
}

// HoldArgon2 keeps the turn to derive from a passphrase until release is called.
func HoldArgon2(v *Vault) (release func()) {
	s := v.kinds[TypePassphrase].deriver.(stretch)
	s.turn <- struct{}{}
	return func() { <-s.turn }
}

// ReadRecovery reads a recovery key, and FormatRecovery writes one.
var (
	ReadRecovery   = readRecovery
	FormatRecovery = formatRecovery
)

// TapOf is what the record asks a security key for; sound says that it may be used, and is for one.
func TapOf(raw []byte) (tap Tap, sound bool) {
	var r record
	if json.Unmarshal(raw, &r) != nil {
		return Tap{}, false
	}
	v := &Vault{kinds: kinds(standard)}
	if v.checkRecord(r.key(), r) != nil || r.Tap == nil {
		return Tap{}, false
	}
	return r.Tap.tap(), true
}

// Memory is what the record asks Argon2 for, in KiB; sound says that the record may be used.
func Memory(raw []byte) (kib uint64, sound bool) {
	var r record
	if json.Unmarshal(raw, &r) != nil {
		return 0, false
	}
	v := &Vault{kinds: kinds(standard)}
	if v.checkRecord(r.key(), r) != nil {
		return 0, false
	}
	if r.Argon2 != nil {
		kib = uint64(r.Argon2.Memory) * uint64(r.Argon2.Time)
	}
	return kib, true
}

// Bucket is that of the slots, as whoever damages or copies a database sees it.
var Bucket = store.NewBucket[json.RawMessage]("vault-slots")

// Headers is the bucket of the one header.
var Headers = store.NewBucket[json.RawMessage]("vault")

// HoldsKey reports whether the vault holds its data key, without a look at the clock.
func HoldsKey(v *Vault) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.data != nil
}
