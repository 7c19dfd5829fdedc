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
	var b strings.Builder
	fmt.Fprintf(&b, "The method “%s” (%s) will be removed and approves nothing any more. ", gone.Name, typeWords[gone.Type])
	err := r.e.cfg.Store.View(func(tx *store.Tx) error {
		gs, err := grant.List(tx, r.user.UID, r.e.cfg.Clock.Now())
		switch n := len(grantsOf(gs, []method.Method{gone})); {
		case errors.Is(err, store.ErrDamaged): // it goes too, whatever it was
			b.WriteString("What was remembered cannot be read: some sign-ins may be asked for again. ")
		case err != nil:
			return err
		case n == 1:
			b.WriteString("One sign-in that was remembered by it will be asked for again. ")
		case n > 1:
			fmt.Fprintf(&b, "%d sign-ins that were remembered by it will be asked for again. ", n)
		}
		rest := r.withoutLost(gone).methods
		used := 0
		if !r.mayDoWithout() {
			used = 1 // where nothing else can approve the loss, a code has to
		}
		useless, err := r.useless(tx, rest, used)
		switch {
		case err != nil:
			return err
		case len(useless) > 0:
			fmt.Fprintf(&b, "It is the last that can approve anything: %s will be removed too. ", methodWords(useless))
			fallthrough
		case len(rest) == 0:
			b.WriteString("No method remains: register another one before you need it. ")
		default:
			fmt.Fprintf(&b, "What remains: %s. ", methodWords(rest))
		}
		return nil
	})
	return b.String(), err
}

// methodWords lists methods for people.
func methodWords(ms []method.Method) string {
	all := make([]string, len(ms))
	for i, m := range ms {
		all[i] = fmt.Sprintf("“%s” (%s)", m.Name, typeWords[m.Type])
	}
	return strings.Join(all, ", ")
}

// typeWords names the types of method for people.
var typeWords = map[method.Type]string{
	method.TypeKey: "security key", method.TypeToken: "hardware token", method.TypeRecovery: "recovery codes",
}
