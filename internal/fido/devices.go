package fido

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/secret"
)

// Runner runs one operation in a process of its own; helper.Pool does.
type Runner interface {
	Run(ctx context.Context, c helper.Call, result any) error
}

// Devices runs operations on keys through fob-helper. It is safe for concurrent use; operations on
// one key are the caller's to order.
//
// Every method takes the time that the operation may take, and returns earlier when ctx ends: the key
// is then told to give up, and the error is ErrCancelled. Errors are *DeviceError and wrap one
// sentinel of this package; beside it they wrap what it was made of, such as helper.ErrCrashed.
type Devices struct{ r Runner }

// NewDevices makes Devices that run their operations on r.
func NewDevices(r Runner) *Devices { return &Devices{r} }

// slack is what the helper may take beyond the operation's time, which it keeps itself.
const slack = time.Second

// Info reads what the key says of itself.
func (d *Devices) Info(ctx context.Context, k Key, timeout time.Duration) (Info, error) {
	var info Info
	err := d.run(ctx, k, OpInfo, timeout, InfoArgs{target(k, timeout)}, &info)
	if err == nil && !info.plausible() {
		err = badAnswer(k, OpInfo)
	}
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// Make makes a credential. It sets a.Target itself.
func (d *Devices) Make(ctx context.Context, k Key, a MakeArgs, timeout time.Duration) (Attestation, error) {
	a.Target = target(k, timeout)
	var at Attestation
	err := d.run(ctx, k, OpMake, timeout, a, &at)
	if err == nil && !at.plausible() {
		err = badAnswer(k, OpMake)
	}
	if err != nil {
		return Attestation{}, err
	}
	return at, nil
}

// Assert asks for assertions and gives at least one; each names a credential of a.Allow unless that
// is empty. Where a.Salt is given there is a secret, which the caller wipes; ErrNoHMACSecret says that
// the key, or the credential, makes none. It sets a.Target itself.
func (d *Devices) Assert(ctx context.Context, k Key, a AssertArgs, timeout time.Duration) ([]Assertion, error) {
	a.Target = target(k, timeout)
	var res AssertResult
	err := d.run(ctx, k, OpAssert, timeout, a, &res)
	if err == nil && !res.plausible(a) {
		err = badAnswer(k, OpAssert)
	}
	if err == nil && a.Salt != nil && len(res.Assertions[0].Secret) == 0 {
		err = &DeviceError{Key: k.Name, Op: OpAssert, Kind: ErrNoHMACSecret} // keys ignore what they do not know
	}
	if err != nil {
		for _, x := range res.Assertions {
			clear(x.Secret)
		}
		return nil, err
	}
	return res.Assertions, nil
}

// Select makes the key blink, and returns nil when it was touched.
func (d *Devices) Select(ctx context.Context, k Key, timeout time.Duration) error {
	return d.run(ctx, k, OpSelect, timeout, SelectArgs{target(k, timeout)}, nil)
}

// SetPIN sets the first PIN, or changes it where old is not empty. It wipes neither.
func (d *Devices) SetPIN(ctx context.Context, k Key, old, new *secret.Secret, timeout time.Duration) error {
	return d.run(ctx, k, OpSetPIN, timeout, SetPINArgs{target(k, timeout), RevealPIN(old), RevealPIN(new)}, nil)
}

// Reset resets the key once it is touched. Most keys allow it only within 10 s after they were
// plugged in, and answer ErrNotAllowed later.
func (d *Devices) Reset(ctx context.Context, k Key, timeout time.Duration) error {
	return d.run(ctx, k, OpReset, timeout, ResetArgs{target(k, timeout)}, nil)
}

func target(k Key, timeout time.Duration) Target {
	// Rounded up: less than a millisecond is not "no time at all".
	return Target{Path: k.Path, TimeoutMS: int64((timeout + time.Millisecond - 1) / time.Millisecond)}
}

func (d *Devices) run(ctx context.Context, k Key, op string, timeout time.Duration, args, result any) error {
	c := helper.Call{Op: op, Device: k.Name, Args: args, Timeout: timeout + slack}
	if timeout <= 0 {
		c.Timeout = 0 // which is refused
	}
	err := d.r.Run(ctx, c, result)
	if err == nil {
		return nil
	}
	silent := false
	if a, ok := args.(AssertArgs); ok {
		silent = a.Silent
	}
	touch := op == OpMake || op == OpSelect || op == OpReset || op == OpAssert && !silent
	return explain(ctx, k, op, touch, err)
}

// failure is a DeviceError with what it was made of.
type failure struct {
	*DeviceError
	cause error
}

// Error is the DeviceError's; a failure of the helper itself also says which.
func (f failure) Error() string {
	if f.Kind != ErrHelper {
		return f.DeviceError.Error()
	}
	return fmt.Sprintf("%v: %v", f.DeviceError, f.cause)
}

// Unwrap gives both.
func (f failure) Unwrap() []error { return []error{f.DeviceError, f.cause} }

func badAnswer(k Key, op string) error {
	return &DeviceError{Key: k.Name, Op: op, Kind: ErrBadAnswer}
}

// explain makes a DeviceError of a failed operation. touch says whether it waits for a touch.
func explain(ctx context.Context, k Key, op string, touch bool, err error) error {
	e := &DeviceError{Key: k.Name, Op: op}
	code, isCode := errors.AsType[*helper.OpError](err)
	if isCode {
		e.Code, e.Name = code.Code, code.Name
	}
	switch {
	case isCode && aboutPIN(code.Code):
		e.Kind = kindOf(code, touch) // true and worth telling, also of a cancelled operation
	case ctx.Err() != nil:
		e.Kind = ErrCancelled
	case isCode:
		e.Kind = kindOf(code, touch)
	case errors.Is(err, helper.ErrGarbage):
		e.Kind = ErrHelper
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, helper.ErrHung):
		e.Kind = ErrTimeout
	default:
		e.Kind = ErrHelper
	}
	return failure{e, err}
}

