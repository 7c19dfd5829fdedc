package signin

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
)

// canActivate refuses a token that cannot become a method of the user.
func (r *Request) canActivate() error {
	var t token.Token
	err := r.e.cfg.Store.View(func(tx *store.Tx) (err error) {
		t, err = token.Get(tx, r.ask.Method.Serial)
		return err
	})
	if err == nil {
		err = t.MayActivate(r.user.UID)
	}
	if err == nil {
		err = r.canType()
	}
	if err == nil && r.ask.Method.Name == "" {
		r.ask.Method.Name = method.FreeName(r.methods, t.Title())
	}
	return err
}

// activate makes a token of the user a sign-in method. Its codes are the test: one that counts time
// shows one code, or two in a row where its clock is off; one that counts presses always shows two.
func (r *Request) activate() (outcome, error) {
	var t token.Token
	err := r.e.cfg.Store.View(func(tx *store.Tx) (err error) {
		t, err = token.Get(tx, r.ask.Method.Serial)
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	id, err := r.e.newID()
	if err != nil {
		return outcome{}, err
	}
	m := method.Method{
		ID: id, UID: r.user.UID, User: r.user.Name, Type: method.TypeToken, Name: r.ask.Method.Name,
		Added: r.e.cfg.Clock.Now().UTC(), Token: &method.Token{Serial: t.Serial},
	}
	p := proof{
		shown: fmt.Sprintf("the token “%s”", t.Title()),
		once:  t.Kind == oath.TOTP,
		done:  fmt.Sprintf("registered the token %s as “%s”", t.Serial, m.Name),
		step: func(tx *store.Tx, seeds *seedBox, now clock.Moment, step tokenStepFunc) (method.Method, error) {
			t, err := token.Get(tx, t.Serial)
			if err != nil {
				return m, err
			}
			if err := t.MayActivate(m.UID); err != nil {
				return m, err
			}
			m.Used = now.Wall.UTC()
			return m, r.seedStep(tx, seeds, t, now, step)
		},
		apply: r.afterStepUp(func(tx *store.Tx) error {
			if err := r.spendHelp(tx); err != nil {
				return err
			}
			stored, err := method.Add(tx, m)
			if err != nil {
				return err
			}
			m = stored
			_, err = token.Activate(tx, t.Serial, m.UID, m.ID)
			return err
		}),
	}
	out, err := r.prove(p)
	if err != nil {
		return outcome{}, err
	}
	r.e.announceMethods(r.user)
	return outcome{view: func(v *View) {
		out.view(v)
		v.Methods = []method.Method{m}
	}}, nil
}

// canResync refuses what has no token to bring back into step.
func (r *Request) canResync() error {
	m, err := r.methodByID(r.ask.Method.ID)
	if err != nil {
		return err
	}
	if m.Token == nil {
		return badRequest("“%s” is no token: only tokens get out of step", m.Name)
	}
	r.ask.Method.Name = m.Name
	if err := r.canType(); err != nil {
		return err
	}
	r.stepUpNeed()
	if r.ask.Require > policy.Code && !r.mayDoWithout() {
		return r.canApprove(r.byStrongest())
	}
	return nil
}

// resync brings a token back into step by two codes in a row. Where the user has nothing stronger than
// codes, these two are the fresh approval: they prove more than a single one does.
func (r *Request) resync() (outcome, error) {
	m, err := r.methodByID(r.ask.Method.ID)
	if err != nil {
		return outcome{}, err
	}
	if r.ask.Require > policy.Code && !r.mayDoWithout() {
		if err := r.stepUp("may change sign-in methods", r.about()); err != nil {
			return outcome{}, err
		}
	}
	out, err := r.prove(proof{
		shown: fmt.Sprintf("“%s”", m.Name),
		done:  fmt.Sprintf("brought “%s” back into step", m.Name),
		step: func(tx *store.Tx, seeds *seedBox, now clock.Moment, step tokenStepFunc) (method.Method, error) {
			return m, r.tokenStep(tx, seeds, m, now, step)
		},
		apply: r.afterStepUp(nil),
	})
	if err == nil {
		r.e.announceMethods(r.user)
	}
	return out, err
}

// tokenStepFunc judges codes of a token and gives the state after them.
type tokenStepFunc = func(token.Token, *secret.Secret, oath.State) (oath.State, error)

// proof is a token that has to be shown to be at hand and in step.
type proof struct {
	shown string // what shows the codes, for people
	once  bool   // one code is enough if it is right at once
	done  string // for the log
	step  func(*store.Tx, *seedBox, clock.Moment, tokenStepFunc) (method.Method, error)
	apply func(*store.Tx) error
}

// prove asks for codes until they prove it.
func (r *Request) prove(p proof) (outcome, error) {
	for hint := ""; ; {
		first, err := r.askCode(hint + "Type the code that " + p.shown + " shows")
		if err != nil {
			return outcome{}, err
		}
		out, err := r.proveBy(p, first)
		first.Wipe()
		if !errors.Is(err, oath.ErrWrong) && !errors.Is(err, oath.ErrUsed) {
			return out, err
		}
		hint = firstUpper(err.Error()) + ". "
	}
}

// proveBy goes on from the first code: it decides, or asks for the one that comes next.
func (r *Request) proveBy(p proof, first *secret.Secret) (outcome, error) {
	text := "Now type the next code that " + p.shown + " shows"
	if p.once {
		once := secret.New(slices.Clone(first.Reveal()))
		out, err := r.decideByCode(once, true, p.one(), p.done, p.apply)
		if !errors.Is(err, oath.ErrWrong) {
			return out, err
		}
		text = "That is not the code of this moment. Type the next code that " + p.shown + " shows"
	}
	second, err := r.askCode(text)
	if err != nil {
		return outcome{}, err
	}
	return r.decideByCode(second, true, p.two(first), p.done, p.apply)
}

func (r *Request) askCode(text string) (*secret.Secret, error) {
	a, err := r.prompt(r.ctx, Prompt{Type: PromptCode, Text: text})
	return a.Code, err
}

// one checks a single code.
func (p proof) one() codeCheck {
	return func(tx *store.Tx, seeds *seedBox, code *secret.Secret, now clock.Moment) (method.Method, error) {
		return p.step(tx, seeds, now, func(t token.Token, seed *secret.Secret, s oath.State) (oath.State, error) {
			return oath.Verify(t.Params, seed, code, s, now.Wall)
		})
	}
}

// two checks a code together with the one before it; or alone, for the first may have been a slip, where
// one is enough.
func (p proof) two(first *secret.Secret) codeCheck {
	return func(tx *store.Tx, seeds *seedBox, second *secret.Secret, now clock.Moment) (method.Method, error) {
		return p.step(tx, seeds, now, func(t token.Token, seed *secret.Secret, s oath.State) (oath.State, error) {
			if p.once {
				if after, err := oath.Verify(t.Params, seed, second, s, now.Wall); !errors.Is(err, oath.ErrWrong) {
					return after, err
				}
			}
			return oath.Resync(t.Params, seed, first, second, s, now.Wall)
		})
	}
}
