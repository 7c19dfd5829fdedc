package vault

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// MaxSlots bounds the slots of a vault, and MaxName their names, in characters.
const (
	MaxSlots = 16
	MaxName  = 64
)

const (
	idLength   = 10
	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz" // no letters that people confuse; 5 bits each
	saltSize   = 16
)

// Slot is a slot as people see it.
type Slot struct {
	ID      string
	Type    SlotType
	Name    string
	Added   time.Time
	Changed time.Time // when the passphrase or recovery key was replaced; zero if never
	// Where is the place of an automatic slot's key; empty for a person's, and where this vault has no
	// such Keeper.
	Where string
	// Verify and LockAfter are a security key's: whether it verifies its user, and when the vault locks by
	// itself after it was opened so.
	Verify    bool
	LockAfter time.Duration
	// Damaged says that the slot cannot open this vault; ID and perhaps Type are then all that is known.
	Damaged bool
}

// record is a slot as it is kept. Its id, type and parameters are bound to what is sealed in it.
type record struct {
	ID      string     `json:"id"`
	Type    SlotType   `json:"type"`
	Name    string     `json:"name"`
	Added   time.Time  `json:"added"`
	Changed time.Time  `json:"changed,omitzero"`
	Salt    []byte     `json:"salt"`
	Argon2  *cost      `json:"argon2,omitempty"`
	Tap     *tapRecord `json:"tap,omitempty"`
	Sealed  []byte     `json:"sealed"` // the data key
	Check   []byte     `json:"check"`  // shows those who have the data key that the slot holds it
}

// header is the vault's one other record.
type header struct {
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	Check   []byte    `json:"check"` // shows whether a data key is this vault's
}

const headerVersion = 1

var (
	headers = store.NewBucket[header]("vault")
	slots   = store.NewBucket[record]("vault-slots") // by id

	headerKey = []byte("vault")
)

func (r record) key() []byte { return []byte(r.ID) }

// bound is what is authenticated with the sealed data key, so that neither records nor their parts can
// be exchanged: each text with its length in front.
func (r record) bound() []byte {
	b := []byte("fob vault slot v1")
	for _, part := range [][]byte{[]byte(r.ID), []byte(r.Type), r.Salt} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	if c := r.Argon2; c != nil {
		b = binary.BigEndian.AppendUint32(b, c.Time)
		b = binary.BigEndian.AppendUint32(b, c.Memory)
		b = append(b, c.Threads)
	}
	if r.Tap != nil {
		b = r.Tap.appendBound(b)
	}
	return b
}

// newRecord begins a record.
func (v *Vault) newRecord(t SlotType, name string) (record, error) {
	id, err := v.random(idLength)
	if err != nil {
		return record{}, err
	}
	b := id.Reveal() // no secret: only the way to random bytes is shared
	for i := range b {
		b[i] = idAlphabet[b[i]%32]
	}
	return record{ID: string(b), Type: t, Name: name, Added: v.now().UTC()}, nil
}

// seal fills the record in: data, sealed under the key that input leads to with fresh parameters.
func (v *Vault) seal(ctx context.Context, r record, input, data *secret.Secret) (record, error) {
	salt, err := v.random(saltSize)
	if err != nil {
		return record{}, err
	}
	r.Salt = salt.Reveal() // no secret either
	k := v.kinds[r.Type]
	k.set(&r)
	key, err := k.derive(ctx, r, input)
	if err != nil {
		return record{}, err
	}
	defer key.Wipe()
	if r.Sealed, err = sealUnder(v.rand, key, data.Reveal(), r.bound()); err != nil {
		return record{}, err
	}
	checks := newChecks(data)
	defer checks.wipe()
	r.Check = checks.ofSlot(r)
	return r, nil
}

// unseal gives the data key that a slot holds. It fails with errWrongKey if input does not open it, and
// with ErrDamaged if what it holds is not the key of the vault with this header.
func (v *Vault) unseal(ctx context.Context, r record, input *secret.Secret, head header) (*secret.Secret, error) {
	key, err := v.kinds[r.Type].derive(ctx, r, input)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	data, err := openUnder(key, r.Sealed, r.bound())
	if err != nil {
		return nil, errWrongKey
	}
	checks := newChecks(data)
	defer checks.wipe()
	if !checks.header(head) || !checks.slot(r) {
		data.Wipe()
		return nil, fmt.Errorf("%w: slot %s holds the key of another vault", ErrDamaged, r.ID)
	}
	return data, nil
}

