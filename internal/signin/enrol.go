package signin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/store"
)

// rpName is what a key with a display shows beside the RP ID.
const rpName = "Fob"

// canAdd refuses what could not be added.
func (r *Request) canAdd() error {
	m := &r.ask.Method
	adds := 1
	if r.ask.Helpdesk != nil {
		code, err := recovery.Parse(r.ask.Helpdesk)
		if err != nil {
			return err
		}
		r.ask.Helpdesk.Wipe()
		r.ask.Helpdesk = code
		if m.Backup || method.Type(m.Type) == method.TypeRecovery {
			return badRequest("an administrator's one-time code adds one key or token: add the rest after it")
		}
	}
	switch method.Type(m.Type) {
	case method.TypeKey:
		if m.Backup {
			adds = 2
		}
		if m.Serial != "" {
			return badRequest("a key is added without a token's serial number")
		}
	case method.TypeRecovery:
		if err := r.canAddRecovery(); err != nil {
			return err
		}
		adds = 0 // they take the place of the former ones
	case method.TypeToken:
		if m.Backup || m.BackupName != "" || r.ask.KeyID != "" {
			return badRequest("a token is added alone")
		}
		if err := r.canActivate(); err != nil {
			return err
		}
	default:
		return badRequest("a method of type %q cannot be added", m.Type)
	}
	if err := r.mayBeFirst(); err != nil {
		return err
	}
	if len(method.Of(r.methods, method.Type(m.Type)))+adds > method.MaxPerType {
		return method.ErrTooMany
	}
	for _, name := range []string{m.Name, m.BackupName} {
		if name == "" || method.Type(m.Type) == method.TypeRecovery {
			continue
		}
		if err := method.CheckName(name); err != nil {
			return err
		}
		if method.FreeName(r.methods, name) != name {
			return fmt.Errorf("%w: %q", method.ErrNameTaken, name)
		}
	}
	if m.Name != "" && m.Name == m.BackupName {
		return fmt.Errorf("%w: %q", method.ErrNameTaken, m.Name)
	}
	r.stepUpNeed()
	if m.Type == string(method.TypeKey) && !r.remote() {
		_, err := r.e.plugged(r.ask.KeyID)
		return err
	}
	if len(r.methods) > 0 && !r.mayDoWithout() {
		return r.canApprove(r.byStrongest())
	}
	return nil
}

// addMethod registers a key and, if asked, a second one, or a token. The user's first method needs no
// approval; every later one a fresh one at the strongest strength that the user has registered.
func (r *Request) addMethod() (outcome, error) {
	if r.ask.Helpdesk != nil {
		if err := r.desk(r.ctx); err != nil {
			return outcome{}, err
		}
		if err := r.helped(); err != nil {
			return outcome{}, err
		}
	}
	if len(r.methods) > 0 && !r.mayDoWithout() {
		if method.Type(r.ask.Method.Type) == method.TypeKey && !r.remote() { // a tap for nothing is spared
			if _, err := r.newKeys(r.ctx, r.ask.KeyID); err != nil {
				return outcome{}, err
			}
		}
		if err := r.stepUp("may change sign-in methods", r.about()); err != nil {
			return outcome{}, err
		}
	}
	switch method.Type(r.ask.Method.Type) {
	case method.TypeToken:
		return r.activate()
	case method.TypeRecovery:
		return r.addRecovery()
	}
	return r.addKeys()
}

// addKeys registers a key and, if asked, a second one.
func (r *Request) addKeys() (outcome, error) {
	key, err := r.newKey(r.ctx, r.ask.KeyID)
	if err != nil {
		return outcome{}, err
	}
	first, out, err := r.enrol(r.ctx, key, r.ask.Method.Name, !r.ask.Method.Backup)
	if err != nil {
		return outcome{}, err
	}
	added, failed := []method.Method{first}, error(nil)
	if r.ask.Method.Backup {
		r.methods = append(r.methods, first)
		backup, backupOut, err := r.enrolBackup(key, first)
		if err == nil {
			added, out = append(added, backup), backupOut
		} else {
			failed = fmt.Errorf("the key “%s” is registered, the backup key is not: %w", first.Name, err)
			if _, logErr := r.recordEnd(decisionOf(err), failed); logErr != nil {
				r.e.cfg.Log.Error("cannot write the log", "request", r.id, "error", logErr)
			}
		}
	}
	r.e.announceMethods(r.user)
	return outcome{err: failed, view: func(v *View) {
		out.view(v)
		v.Methods = added
	}}, nil
}

