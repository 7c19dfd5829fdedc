package wire

import (
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
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
	}{
		{"kind", r.Kind, maxWord},
		{"user", r.User, maxUser},
		{"service", r.Service, maxID},
		{"require", r.Require, maxWord},
		{"key", r.Key, maxID},
		{"method.id", r.Method.ID, maxID},
		{"method.type", r.Method.Type, maxWord},
		{"method.name", r.Method.Name, maxName},
		{"method.backup_name", r.Method.BackupName, maxName},
		{"method.serial", r.Method.Serial, maxName},
		{"token.serial", r.Token.Serial, maxName},
		{"token.action", r.Token.Action, maxWord},
		{"vault.action", r.Vault.Action, maxWord},
		{"vault.id", r.Vault.ID, maxID},
		{"vault.type", r.Vault.Type, maxWord},
		{"vault.name", r.Vault.Name, maxName},
		{"unblock", r.Unblock, maxName},
	} {
		if err := plain(f.name, f.value, f.max); err != nil {
			return signin.Ask{}, err
		}
	}
	if err := short("code", r.Code, maxCode); err != nil {
		return signin.Ask{}, err
	}
	if err := short("helpdesk_code", r.Helpdesk, maxCode); err != nil {
		return signin.Ask{}, err
	}
	if err := short("vault.passphrase", r.Vault.Passphrase, maxPass); err != nil {
		return signin.Ask{}, err
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
			Passphrase: Secret(r.Vault.Passphrase),
		},
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
	err := plain("prompt", r.Prompt, maxID)
	if err == nil {
		err = plain("confirm", r.Confirm, maxName)
	}
	if err == nil {
		err = plain("number", r.Number, maxWord)
	}
	if err == nil && r.Prompt == "" {
		err = api.Errorf(api.CodeBadRequest, "prompt is missing: it names what is answered")
	}
	if err == nil {
		err = short("pin", r.PIN, maxPIN)
	}
	if err == nil {
		err = short("code", r.Code, maxCode)
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
func short(field string, b []byte, limit int) *api.Error {
	if len(b) > limit {
		return api.Errorf(api.CodeBadRequest, "%s is longer than %d bytes", field, limit)
	}
	return nil
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
func plain(field, s string, limit int) *api.Error {
	if len(s) > limit {
		return api.Errorf(api.CodeBadRequest, "%s is longer than %d bytes", field, limit)
	}
	if !utf8.ValidString(s) {
		return api.Errorf(api.CodeBadRequest, "%s is not valid UTF-8", field)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return api.Errorf(api.CodeBadRequest, "%s contains a control or invisible character", field)
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
