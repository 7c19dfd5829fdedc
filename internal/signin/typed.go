package signin

import (
	"errors"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
)

// parseTyped reads what a person types where a code is asked for: a token's digits, or a recovery code,
// which is longer than any of them. It takes ownership of typed.
func parseTyped(typed *secret.Secret) (*secret.Secret, error) {
	signs := 0
	for b := typed.Reveal(); len(b) > 0; {
		r, size := utf8.DecodeRune(b)
		b = b[size:]
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			signs++
		}
	}
	if signs > recoveryAtLeast {
		code, err := recovery.Parse(typed)
		typed.Wipe()
		return code, err
	}
	return oath.ParseCode(typed)
}

// recoveryAtLeast is how many letters and digits look like a recovery code, of 16, in which some are missing,
// rather than like a token's with some too many.
const recoveryAtLeast = 12

// isRecovery reports whether parseTyped read a recovery code.
func isRecovery(code *secret.Secret) bool { return code.Len() > oath.MaxDigits }

// checkTyped checks what was typed as what it looks like.
func (r *Request) checkTyped(w wanted) codeCheck {
	byToken := r.checkOne(w.methods)
	return func(tx *store.Tx, seeds *seedBox, code *secret.Secret, now clock.Moment) (method.Method, error) {
		switch {
		case isRecovery(code) && w.recovery:
			return r.spend(tx, seeds, code, now)
		case !isRecovery(code) && w.typed:
			return byToken(tx, seeds, code, now)
		}
		return method.Method{}, oath.ErrWrong // not what was asked for
	}
}

// usedUp is oath.ErrUsed of a recovery code, after which there is no next one to wait for.
type usedUp struct{}

func (usedUp) Error() string        { return recovery.ErrUsed.Error() }
func (usedUp) Is(target error) bool { return target == oath.ErrUsed }

// spend uses up a recovery code.
func (r *Request) spend(tx *store.Tx, seeds *seedBox, code *secret.Secret, now clock.Moment) (method.Method, error) {
	mine, err := method.List(tx, r.user.UID)
	if err != nil {
		return method.Method{}, err
	}
	codes := method.Of(mine, method.TypeRecovery)
	if seeds.ahead || len(codes) == 0 {
		return method.Method{}, oath.ErrWrong
	}
	_, err = recovery.Spend(tx, r.user.UID, code, now.Wall)
	switch {
	case errors.Is(err, recovery.ErrUsed):
		return method.Method{}, usedUp{}
	case errors.Is(err, recovery.ErrWrong):
		return method.Method{}, oath.ErrWrong
	}
	return codes[0], err
}
