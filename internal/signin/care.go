package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
)

const (
	// maxPIN is the longest PIN in bytes of UTF-8 (CTAP 2.1 §6.5.1).
	maxPIN = 63
	// setPINLimit bounds the setting of a PIN, which needs no touch.
	setPINLimit = 15 * time.Second
	// resetWord must be typed before a key is reset.
	resetWord = "RESET"
)

// canCare refuses a request about a key where it is not clear which one.
func (r *Request) canCare() error {
	keys, err := r.e.plugged(r.ask.KeyID)
	if err != nil {
		return err
	}
	if len(keys) > 1 {
		return badRequest("several keys are plugged in: say which one is meant")
	}
	r.ask.KeyID = keys[0].ID
	r.ask.Require = policy.None // it approves nothing
	return nil
}

// cared is the key that the request is about, and what it can do.
func (r *Request) cared() (fido.Key, fido.Info, error) {
	keys, err := r.e.plugged(r.ask.KeyID)
	if err != nil {
		return fido.Key{}, fido.Info{}, err
	}
	info, err := r.info(r.ctx, keys[0])
	if err == nil && !info.FIDO2 {
		err = fmt.Errorf("%s: %w: it is an older key without PIN and reset (U2F)", keys[0].Name, fido.ErrUnsupported)
	}
	return keys[0], info, err
}

// setPIN sets a key's first PIN, or changes the one it has.
func (r *Request) setPIN() (outcome, error) {
	key, info, err := r.cared()
	if err != nil {
		return outcome{}, err
	}
	if !info.SupportsPIN() {
		return outcome{}, fmt.Errorf("%s: %w: it has no PIN", key.Name, fido.ErrUnsupported)
	}
	done := "set the PIN of"
	if info.HasPIN() {
		done = "changed the PIN of"
	}
	for hint := ""; ; hint = "That PIN is wrong. " {
		err := r.setPINOnce(key, info, hint)
		if err == nil {
			break
		}
		if !errors.Is(err, fido.ErrPINInvalid) {
			return outcome{}, err
		}
		if info, err = r.info(r.ctx, key); err != nil {
			return outcome{}, err
		}
	}
	return r.cares(fmt.Sprintf("%s the key “%s”", done, key.Name))
}

// setPINOnce asks for the PINs and sends them to the key.
func (r *Request) setPINOnce(key fido.Key, info fido.Info, hint string) error {
	var old *secret.Secret
	if info.HasPIN() {
		if info.PINRetries != nil && *info.PINRetries == 0 {
			return fmt.Errorf("%s: %w", key.Name, fido.ErrPINBlocked)
		}
		a, err := r.prompt(r.ctx, Prompt{
			Type: PromptPIN, Text: fmt.Sprintf("%sType the present PIN of the key “%s”", hint, key.Name),
			KeyID: key.ID, KeyName: key.Name, Retries: info.PINRetries,
		})
		if err != nil {
			return err
		}
		old = a.PIN
		defer old.Wipe()
	}
	pin, err := r.newPIN(key, info)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	done, err := r.e.turns.exclusive(r.ctx, key.ID)
	if err != nil {
		return err
	}
	defer done()
	return r.e.cfg.Devices.SetPIN(r.ctx, key, old, pin, setPINLimit)
}

// newPIN asks for a new PIN until it has a length that the key takes.
func (r *Request) newPIN(key fido.Key, info fido.Info) (*secret.Secret, error) {
	text := fmt.Sprintf("Type a new PIN for the key “%s”: at least %d characters", key.Name, info.MinPIN)
	for hint := ""; ; {
		a, err := r.prompt(r.ctx, Prompt{Type: PromptPIN, New: true, Text: hint + text, KeyID: key.ID, KeyName: key.Name, MinLength: info.MinPIN})
		if err != nil {
			return nil, err
		}
		switch n := utf8.RuneCount(a.PIN.Reveal()); {
		case n < info.MinPIN:
			hint = "That PIN is too short. "
		case a.PIN.Len() > maxPIN:
			hint = "That PIN is too long. "
		default:
			return a.PIN, nil
		}
		a.PIN.Wipe()
	}
}

