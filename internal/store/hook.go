package store

import "slices"

// hook is a function that a call registered to be run before the commit.
type hook struct {
	key any
	fn  func(*Tx) error
	by  *call
}

// hooks are those of one attempt at a commit, in the order in which they came.
type hooks struct{ all []hook }

// BeforeCommit registers fn to run once in the commit that tx becomes part of, after the functions of
// all calls that share it and before anything is written. What was registered under an equal key by any
// of these calls is kept, and fn then dropped: key is a comparable value of a type that the caller
// owns. A hook that fails or panics fails the commit as a failing call does: the calls are run again
// singly, with the hooks that each of them registers.
//
// What is true of functions given to Update is true of fn. A hook may register hooks under other keys.
func (tx *Tx) BeforeCommit(key any, fn func(*Tx) error) error {
	if err := tx.writable(); err != nil {
		return err
	}
	if !slices.ContainsFunc(tx.hooks.all, func(h hook) bool { return h.key == key }) {
		tx.hooks.all = append(tx.hooks.all, hook{key, fn, tx.call})
	}
	return nil
}

// InstanceID is the database's instance id as this transaction sees it: within Replace it is that of
// the copy, while the Store still has its own.
func (tx *Tx) InstanceID() (string, error) {
	m, err := metaBucket.Get(tx, metaKey)
	return m.Instance, err
}
