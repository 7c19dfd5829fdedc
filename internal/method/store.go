package method

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/store"
)

// MaxPerType bounds one user's methods of each type. Some keys take no more than eight credentials in
// one question (maxCredentialCountInList, CTAP 2.1 §6.4); and a guess has as many chances as a user has
// tokens.
const MaxPerType = 8

// maxName is the length of a name in runes.
const maxName = 64

// ErrTooMany is returned by Add when the user has MaxPerType methods of that type.
var ErrTooMany = fmt.Errorf("%d sign-in methods of this type are registered, and there is no room for more: remove one first", MaxPerType)

// Both buckets hold by key(uid, id).
var (
	bucket        = store.NewBucket[Method]("methods")
	registrations = store.NewBucket[Registration]("registrations")
)

// key is the uid, big-endian so that a user's methods stand together, then the id.
func key(uid uint32, id string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uid), id...)
}

// List gives the user's methods, oldest first. A method without what its type has is damaged.
func List(tx *store.Tx, uid uint32) ([]Method, error) {
	var all []Method
	for item, err := range bucket.All(tx, key(uid, "")) {
		if err != nil {
			return nil, err
		}
		if m := item.Value; (m.Type == TypeKey) != (m.Key != nil) || (m.Type == TypeToken) != (m.Token != nil) || m.UID != uid {
			return nil, fmt.Errorf("%w: the sign-in method at %x", store.ErrDamaged, item.Key)
		}
		all = append(all, item.Value)
	}
	slices.SortStableFunc(all, func(a, b Method) int { return a.Added.Compare(b.Added) })
	return all, nil
}

// OnlyOf gives the methods of a user, and fails with ErrOthers where there are methods of anybody else.
func OnlyOf(tx *store.Tx, uid uint32) ([]Method, error) {
	for item, err := range bucket.All(tx, nil) {
		if err != nil {
			return nil, err
		}
		if item.Value.UID != uid {
			return nil, fmt.Errorf("%w: uid %d (%s)", ErrOthers, item.Value.UID, caller.Clean(item.Value.User))
		}
	}
	return List(tx, uid)
}

// Each calls do with every method of every user, by uid, until it fails.
func Each(tx *store.Tx, do func(Method) error) error {
	for item, err := range bucket.All(tx, nil) {
		if err != nil {
			return err
		}
		if err := do(item.Value); err != nil {
			return err
		}
	}
	return nil
}

// Count counts the methods of all users.
func Count(tx *store.Tx) (n int, err error) {
	err = Each(tx, func(Method) error { n++; return nil })
	return n, err
}

// Any reports whether anybody has a method.
func Any(tx *store.Tx) (bool, error) {
	for _, err := range bucket.All(tx, nil) {
		return true, err
	}
	return false, nil
}

// Get gives one method of the user, or ErrNotFound.
func Get(tx *store.Tx, uid uint32, id string) (Method, error) {
	m, err := bucket.Get(tx, key(uid, id))
	if errors.Is(err, store.ErrNotFound) {
		return Method{}, ErrNotFound
	}
	return m, err
}

// Registered gives what the method's key answered when it was registered, or ErrNotFound.
func Registered(tx *store.Tx, uid uint32, id string) (Registration, error) {
	r, err := registrations.Get(tx, key(uid, id))
	if errors.Is(err, store.ErrNotFound) {
		return Registration{}, ErrNotFound
	}
	return r, err
}

// AddKey stores a new method that is a credential on a key, and returns it as stored. It fails as Add
// does, and with ErrExists where somebody has registered the credential.
func AddKey(tx *store.Tx, m Method, r Registration) (Method, error) {
	for item, err := range bucket.All(tx, nil) {
		if err != nil {
			return Method{}, err
		}
		if o := item.Value.Key; o != nil && m.Key != nil && bytes.Equal(o.CredentialID, m.Key.CredentialID) {
			return Method{}, ErrExists
		}
	}
	m, err := Add(tx, m)
	if err != nil {
		return Method{}, err
	}
	return m, registrations.Put(tx, key(m.UID, m.ID), r)
}

// Add stores a new method and returns it as stored. The user's first method becomes the default; recovery
// codes do not stand in its way.
// It fails with ErrBadName, ErrNameTaken or ErrTooMany.
func Add(tx *store.Tx, m Method) (Method, error) {
	if err := CheckName(m.Name); err != nil {
		return Method{}, err
	}
	mine, err := List(tx, m.UID)
	if err != nil {
		return Method{}, err
	}
	if len(Of(mine, m.Type)) >= MaxPerType {
		return Method{}, ErrTooMany
	}
	for _, other := range mine {
		if sameName(other.Name, m.Name) {
			return Method{}, fmt.Errorf("%w: %q", ErrNameTaken, m.Name)
		}
	}
	if err := bucket.Put(tx, key(m.UID, m.ID), m); err != nil || slices.ContainsFunc(mine, Method.offersFirst) {
		return m, err
	}
	return SetDefault(tx, m.UID, m.ID)
}

// offersFirst reports whether the method is worth offering first: recovery codes are for another day.
func (m Method) offersFirst() bool { return m.Type != TypeRecovery }

