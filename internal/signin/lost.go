package signin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/store"
)

// lostWord must be typed before a lost method is removed.
const lostWord = "LOST"

// canLose refuses to take away what is not there, and what nobody could approve.
func (r *Request) canLose() error {
	gone, err := r.methodByID(r.ask.Method.ID)
	if err != nil {
		return err
	}
	r.ask.Method.Name = gone.Name
	r.stepUpNeed()
	if r.mayDoWithout() {
		return nil
	}
	return r.canApprove(r.withoutLost(gone))
}

// withoutLost is the approval of a loss: at the strongest strength that is registered, the lost method's
// own included, by another method of that strength or by a recovery code. A weaker method cannot take the
// stronger one away: that would be the way of whoever has stolen the weaker one.
func (r *Request) withoutLost(gone method.Method) wanted {
	w := r.byStrongest()
	w.methods = slices.DeleteFunc(slices.Clone(r.methods), func(m method.Method) bool { return m.ID == gone.ID })
	w.about = "lost " + gone.Name
	return w
}

// lose takes a method away that the person no longer has, with all that was remembered by it, after it was
// shown what goes and what remains.
func (r *Request) lose() (outcome, error) {
	gone, err := r.methodByID(r.ask.Method.ID)
	if err != nil {
		return outcome{}, err
	}
	text, err := r.loss(gone)
	if err != nil {
		return outcome{}, err
	}
	a, err := r.prompt(r.ctx, Prompt{Type: PromptConfirm, Text: text + "Type " + lostWord + " to go on", Expect: lostWord})
	if err != nil {
		return outcome{}, err
	}
	if a.Confirm != lostWord {
		return outcome{}, ErrNotConfirmed
	}
	r.touchFor("to approve: %s", r.subject())
	done := fmt.Sprintf("removed the lost method “%s”", gone.Name)
	out, err := r.approved(r.withoutLost(gone), done, func(tx *store.Tx) error {
		// What remains was shown and confirmed, also if it is nothing that approves anything.
		return r.dropMethod(tx, gone, true)
	})
	if err == nil {
		r.e.announceMethods(r.user)
	}
	return out, err
}

// loss says what goes and what remains.
func (r *Request) loss(gone method.Method) (string, error) {
	var remembered []grant.Grant
	unread := false
	err := r.e.cfg.Store.View(func(tx *store.Tx) error {
		gs, err := grant.List(tx, r.user.UID, r.e.cfg.Clock.Now())
		if errors.Is(err, store.ErrDamaged) {
			unread = true // it goes too, whatever it was
			return nil
		}
		remembered = grantsOf(gs, []method.Method{gone})
		return err
	})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The method “%s” (%s) will be removed and approves nothing any more. ", gone.Name, typeWords[gone.Type])
	switch n := len(remembered); {
	case unread:
		b.WriteString("What was remembered cannot be read: some sign-ins may be asked for again. ")
	case n == 0:
	case n == 1:
		b.WriteString("One sign-in that was remembered by it will be asked for again. ")
	default:
		fmt.Fprintf(&b, "%d sign-ins that were remembered by it will be asked for again. ", n)
	}
	var rest []string
	for _, m := range r.methods {
		if m.ID != gone.ID {
			rest = append(rest, fmt.Sprintf("“%s” (%s)", m.Name, typeWords[m.Type]))
		}
	}
	if len(rest) == 0 {
		b.WriteString("No method remains: register another one before you need it. ")
	} else {
		fmt.Fprintf(&b, "What remains: %s. ", strings.Join(rest, ", "))
	}
	return b.String(), nil
}

// typeWords names the types of method for people.
var typeWords = map[method.Type]string{
	method.TypeKey: "security key", method.TypeToken: "hardware token", method.TypeRecovery: "recovery codes",
}