// reset erases a key. A key takes a reset only within some 10 seconds of being plugged in, and only
// with a touch (CTAP 2.1 §6.6); before that the person has typed what is about to happen.
func (r *Request) reset() (outcome, error) {
	key, _, err := r.cared()
	if err != nil {
		return outcome{}, err
	}
	text := fmt.Sprintf("Everything on the key “%s” will be erased: its PIN, and every sign-in it is registered for, here and at all sites. ", key.Name)
	if names := r.namesOn(key); names != "" {
		text += "Here these methods will stop working: " + names + ". "
	}
	a, err := r.prompt(r.ctx, Prompt{Type: PromptConfirm, Text: text + "Type " + resetWord + " to go on", KeyID: key.ID, KeyName: key.Name, Expect: resetWord})
	if err != nil {
		return outcome{}, err
	}
	if a.Confirm != resetWord {
		return outcome{}, ErrNotConfirmed
	}
	before, err := r.e.plugged("")
	if err != nil && !errors.Is(err, ErrNoKey) {
		return outcome{}, err
	}
	if _, err := r.prompt(r.ctx, Prompt{
		Type: PromptConfirm, KeyID: key.ID, KeyName: key.Name,
		Text: "A key can be reset only within 10 seconds of being plugged in. Unplug it, plug it in again, press Enter at once and then touch it",
	}); err != nil {
		return outcome{}, err
	}
	again, err := r.replugged(key, before)
	if err != nil {
		return outcome{}, err
	}
	r.touchFor("to erase it")
	letGo, err := r.blink(r.ctx, holder{key: again}, new(userVerification), func(ctx context.Context) error {
		return r.e.cfg.Devices.Reset(ctx, again, r.opLimit())
	})
	if errors.Is(err, fido.ErrNotAllowed) {
		return outcome{}, fmt.Errorf("%w: more than 10 seconds had passed since it was plugged in; nothing was erased", err)
	}
	if err != nil {
		return outcome{}, err
	}
	letGo()
	return r.cares(fmt.Sprintf("reset the key “%s”", key.Name))
}

// replugged finds a key again that may have come back under another id.
func (r *Request) replugged(key fido.Key, before []fido.Key) (fido.Key, error) {
	now, err := r.e.plugged("")
	if err != nil {
		return fido.Key{}, err
	}
	if at := slices.IndexFunc(now, func(k fido.Key) bool { return k.ID == key.ID }); at >= 0 {
		return now[at], nil
	}
	alike := slices.DeleteFunc(slices.Clone(now), func(k fido.Key) bool {
		return k.VendorID != key.VendorID || k.ProductID != key.ProductID || k.Serial != key.Serial ||
			slices.ContainsFunc(before, func(b fido.Key) bool { return b.ID == k.ID })
	})
	if len(alike) != 1 {
		return fido.Key{}, ErrKeyNotFound
	}
	return alike[0], nil
}

// namesOn names the user's methods whose credentials are on the key, as far as it says.
func (r *Request) namesOn(k fido.Key) string {
	var names []string
	for _, m := range method.Of(r.methods, method.TypeKey) {
		if r.asks(r.ctx, k, r.e.rpID(), credentialIDs([]method.Method{m})) == nil {
			names = append(names, "“"+m.Name+"”")
		}
	}
	return strings.Join(names, ", ")
}

// cares puts the end of a request about a key itself on disk.
func (r *Request) cares(reason string) (outcome, error) {
	out, err := r.commit(true, nil, r.entry(Approved, reason))
	if err != nil {
		return outcome{}, fmt.Errorf("the key was changed, but the log could not be written: %w", err)
	}
	return out, nil
}