// Rename gives the method another name, unique among the user's.
func Rename(tx *store.Tx, uid uint32, id, name string) (Method, error) {
	if err := CheckName(name); err != nil {
		return Method{}, err
	}
	mine, err := List(tx, uid)
	if err != nil {
		return Method{}, err
	}
	at := slices.IndexFunc(mine, func(m Method) bool { return m.ID == id })
	if at < 0 {
		return Method{}, ErrNotFound
	}
	for i, other := range mine {
		if i != at && sameName(other.Name, name) {
			return Method{}, fmt.Errorf("%w: %q", ErrNameTaken, name)
		}
	}
	mine[at].Name = name
	return mine[at], bucket.Put(tx, key(uid, id), mine[at])
}

// SetDefault makes the method the one that is offered first.
func SetDefault(tx *store.Tx, uid uint32, id string) (Method, error) {
	mine, err := List(tx, uid)
	if err != nil {
		return Method{}, err
	}
	var chosen *Method
	for i := range mine {
		m := &mine[i]
		if m.ID == id {
			chosen = m
		}
		if m.Default == (m.ID == id) {
			continue
		}
		m.Default = m.ID == id
		if err := bucket.Put(tx, key(uid, m.ID), *m); err != nil {
			return Method{}, err
		}
	}
	if chosen == nil {
		return Method{}, ErrNotFound
	}
	return *chosen, nil
}

// Remove takes the method away and returns what it was. The last one goes only with force; where
// the default goes, the oldest of the others takes its place.
func Remove(tx *store.Tx, uid uint32, id string, force bool) (Method, error) {
	mine, err := List(tx, uid)
	if err != nil {
		return Method{}, err
	}
	at := slices.IndexFunc(mine, func(m Method) bool { return m.ID == id })
	if at < 0 {
		return Method{}, ErrNotFound
	}
	gone := mine[at]
	if len(mine) == 1 && !force {
		return Method{}, ErrLast
	}
	if err := bucket.Delete(tx, key(uid, id)); err != nil {
		return Method{}, err
	}
	if err := registrations.Delete(tx, key(uid, id)); err != nil {
		return Method{}, err
	}
	rest := slices.Delete(mine, at, at+1)
	if gone.Default && len(rest) > 0 {
		next := max(slices.IndexFunc(rest, Method.offersFirst), 0)
		if _, err := SetDefault(tx, uid, rest[next].ID); err != nil {
			return Method{}, err
		}
	}
	return gone, nil
}

// Use is one successful use of a key's credential.
type Use struct {
	Counter      uint32
	UserVerified bool
	KeyID        string
	When         time.Time
}

// Advance records a use of the method's credential: the counter must have grown, unless it is zero
// and always was (CTAP 2.1 §6.1.2 allows that). It fails with ErrClone otherwise, and with
// ErrNotFound if the method has been removed meanwhile.
func Advance(tx *store.Tx, uid uint32, id string, u Use) (Method, error) {
	m, err := Get(tx, uid, id)
	if err != nil {
		return Method{}, err
	}
	if m.Key == nil {
		return Method{}, ErrNotFound
	}
	if (u.Counter != 0 || m.Key.Counter != 0) && u.Counter <= m.Key.Counter {
		return Method{}, ErrClone
	}
	m.Key.Counter = u.Counter
	m.Key.UV = m.Key.UV || u.UserVerified
	m.Key.KeyID = u.KeyID
	m.Used = u.When
	return m, bucket.Put(tx, key(uid, id), m)
}

// Touch records a use of a method that has no counter of its own here.
func Touch(tx *store.Tx, uid uint32, id string, when time.Time) (Method, error) {
	m, err := Get(tx, uid, id)
	if err != nil {
		return Method{}, err
	}
	m.Used = when
	return m, bucket.Put(tx, key(uid, id), m)
}

// Confirm gives the user's methods the name that the user id has now, and reports the names that they
// had.
func Confirm(tx *store.Tx, uid uint32, user string) (before []string, err error) {
	mine, err := List(tx, uid)
	if err != nil {
		return nil, err
	}
	for _, m := range mine {
		if m.User == user {
			continue
		}
		if !slices.Contains(before, m.User) {
			before = append(before, m.User)
		}
		m.User = user
		if err := bucket.Put(tx, key(uid, m.ID), m); err != nil {
			return nil, err
		}
	}
	return before, nil
}

// MarkSuspect records that the method's key may have been cloned.
func MarkSuspect(tx *store.Tx, uid uint32, id string) error {
	m, err := Get(tx, uid, id)
	if err != nil {
		return err
	}
	m.Suspect = true
	return bucket.Put(tx, key(uid, id), m)
}

// CheckName fails with ErrBadName unless name can be shown as it is and is 1 to 64 runes long.
func CheckName(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > maxName || caller.Clean(name).String() != name {
		return ErrBadName
	}
	return nil
}

// FreeName finds a name that none of mine has: base, or base followed by a number. A base that
// cannot be a name is cut until it can.
func FreeName(mine []Method, base string) string {
	base = strings.TrimSpace(caller.Clean(base).String())
	if runes := []rune(base); len(runes) > maxName-4 {
		base = strings.TrimSpace(string(runes[:maxName-4]))
	}
	if base == "" {
		base = "Sign-in method"
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(mine, func(m Method) bool { return sameName(m.Name, name) })
	}
	name := base
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s %d", base, n)
	}
	return name
}

// sameName compares names as people do, without regard to case.
func sameName(a, b string) bool { return strings.EqualFold(a, b) }