// stepUp is the approval of what is done after it. It stands in the log by itself, with what may be done: the
// tap was given, or the code typed, whatever becomes of the change.
func (r *Request) stepUp(may, about string) error {
	r.touchFor("to approve: %s", r.subject())
	w := r.byStrongest()
	w.about, w.interim = about, true
	_, err := r.resolve(w, "step-up: "+may, nil)
	return err
}

// about names the method that the request adds, removes or changes.
func (r *Request) about() string {
	if r.ask.Method.Name != "" {
		return r.ask.Method.Name
	}
	return r.ask.Method.Serial
}

// newKey finds the key to register: the one that is plugged in, or of several the one that a person
// touches, apart from those that are registered already.
func (r *Request) newKey(ctx context.Context, only string) (fido.Key, error) {
	if err := r.desk(ctx); err != nil {
		return fido.Key{}, err
	}
	keys, err := r.newKeys(ctx, only)
	if err != nil {
		return fido.Key{}, err
	}
	if len(keys) == 1 {
		return keys[0], nil
	}
	r.touchFor("to choose the one to register")
	return r.choose(ctx, asHolders(keys))
}

// newKeys are the keys that are plugged in, apart from those that hold a credential of the user's.
func (r *Request) newKeys(ctx context.Context, only string) ([]fido.Key, error) {
	keys, err := r.e.plugged(only)
	mine := method.Of(r.methods, method.TypeKey)
	if err != nil || len(mine) == 0 {
		return keys, err
	}
	var names []string
	left := slices.DeleteFunc(slices.Clone(keys), func(k fido.Key) bool {
		names = append(names, k.Name)
		return r.asks(ctx, k, r.e.rpID(), credentialIDs(mine)) == nil
	})
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(left) == 0 {
		return nil, fmt.Errorf("%s: %w", strings.Join(names, ", "), ErrKeyRegistered)
	}
	return left, nil
}

// enrolBackup waits for another key than the first and registers it.
func (r *Request) enrolBackup(first fido.Key, m method.Method) (method.Method, outcome, error) {
	var key fido.Key
	for text := "Plug in the backup key, then press Enter"; ; text = "No other key is plugged in: plug in the backup key, then press Enter" {
		keys, err := r.e.plugged("")
		if err != nil && !errors.Is(err, ErrNoKey) {
			return method.Method{}, outcome{}, err
		}
		keys = slices.DeleteFunc(slices.Clone(keys), func(k fido.Key) bool { return k.ID == first.ID })
		if len(keys) > 1 {
			r.touchFor("to choose the backup key")
			if key, err = r.choose(r.ctx, asHolders(keys)); err != nil {
				return method.Method{}, outcome{}, err
			}
			break
		}
		if len(keys) == 1 {
			key = keys[0]
			break
		}
		if _, err := r.prompt(r.ctx, Prompt{Type: PromptConfirm, Text: text}); err != nil {
			return method.Method{}, outcome{}, err
		}
	}
	name := r.ask.Method.BackupName
	if name == "" {
		name = method.FreeName(r.methods, m.Name+" backup")
	}
	return r.enrol(r.ctx, key, name, true)
}

// enrol makes a credential on the key, verifies its attestation, tests it with a second tap, and
// puts it on disk. Until the test it counts for nothing.
func (r *Request) enrol(ctx context.Context, k fido.Key, name string, last bool) (method.Method, outcome, error) {
	defer r.withdraw(OfferByKey)
	if name == "" {
		name = method.FreeName(r.methods, k.Name)
	}
	info, err := r.info(ctx, k)
	if err != nil {
		return method.Method{}, outcome{}, err
	}
	m, registration, err := r.makeMethod(ctx, k, info, name)
	if err != nil {
		return method.Method{}, outcome{}, err
	}
	r.withdraw(OfferByKey)
	need := policy.Key
	if info.HasUV() {
		need = policy.Verified
	}
	r.touchFor("once more, to test it")
	test := holder{key: k, methods: []method.Method{m}}
	a, err := r.race(ctx, []holder{test}, need, name)
	if err != nil {
		return method.Method{}, outcome{}, fmt.Errorf("the test of the new method failed, so it was not registered: %w", err)
	}
	defer a.done()
	m.Key.Counter, m.Key.KeyID, m.Used = a.proof.Counter, k.ID, r.e.cfg.Clock.Now().UTC()
	a.method = m
	out, err := r.commit(last, func(tx *store.Tx) error {
		if err := r.unchanged(tx); err != nil {
			return err
		}
		if err := r.spendHelp(tx); err != nil {
			return err
		}
		stored, err := method.AddKey(tx, m, registration)
		m = stored
		return err
	}, r.approvedBy(a, fmt.Sprintf("registered the key “%s”", name)))
	return m, out, err
}

