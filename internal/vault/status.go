package vault

import (
	"errors"
	"time"

	"github.com/fobproject/fob/internal/store"
)

// State says whether the vault is open.
type State string

// The states.
const (
	StateNone   State = "none" // nothing was ever sealed: Open makes the vault
	StateOpen   State = "open"
	StateSealed State = "sealed"
)

// Status is what there is to know of the vault without opening it.
type Status struct {
	State State
	// Problem says, for people, why the vault did not open by itself when that was last tried, and what
	// opens it. It is empty while the vault is open, and before the first try.
	Problem string
	// Where is the place of the first automatic slot's key, for people; empty if there is none.
	Where string
	// Until is when the vault locks by itself; zero if it does not.
	Until time.Time
	// Slots, oldest first.
	Slots []Slot
	// HasRecovery says that there is a printed recovery key, or was one when it was made.
	HasRecovery bool
}

// Status reads how the vault stands. It asks no keeper.
func (v *Vault) Status(tx *store.Tx) (Status, error) {
	recs, err := v.read(tx)
	if err != nil {
		return Status{}, err
	}
	var s Status
	var open checks
	v.lapse()
	v.mu.Lock()
	switch {
	case v.data != nil:
		s.State = StateOpen
		if until := v.until.Load(); until != 0 {
			s.Until = v.now().Add(time.Duration(until) - v.boot()).UTC()
		}
		open = newChecks(v.data)
		defer open.wipe()
	case recs.made:
		s.State = StateSealed
	default:
		s.State = StateNone
	}
	problem := v.last.err
	v.mu.Unlock()

	var sealed *sealedError
	switch {
	case s.State == StateOpen || problem == nil:
	case errors.As(problem, &sealed):
		s.Problem = sealed.reason()
	default:
		s.Problem = problem.Error()
	}
	for _, e := range recs.entries {
		slot := v.showEntry(e)
		if s.State == StateOpen && !open.slot(e.record) {
			slot.Damaged = true
		}
		s.HasRecovery = s.HasRecovery || slot.Type == TypeRecovery && !slot.Damaged
		s.Slots = append(s.Slots, slot)
	}
	for _, k := range v.keepers {
		if s.Where == "" && len(recs.of(k.Type())) > 0 {
			s.Where = k.Where()
		}
	}
	return s, nil
}

func (v *Vault) showEntry(e entry) Slot {
	s := v.show(e.record)
	s.Damaged = e.fault != nil
	return s
}

func (v *Vault) show(r record) Slot {
	s := Slot{ID: r.ID, Type: r.Type, Name: r.Name, Added: r.Added, Changed: r.Changed}
	if k := v.keeper(r.Type); k != nil {
		s.Where = k.Where()
	}
	if r.Tap != nil {
		s.Verify, s.LockAfter = r.Tap.Verify, r.Tap.tap().LockAfter
	}
	return s
}