// What a key may sensibly say of itself.
const (
	maxListed = 64 // entries in a list
	maxWord   = 64 // bytes
)

func (i Info) plausible() bool {
	if !i.FIDO2 {
		return true
	}
	for name := range i.Options {
		if !word(name) {
			return false
		}
	}
	return allWords(i.Versions) && allWords(i.Extensions) && len(i.Options) <= maxListed &&
		(len(i.AAGUID) == 0 || len(i.AAGUID) == 16) &&
		len(i.Algorithms) <= maxListed && len(i.Protocols) <= maxListed &&
		i.MinPIN >= 4 && i.MinPIN <= 63 && i.MaxCredIDLen >= 0 && i.MaxCredCount >= 0 &&
		(i.PINRetries == nil || *i.PINRetries >= 0 && *i.PINRetries <= 255)
}

func (a Attestation) plausible() bool {
	return word(a.Format) && len(a.AuthData) >= authHeaderLen && len(a.AuthData) <= maxAuthData && len(a.Statement) <= maxStatement
}

func (r AssertResult) plausible(a AssertArgs) bool {
	if len(r.Assertions) == 0 || len(r.Assertions) > max(maxListed, len(a.Allow)) {
		return false
	}
	return !slices.ContainsFunc(r.Assertions, func(x Assertion) bool { return !x.plausible(a) })
}

func (x Assertion) plausible(a AssertArgs) bool {
	if len(x.CredentialID) == 0 || len(x.CredentialID) > maxCredentialID || len(x.AuthData) > maxAuthData || len(x.Signature) > maxSignature {
		return false
	}
	if len(a.Allow) > 0 && !slices.ContainsFunc(a.Allow, func(id []byte) bool { return bytes.Equal(id, x.CredentialID) }) {
		return false
	}
	if len(x.Secret) != 0 && (a.Salt == nil || len(x.Secret) != HMACSecretLen) {
		return false
	}
	// A silent answer only says that the credential is there: U2F keys give nothing else.
	return a.Silent || len(x.AuthData) >= authHeaderLen && len(x.Signature) > 0
}

func allWords(list []string) bool {
	return len(list) <= maxListed && !slices.ContainsFunc(list, func(s string) bool { return !word(s) })
}

// word reports whether s is a short identifier in printable ASCII, as all of CTAP's are.
func word(s string) bool {
	for _, b := range []byte(s) {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxWord
}
