package vault

import (
	"fmt"
	"strings"
)

// sealedError is ErrSealed with what became of each automatic slot.
type sealedError struct {
	why   []error
	wayIn string // what opens the vault now, for people
}

func (e *sealedError) Error() string { return ErrSealed.Error() + ": " + e.reason() }

func (e *sealedError) Unwrap() []error { return append([]error{ErrSealed}, e.why...) }

// reason is the error's text without ErrSealed's.
func (e *sealedError) reason() string {
	var b strings.Builder
	for _, err := range e.why {
		b.WriteString(err.Error() + "; ")
	}
	return b.String() + e.wayIn
}

// sealedBecause says why the vault is sealed: tried is what became of the slots whose keepers there are.
func (v *Vault) sealedBecause(recs records, tried []error) error {
	e := &sealedError{why: tried}
	var persons []string
	for _, t := range []SlotType{TypeSecurityKey, TypePassphrase, TypeRecovery} {
		for _, slot := range recs.of(t) {
			if slot.fault == nil {
				persons = append(persons, "the "+v.kinds[t].thing)
				break
			}
		}
	}
	for _, slot := range recs.entries {
		k := v.kinds[slot.Type]
		switch {
		case v.keeper(slot.Type) != nil:
		case slot.fault != nil:
			e.why = append(e.why, slot.fault)
		case k.automatic():
			e.why = append(e.why, fmt.Errorf("the key is in the %s, which this fobd does not use", k.thing))
		}
	}
	if e.wayIn = strings.Join(persons, " or ") + " opens it"; len(persons) == 0 {
		e.wayIn = "no passphrase or recovery key opens it: bring the key back, or restore a backup"
	}
	return e
}