// newHeader is the header of a new vault with this data key.
func (v *Vault) newHeader(data *secret.Secret) header {
	checks := newChecks(data)
	defer checks.wipe()
	return header{Version: headerVersion, Created: v.now().UTC(), Check: checks.ofHeader()}
}

// entry is a record, or what is left of one: then fault says what is wrong, and of the record only the
// id, if that, and the type are to be used.
type entry struct {
	record
	at    []byte // its key in the bucket
	fault error
}

// records is all that is kept of the vault.
type records struct {
	made    bool // there is a header
	head    header
	entries []entry // oldest first
}

// of gives the sound and damaged slots of one type.
func (r records) of(t SlotType) []entry {
	return slices.DeleteFunc(slices.Clone(r.entries), func(e entry) bool { return e.Type != t })
}

// find gives the slot with an id, damaged or not, or fails with ErrNotFound.
func (r records) find(id string) (entry, error) {
	at := slices.IndexFunc(r.entries, func(e entry) bool { return e.ID == id && id != "" })
	if at < 0 {
		return entry{}, ErrNotFound
	}
	return r.entries[at], nil
}

// same reports whether two entries are one and the same slot with the same content.
func (e entry) same(o entry) bool {
	return bytes.Equal(e.at, o.at) && bytes.Equal(e.Sealed, o.Sealed) && (e.fault == nil) == (o.fault == nil)
}

// load reads the records in a transaction of its own.
func (v *Vault) load() (recs records, err error) {
	err = v.store.View(func(tx *store.Tx) (err error) {
		recs, err = v.read(tx)
		return err
	})
	return recs, err
}

// read is scan, and fails with ErrDamaged where there are slots and no header: then a vault was here,
// and none may be made in its place.
func (v *Vault) read(tx *store.Tx) (records, error) {
	recs, err := v.scan(tx)
	if err == nil && !recs.made && len(recs.entries) > 0 {
		return records{}, fmt.Errorf("%w: its slots are there, and its header is not", ErrDamaged)
	}
	return recs, err
}

// scan reads what there is. Slots that cannot be used come with their fault.
func (v *Vault) scan(tx *store.Tx) (recs records, err error) {
	recs.head, err = headers.Get(tx, headerKey)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return records{}, err
	case recs.head.Version > headerVersion:
		return records{}, fmt.Errorf("%w: the vault has version %d", store.ErrNewer, recs.head.Version)
	default:
		recs.made = true
	}
	for item, err := range slots.All(tx, nil) {
		e := entry{record: item.Value, at: item.Key, fault: err}
		if err == nil {
			e.fault = v.checkRecord(item.Key, item.Value)
		}
		if e.fault != nil {
			e.record = record{Type: e.Type}
			if id := string(item.Key); isID(id) {
				e.ID = id
			}
		}
		// No Fob keeps more than MaxSlots, and each may cost an Argon2.
		if recs.entries = append(recs.entries, e); len(recs.entries) > 2*MaxSlots {
			return records{}, fmt.Errorf("%w: there are more than %d slots", ErrDamaged, 2*MaxSlots)
		}
	}
	slices.SortStableFunc(recs.entries, func(a, b entry) int { return a.Added.Compare(b.Added) })
	return recs, nil
}

// checkRecord fails with ErrDamaged on a record that no Fob has written under this key, and with
// ErrBadType on one that a newer may have.
func (v *Vault) checkRecord(key []byte, r record) error {
	k, ok := v.kinds[r.Type]
	if !ok {
		return fmt.Errorf("%w as slot %q has: perhaps a newer Fob made it", ErrBadType, key)
	}
	var fault string
	switch {
	case r.ID != string(key) || !isID(r.ID):
		fault = "does not stand in its place"
	case checkName(r.Name) != nil:
		fault = "has a name that cannot be shown"
	case len(r.Salt) != saltSize || len(r.Sealed) != keySize+overhead || len(r.Check) != checkSize:
		fault = "is cut"
	case !k.sound(r):
		fault = "has parameters out of bounds"
	default:
		return nil
	}
	return fmt.Errorf("%w: the slot at %q %s", ErrDamaged, key, fault)
}

func isID(s string) bool {
	return len(s) == idLength && strings.Trim(s, idAlphabet) == ""
}

// checkName fails with ErrBadName unless name can be shown as it is.
func checkName(name string) error {
	n := utf8.RuneCountInString(name)
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if n < 1 || n > MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable) || strings.TrimSpace(name) != name {
		return ErrBadName
	}
	return nil
}