// makeMethod is the first tap of an enrolment.
func (r *Request) makeMethod(ctx context.Context, k fido.Key, info fido.Info, name string) (m method.Method, reg method.Registration, err error) {
	id, err := r.e.newID()
	if err != nil {
		return m, reg, err
	}
	handle := make([]byte, 32)
	if _, err := io.ReadFull(r.e.cfg.Rand, handle); err != nil {
		return m, reg, fmt.Errorf("cannot make a user handle: %w", err)
	}
	c, err := r.makeCredential(ctx, k, info, fido.MakeArgs{
		RPID: r.e.rpID(), RPName: rpName, UserID: handle, UserName: r.user.Name, Exclude: credentialIDs(method.Of(r.methods, method.TypeKey)),
	}, name, "to register it")
	if errors.Is(err, fido.ErrExcluded) {
		err = fmt.Errorf("%s: %w", k.Name, ErrKeyRegistered)
	}
	if err != nil {
		return m, reg, err
	}
	m = method.Method{
		ID: id, UID: r.user.UID, User: r.user.Name, Type: method.TypeKey, Name: name, Added: r.e.cfg.Clock.Now().UTC(),
		Key: &method.Key{
			RPID: r.e.rpID(), CredentialID: c.CredentialID, PublicKey: c.PublicKey, Algorithm: c.Algorithm,
			AAGUID: c.AAGUID, Counter: c.Counter, UV: c.UserVerified, Attestation: c.Attestation, KeyID: k.ID,
		},
	}
	return m, method.Registration{Format: c.answer.Format, Statement: c.answer.Statement, AuthData: c.answer.AuthData, ClientData: c.clientData}, nil
}

// madeCredential is a new credential whose attestation was verified.
type madeCredential struct {
	fido.Registration
	answer     fido.Attestation
	clientData []byte
}

// makeCredential makes a key blink for a new credential, with its PIN where it has one. It fills in what a
// says neither of the algorithm nor of the client data, which name what it is about.
func (r *Request) makeCredential(ctx context.Context, k fido.Key, info fido.Info, a fido.MakeArgs, about, purpose string) (c madeCredential, err error) {
	a.Algorithm = fido.AlgES256
	if info.Supports(fido.AlgEdDSA) {
		a.Algorithm = fido.AlgEdDSA
	}
	verbatim, hash, err := r.clientData(r.ask.Require, about)
	if err != nil {
		return c, err
	}
	a.ClientDataHash = hash[:]
	uv := &userVerification{r: r, key: k, wanted: info.HasPIN() || info.HasUV()}
	r.touchFor("%s", purpose)
	r.offer(k.ID, func(o *Offer) { o.KeyName = k.Name })
	letGo, err := r.blink(ctx, holder{key: k}, uv, func(ctx context.Context) (err error) {
		a.PIN, a.UV = fido.RevealPIN(uv.pin), uv.builtin
		c.answer, err = r.e.cfg.Devices.Make(ctx, k, a, r.opLimit())
		return err
	})
	if err != nil {
		return c, err
	}
	letGo()
	c.clientData = verbatim
	if c.Registration, err = fido.VerifyAttestation(a.RPID, hash, []int{a.Algorithm}, c.answer); err != nil {
		return c, fmt.Errorf("%s: %w: %w", k.Name, fido.ErrBadAnswer, err)
	}
	if uv.wanted && !c.UserVerified { // it took the PIN, and does not say so
		return c, fmt.Errorf("%s: %w: %w", k.Name, fido.ErrBadAnswer, fido.ErrNotVerified)
	}
	if !r.e.policy.Load().AllowsAAGUID(c.AAGUID) {
		return c, fmt.Errorf("%s: %w", k.Name, ErrKeyModel)
	}
	return c, nil
}
