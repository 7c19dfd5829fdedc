package wire

import (
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
	"time"
)

// Token is a token as it travels: no seed, and nothing of how far it was used.
func Token(t token.Token) api.Token {
	out := api.Token{
		Serial: t.Serial, Name: t.Name, Manufacturer: t.Manufacturer, Model: t.Model,
		Kind: string(t.Kind), Algorithm: string(t.Algorithm), Digits: t.Digits, Period: t.Period,
		Method: t.Method, Added: t.Added.UTC(), State: api.TokenFree,
	}
	if t.Owner != nil {
		out.User, out.State = t.Owner.User, api.TokenAssigned
	}
	if t.Method != "" {
		out.State = api.TokenActive
	}
	if t.Disabled {
		out.State = api.TokenDisabled
	}
	return out
}

// TokenPage is a page of the registry as it travels.
func TokenPage(ts []token.Token, more bool) api.TokenPage {
	out := api.TokenPage{Tokens: make([]api.Token, 0, len(ts)), More: more}
	for _, t := range ts {
		out.Tokens = append(out.Tokens, Token(t))
	}
	return out
}

// TokenSeed is a token with its seed as it leaves. The seed is not copied.
func TokenSeed(t signin.Exported) *api.TokenSeed {
	out := &api.TokenSeed{
		Serial: t.Serial, Name: t.Name, Manufacturer: t.Manufacturer, Model: t.Model,
		Kind: string(t.Kind), Algorithm: string(t.Algorithm), Digits: t.Digits, Period: t.Period, Seed: t.Seed.Reveal(),
	}
	if t.Kind == oath.HOTP {
		out.Counter = t.State.Next
	}
	if t.Owner != nil {
		out.User = t.Owner.User
	}
	return out
}

// ImportRow reads a token that comes in. The seed's bytes move into the row.
func ImportRow(t *api.TokenSeed) signin.ImportRow {
	return signin.ImportRow{
		Line: t.Line,
		Token: token.Token{
			Serial: t.Serial, Name: t.Name, Manufacturer: t.Manufacturer, Model: t.Model,
			Params: oath.Params{Kind: oath.Kind(t.Kind), Algorithm: oath.Algorithm(t.Algorithm), Digits: t.Digits, Period: t.Period},
		},
		Counter: t.Counter, Seed: secret.New(t.Seed), User: t.User, Exact: t.Exact,
	}
}

// ImportOptions read how an import deals with what is wrong.
func ImportOptions(o api.ImportOptions) signin.ImportOptions {
	return signin.ImportOptions{Partial: o.Partial, DryRun: o.DryRun, Source: claim(o.Source)}
}

// ImportReport is a report as it travels; err is why nothing was imported, if so.
func (e *Errors) ImportReport(r signin.ImportReport, err error) api.ImportReport {
	return api.ImportReport{
		Imported: r.Imported, Assigned: r.Assigned,
		Problems: importProblems(r.Problems), ProblemsTotal: r.ProblemsTotal,
		Unassigned: importProblems(r.Unassigned), UnassignedTotal: r.UnassignedTotal,
		Error: e.Of(err),
	}
}

func importProblems(ps []signin.ImportProblem) (out []api.ImportProblem) {
	for _, p := range ps {
		out = append(out, api.ImportProblem{Line: p.Line, Serial: p.Serial, Text: p.Text})
	}
	return out
}

// Vault is the vault as it travels.
func Vault(v vault.Status) api.Vault {
	out := api.Vault{State: string(v.State), Where: v.Where, Problem: v.Problem, Until: v.Until, Recovery: v.HasRecovery}
	for _, s := range v.Slots {
		out.Slots = append(out.Slots, api.Slot{
			ID: s.ID, Type: string(s.Type), Name: s.Name, Added: s.Added.UTC(),
			Verify: s.Verify, LockAfterS: int64(s.LockAfter / time.Second), Damaged: s.Damaged,
		})
	}
	return out
}

// BackupHead is the beginning of a backup as it leaves. The key is not copied.
func BackupHead(b *signin.Backup) *api.BackupHead {
	return &api.BackupHead{
		Format: api.BackupFormat, Made: b.Made.UTC(), Schema: b.Schema, Instance: b.Instance,
		DataKey: b.DataKey.Reveal(), Records: len(b.Records),
	}
}

// BackupRecord is one value of a backup as it leaves.
func BackupRecord(r store.Record) *api.BackupRecord {
	return &api.BackupRecord{Bucket: r.Bucket, Key: r.Key, Value: r.Value}
}

// Backup reads the beginning of a backup that comes in. The key's bytes move into it.
func Backup(h *api.BackupHead) (*signin.Backup, *api.Error) {
	if h.Format != api.BackupFormat {
		return nil, api.Errorf(api.CodeBadRequest, "this is a backup of format %d, and this fobd reads format %d: a newer Fob made it", h.Format, api.BackupFormat)
	}
	if err := plain("the backup's instance", h.Instance, maxID); err != nil {
		return nil, err
	}
	return &signin.Backup{
		Made: h.Made, DataKey: secret.New(h.DataKey), Copy: store.Copy{Schema: h.Schema, Instance: h.Instance},
	}, nil
}

// Restored says what a restored backup brought, as it travels.
func Restored(r signin.Restored) api.Restored {
	return api.Restored{Made: r.Made.UTC(), Methods: r.Methods, Tokens: r.Tokens, Accounts: r.Accounts, CodesEnded: r.CodesEnded}
}
