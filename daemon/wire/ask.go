package wire

import (
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

// Bounds of what may be asked, in bytes.
const (
	maxUser  = 256
	maxName  = 256 // 64 runes
	maxID    = 128
	maxWord  = 32
	maxClaim = 8 << 10
	maxPIN   = 255 // CTAP 2.1 takes 63 bytes; more is refused by the key, not here
	maxCode  = 128 // with spaces between the digits, and digits of other scripts
	maxPass  = 1 << 10
)

// Ask reads what a caller asks for. It checks form and size and makes the claims safe to show; what
// it means is the engine's to judge. The bytes of secrets move into the ask: the engine wipes them. On
// error they are wiped here.
func Ask(r api.BeginRequest) (signin.Ask, *api.Error) {
	a, err := ask(r)
	if err != nil {
		Wipe(r)
	}
	return a, err
}

// Wipe forgets what is secret in what a caller asks for.
func Wipe(r api.BeginRequest) {
	r.Code.Wipe()
	r.Helpdesk.Wipe()
	r.Ticket.Wipe()
	r.Vault.Passphrase.Wipe()
}

func ask(r api.BeginRequest) (signin.Ask, *api.Error) {
	for _, f := range []struct {
		name, value string
		max         int
		form        error // if not nil, says what the engine takes
	}{
		{"the kind of request", r.Kind, maxWord, nil},
		{"the user's name", r.User, maxUser, nil},
		{"the service", r.Service, maxID, signin.ErrBadService},
		{"the strength", r.Require, maxWord, nil},
		{"the key's id", r.Key, maxID, nil},
		{"the method's id", r.Method.ID, maxID, nil},
		{"the method's type", r.Method.Type, maxWord, nil},
		{"the method's name", r.Method.Name, maxName, method.ErrBadName},
		{"the backup's name", r.Method.BackupName, maxName, method.ErrBadName},
		{"the serial number", r.Method.Serial, maxName, token.ErrBadSerial},
		{"the serial number", r.Token.Serial, maxName, token.ErrBadSerial},
		{"the change of the token", r.Token.Action, maxWord, nil},
		{"the change of the vault", r.Vault.Action, maxWord, nil},
		{"the slot's id", r.Vault.ID, maxID, nil},
		{"the slot's type", r.Vault.Type, maxWord, nil},
		{"the slot's name", r.Vault.Name, maxName, vault.ErrBadName},
		{"the origin", r.Unblock, maxName, nil},
	} {
		if err := plain(f.name, f.value, f.max); err != nil {
			if f.form != nil {
				err.Message = f.form.Error()
			}
			return signin.Ask{}, err
		}
	}
	for _, id := range r.Accounts {
		if err := plain("an account's id", id, maxID); err != nil {
			return signin.Ask{}, err
		}
	}
	if err := short("the code", r.Code, maxCode); err != nil {
		return signin.Ask{}, err
	}
	if err := short("the one-time code", r.Helpdesk, maxCode); err != nil {
		return signin.Ask{}, err
	}
	if err := short("the passphrase", r.Vault.Passphrase, maxPass); err != nil {
		return signin.Ask{}, err
	}
	if most := int64(vault.MaxLockAfter / time.Second); r.Vault.LockAfterS < 0 || r.Vault.LockAfterS > most {
		return signin.Ask{}, api.Errorf(api.CodeBadRequest, "lock_after_s is %d to %d", int64(vault.MinLockAfter/time.Second), most)
	}
	a := signin.Ask{
		Kind:    signin.Kind(r.Kind),
		User:    r.User,
		Service: r.Service,
		Claimed: signin.Claimed{
			Origin:  claim(r.Claimed.Origin),
			Host:    claim(r.Claimed.Host),
			Command: claim(r.Claimed.Command),
			SSHKey:  claim(r.Claimed.SSHKey),
		},
		KeyID: r.Key,
		Method: signin.MethodAsk{
			ID: r.Method.ID, Type: r.Method.Type, Serial: r.Method.Serial, Name: r.Method.Name,
			Backup: r.Method.Backup, BackupName: r.Method.BackupName, Force: r.Method.Force,
		},
		Token: signin.TokenAsk{Serial: r.Token.Serial, Action: signin.TokenAction(r.Token.Action), Force: r.Token.Force},
		Vault: signin.VaultAsk{
			Action: signin.VaultAction(r.Vault.Action), ID: r.Vault.ID, Type: r.Vault.Type, Name: r.Vault.Name,
			Passphrase: Secret(r.Vault.Passphrase), Verify: r.Vault.Verify, LockAfter: time.Duration(r.Vault.LockAfterS) * time.Second,
		},
		Accounts: signin.AccountsAsk{IDs: r.Accounts},
		Block:    r.Unblock,
		Code:     Secret(r.Code),
		Helpdesk: Secret(r.Helpdesk),
	}
	if r.Require != "" {
		var err error
		if a.Require, err = policy.ParseStrength(r.Require); err != nil {
			return signin.Ask{}, api.Errorf(api.CodeBadRequest, "%v", err)
		}
	}
	if r.TimeoutMS != 0 {
		if r.TimeoutMS < policy.MinTimeout.Milliseconds() || r.TimeoutMS > policy.MaxTimeout.Milliseconds() {
			return signin.Ask{}, api.Errorf(api.CodeBadRequest, "timeout_ms is %d to %d",
				policy.MinTimeout.Milliseconds(), policy.MaxTimeout.Milliseconds())
		}
		a.Timeout = time.Duration(r.TimeoutMS) * time.Millisecond
	}
	return a, nil
}

// Answer reads a person's answer. The bytes of its secrets move into the answer: the engine wipes them.
// On error they are wiped here.
func Answer(r api.Answer) (signin.Answer, *api.Error) {
	err := plain("the prompt's id", r.Prompt, maxID)
	if err == nil {
		err = plain("the confirmation", r.Confirm, maxName)
	}
	if err == nil {
		err = plain("the number", r.Number, maxWord)
	}
	if err == nil && r.Prompt == "" {
		err = api.Errorf(api.CodeBadRequest, "prompt is missing: it names what is answered")
	}
	if err == nil {
		err = short("the PIN", r.PIN, maxPIN)
	}
	if err == nil {
		err = short("the code", r.Code, maxCode)
	}
	if err != nil {
		r.PIN.Wipe()
		r.Code.Wipe()
		return signin.Answer{}, err
	}
	return signin.Answer{
		Prompt: r.Prompt, Confirm: r.Confirm, PIN: Secret(r.PIN), Code: Secret(r.Code), Number: r.Number, Approve: r.Approve,
	}, nil
}

// Secret moves the bytes of a secret that travelled; nil if there are none.
func Secret(b []byte) *secret.Secret {
	if len(b) == 0 {
		return nil
	}
	return secret.New(b)
}

// short refuses a secret that is too long. It says nothing of what is in it.
func short(what string, b []byte, limit int) *api.Error {
	if len(b) > limit {
		return api.Errorf(api.CodeBadRequest, "%s is longer than %d bytes", what, limit)
	}
	return nil
}

// Field reads a field of a query.
func Field(name, s string) (string, *api.Error) {
	err := plain(name, s, maxID)
	if err != nil && name == "service" {
		err.Message = signin.ErrBadService.Error()
	}
	return s, err
}

// ID reads an id as it stands in a path or in a D-Bus argument.
func ID(what, s string) (string, *api.Error) {
	if s == "" {
		return "", api.Errorf(api.CodeBadRequest, "the %s's id is missing", what)
	}
	if err := plain("the "+what+"'s id", s, maxID); err != nil {
		return "", err
	}
	return s, nil
}

// plain refuses text that is too long, is not UTF-8 or cannot be printed.
func plain(what, s string, limit int) *api.Error {
	if len(s) > limit {
		return api.Errorf(api.CodeBadRequest, "%s is longer than %d bytes", what, limit)
	}
	if !utf8.ValidString(s) {
		return api.Errorf(api.CodeBadRequest, "%s is not valid UTF-8", what)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return api.Errorf(api.CodeBadRequest, "%s contains a control or invisible character", what)
		}
	}
	return nil
}

// claim cuts a claim before it is cleaned, so that a huge one costs nothing.
func claim(s string) caller.Text {
	if len(s) > maxClaim {
		s = s[:maxClaim]
	}
	return caller.Clean(s)
}
