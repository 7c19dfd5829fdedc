package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/secret"
)

// The bounds of LockAfter, and what it is if nobody says.
const (
	MinLockAfter     = time.Minute
	MaxLockAfter     = 24 * time.Hour
	DefaultLockAfter = 15 * time.Minute
)

// What a security key takes and gives (CTAP 2.1 §12.5), and what of it may come from a disk.
const (
	TapSaltSize   = 32
	TapSecretSize = 32

	maxRPID       = 128
	maxCredential = 1023
)

// Tap says how a security key opens a slot: the secret that its hmac-secret extension gives for Salt
// under a credential. That of a key which has verified its user is another one than that of a mere touch:
// a slot keeps to the one with which it was made.
type Tap struct {
	RPID       string
	Credential []byte
	Salt       []byte // TapSaltSize bytes
	Verify     bool   // the key verifies its user, by PIN or fingerprint
	LockAfter  time.Duration
}

// tapRecord is a Tap as it is kept.
type tapRecord struct {
	RPID       string `json:"rp_id"`
	Credential []byte `json:"credential"`
	Salt       []byte `json:"salt"`
	Verify     bool   `json:"verify,omitempty"`
	LockAfter  int64  `json:"lock_after"` // seconds
}

func (t Tap) record() *tapRecord {
	return &tapRecord{RPID: t.RPID, Credential: t.Credential, Salt: t.Salt, Verify: t.Verify, LockAfter: int64(t.LockAfter / time.Second)}
}

func (t *tapRecord) tap() Tap {
	return Tap{RPID: t.RPID, Credential: slices.Clone(t.Credential), Salt: slices.Clone(t.Salt), Verify: t.Verify, LockAfter: time.Duration(t.LockAfter) * time.Second}
}

// sound reports whether a key may be asked this.
func (t *tapRecord) sound() bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return len(t.RPID) > 0 && len(t.RPID) <= maxRPID && !strings.ContainsFunc(t.RPID, odd) &&
		len(t.Credential) > 0 && len(t.Credential) <= maxCredential && len(t.Salt) == TapSaltSize &&
		t.LockAfter >= int64(MinLockAfter/time.Second) && t.LockAfter <= int64(MaxLockAfter/time.Second)
}

// appendBound adds what is authenticated with the slot.
func (t *tapRecord) appendBound(b []byte) []byte {
	for _, part := range [][]byte{[]byte(t.RPID), t.Credential, t.Salt} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	verify := byte(0)
	if t.Verify {
		verify = 1
	}
	return binary.BigEndian.AppendUint64(append(b, verify), uint64(t.LockAfter))
}

// expandTap is expand for the secret that a security key gives.
type expandTap struct{ expand }

func (expandTap) sound(r record) bool { return r.Argon2 == nil && r.Tap != nil && r.Tap.sound() }

func (e expandTap) derive(ctx context.Context, r record, input *secret.Secret) (*secret.Secret, error) {
	if input.Len() != TapSecretSize {
		return nil, fmt.Errorf("cannot open a slot with %d bytes of a security key: it gives %d", input.Len(), TapSecretSize)
	}
	return e.expand.derive(ctx, r, input)
}

// TapSlot is a slot that a security key opens.
type TapSlot struct {
	ID   string
	Name string
	Tap
}

// TapSlots gives the slots that security keys open, oldest first. The vault need not be open.
func (v *Vault) TapSlots() ([]TapSlot, error) {
	recs, err := v.load()
	if err != nil {
		return nil, err
	}
	var out []TapSlot
	for _, e := range recs.of(TypeSecurityKey) {
		if e.fault == nil {
			out = append(out, TapSlot{ID: e.ID, Name: e.Name, Tap: e.Tap.tap()})
		}
	}
	return out, nil
}

// Opening is the vault about to be opened by a tap: Open or Drop ends it.
type Opening struct {
	v     *Vault
	data  *secret.Secret
	locks int
	by    record
}

// PrepareOpen finds out whether the secret that a security key gave, which the caller wipes, opens a slot.
// It fails with ErrNotFound, with ErrWrongTap where the secret is not the slot's, and with ErrDamaged.
func (v *Vault) PrepareOpen(ctx context.Context, id string, given *secret.Secret) (*Opening, error) {
	locks := v.lockCount()
	recs, err := v.load()
	if err != nil {
		return nil, err
	}
	e, err := recs.find(id)
	switch {
	case err != nil:
		return nil, err
	case e.fault != nil:
		return nil, e.fault
	case e.Type != TypeSecurityKey:
		return nil, ErrNotFound
	}
	data, err := v.unseal(ctx, e.record, given, recs.head)
	if errors.Is(err, errWrongKey) {
		err = ErrWrongTap
	}
	if err != nil {
		return nil, err
	}
	return &Opening{v: v, data: data, locks: locks, by: e.record}, nil
}

// Open opens the vault, until it locks by itself: it fails with ErrSealed if Lock was called since.
func (o *Opening) Open() error {
	data := o.data
	o.data = nil // install owns it
	return o.v.install(data, o.locks, o.by)
}

// Drop opens nothing. After Open it does nothing.
func (o *Opening) Drop() { o.data.Wipe() }

// wake is how often it is looked whether the time of an open vault is over: timers sleep with the machine.
const wake = time.Minute

// untilLocked sets when the vault locks by itself, now that by has opened it or would: never, unless that
// is a security key's slot. The later time counts. The caller holds the lock.
func (v *Vault) untilLocked(by record, wasOpen bool) {
	until := int64(0)
	if by.Tap != nil {
		if wasOpen && v.until.Load() == 0 {
			return // something opened it for good
		}
		until = max(v.until.Load(), int64(v.boot())+by.Tap.LockAfter*int64(time.Second))
	}
	v.until.Store(until)
	v.watch()
}

// watch looks at the clock when the time of the open vault may be over. The caller holds the lock.
func (v *Vault) watch() {
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
	}
	if until := v.until.Load(); until != 0 {
		v.timer = time.AfterFunc(min(time.Duration(until)-v.boot(), wake), func() {
			v.lapse()
			v.mu.Lock()
			defer v.mu.Unlock()
			v.watch()
		})
	}
}

// lapse locks the vault if its time is over. It is called before every use of a key.
func (v *Vault) lapse() {
	if until := v.until.Load(); until == 0 || int64(v.boot()) < until {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if until := v.until.Load(); until != 0 && int64(v.boot()) >= until {
		v.lock("its time is over")
	}
}

// lock forgets the keys. The caller holds the lock.
func (v *Vault) lock(why string) {
	v.locks++
	if v.data != nil {
		v.log.Info("the vault is locked", slog.String("why", why))
	}
	v.forget()
}
