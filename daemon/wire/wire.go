// Package wire translates between the domain's types and those of the doors: what the engine says
// becomes what travels, what travelled becomes what the engine is asked, and each domain error
// becomes a stable code. Both doors use it, so that they cannot differ.
package wire

import (
	"encoding/hex"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/signin"
)

// State is a request as it travels.
func (e *Errors) State(v signin.View) api.RequestState {
	s := api.RequestState{
		ID:      v.ID,
		Kind:    string(v.Kind),
		User:    v.User,
		Service: v.Service,
		Place:   string(v.Place),
		Require: v.Require.String(),
		Claimed: api.Claimed{
			Origin:  v.Claimed.Origin.String(),
			Host:    v.Claimed.Host.String(),
			Command: v.Claimed.Command.String(),
			SSHKey:  v.Claimed.SSHKey.String(),
		},
		Caller:        v.CallerUID,
		Vouched:       v.Vouched,
		RememberableS: int64(v.Rememberable.Seconds()),
		Remember:      v.Remember,
		Grant:         v.Grant,
		Begun:         v.Begun.UTC(),
		Deadline:      v.Deadline.UTC(),
		Pending:       v.Pending(),
		Progress:      v.Progress,
		Decision:      string(v.Decision),
		SelfAsserted:  v.SelfAsserted,
		LogSeq:        v.LogSeq,
		Error:         e.Of(v.Err),
	}
	if v.Strength > 0 {
		s.Strength = v.Strength.String()
	}
	for _, o := range v.Offers {
		s.Offers = append(s.Offers, api.Offer{
			Type: string(o.Type), Key: o.KeyID, KeyName: o.KeyName, Method: o.MethodID, MethodName: o.MethodName,
			State: string(o.State), Reason: e.Of(o.Err),
		})
	}
	for _, p := range v.Prompts {
		s.Prompts = append(s.Prompts, api.Prompt{
			ID: p.ID, Type: string(p.Type), Text: p.Text, Key: p.KeyID, KeyName: p.KeyName,
			New: p.New, Retries: p.Retries, MinLength: p.MinLength, Expect: p.Expect,
		})
	}
	if len(v.Methods) > 0 {
		s.Methods = Methods(v.Methods)
	}
	return s
}

// States are requests as they travel; never nil.
func (e *Errors) States(vs []signin.View) []api.RequestState {
	out := make([]api.RequestState, 0, len(vs))
	for _, v := range vs {
		out = append(out, e.State(v))
	}
	return out
}

// Event is a change as it travels, without its number.
func (e *Errors) Event(ev signin.Event) api.Event {
	var out api.Event
	if ev.Request != nil {
		s := e.State(*ev.Request)
		out.Request = &s
	}
	if ev.MethodsChanged {
		ms := Methods(ev.Methods)
		out.Methods = &ms
	}
	out.Log = ev.LogSeq
	return out
}

// Method is a method as it travels: no credential, no public key.
func Method(m method.Method) api.Method {
	out := api.Method{
		ID: m.ID, Type: string(m.Type), Name: m.Name, Default: m.Default,
		Strength: m.Strength().String(), Added: m.Added.UTC(), Suspect: m.Suspect,
	}
	if !m.Used.IsZero() {
		used := m.Used.UTC()
		out.LastUsed = &used
	}
	if m.Key != nil {
		out.Algorithm = Algorithm(m.Key.Algorithm)
		out.AAGUID = AAGUID(m.Key.AAGUID)
		out.Attested = m.Key.Attestation
	}
	if m.Token != nil {
		out.Serial = m.Token.Serial
	}
	if m.Type == method.TypeRecovery {
		out.Left = &m.Left
	}
	return out
}

// Methods are methods as they travel; never nil.
func Methods(ms []method.Method) []api.Method {
	out := make([]api.Method, 0, len(ms))
	for _, m := range ms {
		out = append(out, Method(m))
	}
	return out
}

// Key is a plugged key as it travels: no device path.
func Key(k signin.KeyView) api.Key {
	return api.Key{
		ID: k.ID, Name: k.Name, VendorID: k.VendorID, ProductID: k.ProductID, Serial: k.Serial,
		Methods: k.Methods, Problem: k.Problem,
	}
}

// KeyInfo is what a key says of itself, as it travels.
func KeyInfo(k signin.KeyView, i fido.Info) api.KeyInfo {
	out := api.KeyInfo{
		Key: Key(k), FIDO2: i.FIDO2, Versions: i.Versions, Extensions: i.Extensions,
		AAGUID: AAGUID(i.AAGUID), Options: i.Options,
		PINSet: i.HasPIN(), PINSupported: i.SupportsPIN(), PINMinLength: i.MinPIN,
		PINRetries: i.PINRetries, PINMustChange: i.NewPINRequired, FirmwareNumber: i.Firmware,
	}
	for _, a := range i.Algorithms {
		out.Algorithms = append(out.Algorithms, Algorithm(a))
	}
	return out
}

// LogEntry is an entry of the log as it travels.
func LogEntry(e audit.Entry) api.LogEntry {
	out := api.LogEntry{
		Seq: e.Seq, Prev: hex.EncodeToString(e.Prev[:]), Hash: hex.EncodeToString(e.Hash[:]),
		Time: e.Time.UTC(), Request: e.Request, Kind: e.Kind, Decision: e.Decision,
		User: e.User, Service: e.Service, CallerUID: e.CallerUID, Place: e.Place,
		SSHKey: e.SSHKey, Vouched: e.Vouched, Tried: e.Tried, Grant: e.Grant,
		Require: e.Require, Strength: e.Strength, Method: e.Method, MethodName: e.MethodName,
		Origin: e.Origin, Host: e.Host, Executable: e.Executable, CommandHash: e.CommandHash,
		SelfAsserted: e.SelfAsserted, Reason: e.Reason,
	}
	if r := e.Receipt; r != nil {
		out.Receipt = &api.Receipt{
			RPID: r.RPID, CredentialID: r.CredentialID, PublicKey: r.PublicKey, Algorithm: r.Algorithm,
			ClientData: r.ClientData, AuthData: r.AuthData, Signature: r.Signature,
		}
	}
	return out
}

// LogPage is a page of the log as it travels.
func LogPage(p audit.Page) api.LogPage {
	out := api.LogPage{Entries: make([]api.LogEntry, 0, len(p.Entries)), More: p.More, Next: p.Next}
	for _, e := range p.Entries {
		out.Entries = append(out.Entries, LogEntry(e))
	}
	return out
}

// Status is an instance's state as it travels, without what only the composition root knows: version,
// bus and helper.
func Status(s signin.Status) api.Status {
	out := api.Status{
		Instance: api.InstanceUser, ID: s.InstanceID, User: s.User.Name, UID: s.User.UID, Started: s.Started.UTC(),
		Place: string(s.Place), Pending: s.Pending, Methods: s.Methods, MinMethods: s.MinMethods, CodesLeft: s.CodesLeft,
		Grants: s.Grants, Short: s.Short, ShortMore: s.ShortMore, Tokens: s.Tokens, Keys: s.Keys, Vault: Vault(s.Vault),
		LogSeq: s.LogSeq, LogHead: hex.EncodeToString(s.LogHead[:]), LogKey: s.LogKey, Problems: s.Problems,
	}
	if s.System {
		out.Instance = api.InstanceSystem
	}
	for _, w := range s.Waits {
		out.Waits = append(out.Waits, api.Wait{Kind: string(w.Kind), Service: w.Service, Origin: w.Origin, LeftS: int64(w.Left.Seconds())})
	}
	return out
}
