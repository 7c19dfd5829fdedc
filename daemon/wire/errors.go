package wire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"unicode"

	"github.com/fobproject/fob/internal/account"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/codes"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/lockout"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/nss"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
	"github.com/fobproject/fob/internal/ykoath"
)

// maxMessage bounds an error's message in bytes.
const maxMessage = 600

// Errors turns domain errors into those of the doors. It is safe for concurrent use.
type Errors struct {
	log *slog.Logger
}

// NewErrors makes an Errors that logs to log what must not leave the daemon.
func NewErrors(log *slog.Logger) *Errors { return &Errors{log: log} }

// row says what becomes of errors that wrap is. An empty text lets the error speak for itself: it was
// written for people and holds nothing private. Where text is given the true error is logged only.
type row struct {
	is   error
	code api.Code
	text string
}

// table is searched from the top: what an error wraps may stand in more than one row, so the rows
// that must not show their text come first.
var table = []row{
	// First: it wraps what went wrong besides.
	{codes.ErrHalf, api.CodeHalfWritten, ""},

	{store.ErrBadCopy, api.CodeBadRequest, ""},
	{store.ErrFull, api.CodeStorage, "the disk is full: nothing was changed and nothing approved. Free some space and try again"},
	{store.ErrStorage, api.CodeStorage, "cannot write to disk: nothing was changed and nothing approved. See fobd's log"},
	{store.ErrDamaged, api.CodeStorage, "a stored record is damaged: see fobd's log for which one"},
	{store.ErrClosed, api.CodeShuttingDown, "Fob is shutting down"},
	{nss.ErrUnavailable, api.CodeInternal, "cannot look up users: getent did not answer. Try again"},

	{caller.ErrForbidden, api.CodeForbidden, ""},
	{signin.ErrNotFirst, api.CodeNotFirst, ""},
	{signin.ErrPlace, api.CodePlace, ""},
	{signin.ErrNumberPlace, api.CodePlace, ""},
	{signin.ErrNotBlocked, api.CodeNotFound, ""},
	{signin.ErrAsker, api.CodeAsker, ""},
	{signin.ErrKeyModel, api.CodeKeyModel, ""},
	{signin.ErrCannotAsk, api.CodeCannotAsk, ""},
	{signin.ErrTooFast, api.CodeTooFast, ""},
	{signin.ErrOneFromThere, api.CodeTooMany, ""},
	{signin.ErrNotRemembered, api.CodeNotRemembered, ""},
	{signin.ErrNoCodesAlone, api.CodeNoMethod, ""},
	{signin.ErrHelpdesk, api.CodeHelpdesk, ""},
	{throttle.ErrWaiting, api.CodeThrottled, ""},
	{throttle.ErrBlocked, api.CodeBlocked, ""},
	{throttle.ErrLocal, api.CodeBadRequest, ""},
	{grant.ErrNotFound, api.CodeNotFound, ""},
	{recovery.ErrMalformed, api.CodeBadRequest, ""},
	{recovery.ErrValid, api.CodeBadRequest, ""},
	{audit.ErrPruned, api.CodeLogBroken, ""},
	{audit.ErrNoSuchHead, api.CodeLogBroken, ""},
	{audit.ErrOtherInstance, api.CodeLogBroken, ""},
	{signin.ErrShuttingDown, api.CodeShuttingDown, ""},
	{signin.ErrCallerGone, api.CodeCallerGone, ""},
	{signin.ErrBadService, api.CodeBadRequest, ""},
	{signin.ErrBadRequest, api.CodeBadRequest, ""},
	{signin.ErrWeaker, api.CodeBadRequest, ""},
	{signin.ErrUnknownUser, api.CodeUnknownUser, ""},
	{nss.ErrUnknown, api.CodeUnknownUser, ""},
	{signin.ErrUserChanged, api.CodeUserChanged, ""},
	{signin.ErrTooMany, api.CodeTooMany, ""},
	{signin.ErrNotFound, api.CodeNotFound, ""},
	{signin.ErrNotPending, api.CodeNotPending, ""},
	{signin.ErrMethodsChanged, api.CodeConflict, ""},
	{signin.ErrAccountsChanged, api.CodeConflict, ""},
	{signin.ErrNoAccounts, api.CodeNotFound, ""},
	{signin.ErrNotConfirmed, api.CodeNotConfirmed, ""},

	{signin.ErrImport, api.CodeImport, ""},
	{signin.ErrNotEmpty, api.CodeNotEmpty, ""},
	{store.ErrNewer, api.CodeBadRequest, ""},

	{lockout.ErrLocked, api.CodeLockedOut, ""},
	{vault.ErrSealed, api.CodeSealed, ""},
	{clock.ErrBack, api.CodeClockBack, ""},
	{oath.ErrMalformed, api.CodeBadRequest, ""},
	{oath.ErrWrong, api.CodeCodeWrong, ""},
	{oath.ErrUsed, api.CodeCodeUsed, ""},
	{oath.ErrOutOfStep, api.CodeOutOfStep, ""},
	{oath.ErrParams, api.CodeBadRequest, ""},
	{token.ErrNotFound, api.CodeNotFound, ""},
	{token.ErrExists, api.CodeTokenExists, ""},
	{token.ErrBadSerial, api.CodeBadRequest, ""},
	{token.ErrBadName, api.CodeBadRequest, ""},
	{token.ErrAssigned, api.CodeTokenAssigned, ""},
	{token.ErrDisabled, api.CodeTokenDisabled, ""},
	{token.ErrActive, api.CodeTokenActive, ""},
	{token.ErrUsed, api.CodeTokenUsed, ""},
	{vault.ErrWrongSecret, api.CodeWrongSecret, ""},
	{vault.ErrTypo, api.CodeWrongSecret, ""},
	{vault.ErrNoSlot, api.CodeWrongSecret, ""},
	{vault.ErrWeak, api.CodeSecretWeak, ""},
	{vault.ErrNotFound, api.CodeNotFound, ""},
	{vault.ErrLastSlot, api.CodeLastSlot, ""},
	{vault.ErrNoRecovery, api.CodeLastSlot, ""},
	{vault.ErrWrongTap, api.CodeWrongSecret, ""},
	{vault.ErrTooMany, api.CodeConflict, ""},
	{vault.ErrConflict, api.CodeConflict, ""},
	{vault.ErrKeeperAway, api.CodeKeeperAway, ""},
	{vault.ErrNoKey, api.CodeKeeperAway, ""},
	{vault.ErrKept, api.CodeConflict, ""},
	{vault.ErrExists, api.CodeConflict, ""},
	{vault.ErrBadName, api.CodeBadRequest, ""},
	{vault.ErrBadType, api.CodeBadRequest, ""},
	{vault.ErrAutomatic, api.CodeBadRequest, ""},
	{vault.ErrDamaged, api.CodeStorage, ""},

	{signin.ErrNoKeySlot, api.CodeNotFound, ""},
	{signin.ErrKeyNoSlot, api.CodeNoKey, ""},
	{signin.ErrKeyHasSlot, api.CodeKeyRegistered, ""},
	{signin.ErrSlotMode, api.CodeUnsupported, ""},
	{signin.ErrNoMethod, api.CodeNoMethod, ""},
	{signin.ErrNoToken, api.CodeNoToken, ""},
	{signin.ErrNoRecovery, api.CodeNotStrong, ""},
	{signin.ErrNotStrong, api.CodeNotStrong, ""},
	{signin.ErrNotHere, api.CodeNotStrong, ""},
	{signin.ErrWrongNumber, api.CodeNumberWrong, ""},
	{signin.ErrNothingLifts, api.CodeNotStrong, ""},
	{method.ErrNotFound, api.CodeNotFound, ""},
	{method.ErrNameTaken, api.CodeNameTaken, ""},
	{method.ErrBadName, api.CodeBadRequest, ""},
	{method.ErrLast, api.CodeLastMethod, ""},
	{method.ErrExists, api.CodeKeyRegistered, ""},
	{method.ErrOthers, api.CodeForbidden, ""},
	{method.ErrTooMany, api.CodeConflict, ""},
	{method.ErrClone, api.CodePossibleClone, ""},

	{signin.ErrNoKey, api.CodeNoKey, ""},
	{signin.ErrKeyNotFound, api.CodeNotFound, ""},
	{signin.ErrKeyNotOwn, api.CodeKeyNotOwn, ""},
	{signin.ErrKeyRegistered, api.CodeKeyRegistered, ""},
	{signin.ErrFewRetries, api.CodePINFewRetries, ""},
	{signin.ErrPINPlace, api.CodePINWrongPlace, ""},

	{fido.ErrPINInvalid, api.CodePINWrong, ""},
	{fido.ErrPINBlocked, api.CodePINBlocked, ""},
	{fido.ErrPINAuthBlocked, api.CodePINReplug, ""},
	{fido.ErrPINRequired, api.CodePINNotSet, ""},
	{fido.ErrPINNotSet, api.CodePINNotSet, ""},
	{fido.ErrPINPolicy, api.CodePINPolicy, ""},
	{fido.ErrUVBlocked, api.CodePINBlocked, ""},
	{fido.ErrUVInvalid, api.CodePINWrong, ""},
	{fido.ErrNoCredential, api.CodeKeyNotOwn, ""},
	{fido.ErrExcluded, api.CodeKeyRegistered, ""},
	{fido.ErrTouchTimeout, api.CodeTouchTimeout, ""},
	{fido.ErrNotAllowed, api.CodeNotAllowed, ""},
	{fido.ErrUnsupported, api.CodeUnsupported, ""},
	{fido.ErrNoHMACSecret, api.CodeUnsupported, ""},
	{fido.ErrFull, api.CodeUnsupported, ""},
	{fido.ErrCounterBack, api.CodePossibleClone, ""},
	{fido.ErrNotVerified, api.CodeKeyBadAnswer, ""},
	{fido.ErrMalformed, api.CodeKeyBadAnswer, ""},
	{fido.ErrWrongRP, api.CodeKeyBadAnswer, ""},
	{fido.ErrWrongCredential, api.CodeKeyBadAnswer, ""},
	{fido.ErrNoPresence, api.CodeKeyBadAnswer, ""},
	{fido.ErrBadSignature, api.CodeKeyBadAnswer, ""},
	{fido.ErrAlgorithm, api.CodeKeyBadAnswer, ""},
	{fido.ErrAttestation, api.CodeKeyBadAnswer, ""},
	{fido.ErrBadAnswer, api.CodeKeyBadAnswer, ""},
	{fido.ErrBusy, api.CodeKeyBusy, ""},
	{fido.ErrForbidden, api.CodeKeyFailed, ""},
	{fido.ErrGone, api.CodeKeyFailed, ""},
	{fido.ErrTimeout, api.CodeKeyFailed, ""},
	{fido.ErrHelper, api.CodeKeyFailed, ""},
	{fido.ErrCancelled, api.CodeCallerGone, ""},

	{codes.ErrNoCard, api.CodeNoCard, ""},
	{codes.ErrTooFast, api.CodeTooFast, ""},
	{codes.ErrTwins, api.CodeConflict, ""},
	{codes.ErrWhere, api.CodeBadRequest, ""},
	{codes.ErrTouch, api.CodeBadRequest, ""},
	{codes.ErrPins, api.CodeConflict, ""},
	{account.ErrNotFound, api.CodeNotFound, ""},
	{account.ErrExists, api.CodeAccountExists, ""},
	{account.ErrBadName, api.CodeBadRequest, ""},
	{account.ErrFull, api.CodeConflict, ""},
	{account.ErrSeed, api.CodeBadRequest, ""},
	{card.ErrNoService, api.CodeNoCardService, ""},
	{card.ErrBusy, api.CodeCardBusy, ""},
	{card.ErrWaits, api.CodeCardBusy, ""},
	{card.ErrGone, api.CodeNoCard, ""},
	{card.ErrOther, api.CodeNoCard, ""},
	{card.ErrReset, api.CodeCardFailed, ""},
	{card.ErrMute, api.CodeCardFailed, ""},
	{card.ErrReader, api.CodeCardFailed, ""},
	{card.ErrHelper, api.CodeCardFailed, ""},
	{card.ErrTimeout, api.CodeCardFailed, ""},
	{card.ErrCancelled, api.CodeCallerGone, ""},
	{ykoath.ErrNoApplet, api.CodeCardFailed, ""},
	{ykoath.ErrLocked, api.CodeCardLocked, ""},
	{ykoath.ErrNoPassword, api.CodeBadRequest, ""},
	{ykoath.ErrPassword, api.CodeCardPassword, ""},
	{ykoath.ErrFull, api.CodeCardFull, ""},
	{ykoath.ErrNoAccount, api.CodeNotFound, ""},
	{ykoath.ErrExists, api.CodeAccountExists, ""},
	{ykoath.ErrTouch, api.CodeTouchTimeout, ""},
	{ykoath.ErrTooOld, api.CodeCardTooOld, ""},
	{ykoath.ErrParams, api.CodeBadRequest, ""},
	{ykoath.ErrNonsense, api.CodeCardBadAnswer, ""},
	{ykoath.ErrRefused, api.CodeCardFailed, ""},

	{context.Canceled, api.CodeCallerGone, "the program that asked is gone"},
	{context.DeadlineExceeded, api.CodeInternal, "this took too long: try again"},
}

// Of is err as it leaves a door; nil for nil. An error that no row knows becomes "internal" with an
// id under which its true text stands in the log, and nowhere else.
func (e *Errors) Of(err error) *api.Error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*api.Error](err); ok {
		return known
	}
	for _, r := range table {
		if !errors.Is(err, r.is) {
			continue
		}
		if r.text == "" {
			return &api.Error{Code: r.code, Message: message(err)}
		}
		e.log.Warn("an operation failed", slog.String("code", string(r.code)), slog.String("error", err.Error()))
		return &api.Error{Code: r.code, Message: r.text}
	}
	return e.Internal(err.Error())
}

// Internal is the error that says nothing but where in the log to look; what happened goes there.
func (e *Errors) Internal(what string) *api.Error {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	id := hex.EncodeToString(b[:])
	e.log.Error("an unexpected error", slog.String("error_id", id), slog.String("error", what))
	return api.Errorf(api.CodeInternal, "something went wrong inside fobd: look for %s in its log", id)
}

// message is an error's text for people, on one line and bounded.
func message(err error) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r):
			return -1
		default:
			return r
		}
	}, err.Error())
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}
