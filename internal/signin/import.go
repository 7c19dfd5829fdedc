package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
	"github.com/fobproject/fob/internal/vault"
)

// Bounds of an import.
const (
	// maxImport is how many tokens one import brings at most.
	maxImport = 250_000
	// maxProblems is how many tokens a report names at most.
	maxProblems = 1000
)

// ImportOptions say how an import deals with what is wrong.
type ImportOptions struct {
	// Partial imports what can be imported although something else cannot.
	Partial bool
	// DryRun changes nothing.
	DryRun bool
	// Source says for the log where the tokens come from, as claimed.
	Source caller.Text
}

// ImportRow is one token to import.
type ImportRow struct {
	Line    int // of the file, for the report
	Token   token.Token
	Counter uint64 // HOTP: the next one
	Seed    *secret.Secret
	// User is whom the file names; where Exact is set that is a login name which must exist, otherwise
	// one that may.
	User  string
	Exact bool
}

// ImportProblem is a token that was not imported, or was and belongs to nobody yet.
type ImportProblem struct {
	Line   int
	Serial string
	Text   string
}

// ImportReport says what an import did.
type ImportReport struct {
	Imported int
	Assigned int
	// Problems are tokens that could not be imported, Unassigned those whose users are not known here;
	// the first 1,000 of each, by line.
	Problems        []ImportProblem
	ProblemsTotal   int
	Unassigned      []ImportProblem
	UnassignedTotal int
}

// Import is a set of tokens that comes in bit by bit. It is for one goroutine.
type Import struct {
	e      *Engine
	c      caller.Caller
	o      ImportOptions
	seeds  *vault.Sealer
	rows   []*stagedRow
	report ImportReport
	lines  map[string]int // of the serial numbers seen, by key
}

// stagedRow is a row whose seed is sealed already.
type stagedRow struct {
	token.New
	key   string // token.Key of the serial number
	line  int
	user  string
	exact bool
}

// BeginImport begins an import. Nothing is changed before Commit.
func (e *Engine) BeginImport(c caller.Caller, o ImportOptions) (*Import, error) {
	if err := e.admin(c); err != nil {
		return nil, err
	}
	seeds, err := e.cfg.Vault.Sealer(token.Purpose)
	if err != nil {
		return nil, err
	}
	return &Import{e: e, c: c, o: o, seeds: seeds, lines: make(map[string]int)}, nil
}

// Add takes a row and wipes its seed. What is wrong with it goes to the report; an error ends the import.
func (i *Import) Add(row ImportRow) error {
	defer row.Seed.Wipe()
	if len(i.rows) >= maxImport {
		return badRequest("an import has at most %d tokens: split the file", maxImport)
	}
	row.Token.Added = i.e.cfg.Clock.Now().UTC().Round(0)
	if problem := i.check(row); problem != nil {
		i.problem(row.Line, row.Token.Serial, problem)
		return nil
	}
	key := string(token.Key(row.Token.Serial))
	sealed, err := i.seeds.Seal([]byte(key), row.Seed.Reveal())
	if err != nil {
		return err
	}
	i.lines[key] = row.Line
	row.Token.State = oath.State{Next: row.Counter}
	i.rows = append(i.rows, &stagedRow{New: token.New{Token: row.Token, Sealed: sealed}, key: key, line: row.Line, user: row.User, exact: row.Exact})
	return nil
}

// check says what is wrong with a row, as far as it alone and those before it tell.
func (i *Import) check(row ImportRow) error {
	if err := row.Token.Check(); err != nil {
		return err
	}
	if n := row.Seed.Len(); n < oath.MinSeed || n > oath.MaxSeed {
		return fmt.Errorf("its seed is %d bytes long, not %d to %d", n, oath.MinSeed, oath.MaxSeed)
	}
	if row.Counter > oath.MaxCounter || row.Counter > 0 && row.Token.Kind != oath.HOTP {
		return errors.New("its counter makes no sense")
	}
	if line, twice := i.lines[string(token.Key(row.Token.Serial))]; twice {
		return fmt.Errorf("this serial number stands in line %d already", line)
	}
	return nil
}

func (i *Import) problem(line int, serial string, why error) {
	if i.report.ProblemsTotal++; len(i.report.Problems) < maxProblems {
		i.report.Problems = append(i.report.Problems, ImportProblem{Line: line, Serial: caller.Clean(serial).String(), Text: why.Error()})
	}
}

func (i *Import) unassigned(r *stagedRow) {
	if i.report.UnassignedTotal++; len(i.report.Unassigned) < maxProblems {
		i.report.Unassigned = append(i.report.Unassigned, ImportProblem{
			Line: r.line, Serial: r.Serial, Text: fmt.Sprintf("there is no user %q here", caller.Clean(r.user)),
		})
	}
}

// Commit imports what was added, in one transaction: all of it or, without Partial and where anything is
// wrong, nothing and ErrImport. The report says what was done, or would have been.
func (i *Import) Commit(ctx context.Context) (ImportReport, error) {
	i.e.restoring.RLock()
	defer i.e.restoring.RUnlock()
	if _, err := i.seeds.Seal(nil, nil); err != nil {
		return ImportReport{}, err // what was sealed with it could not be opened any more
	}
	if err := i.dropKnown(); err != nil {
		return ImportReport{}, err
	}
	if err := i.assign(ctx); err != nil {
		return ImportReport{}, err
	}
	slices.SortFunc(i.rows, func(a, b *stagedRow) int { return cmp.Compare(a.key, b.key) })
	slices.SortFunc(i.report.Problems, func(a, b ImportProblem) int { return a.Line - b.Line })
	switch {
	case i.report.ProblemsTotal > 0 && !i.o.Partial:
		i.report.Imported, i.report.Assigned = 0, 0
		return i.report, ErrImport
	case len(i.rows) == 0 || i.o.DryRun:
		i.count()
		return i.report, nil
	}
	err := i.e.noted(ctx, i.e.itself().uid, i.write)
	if errors.Is(err, token.ErrExists) {
		return ImportReport{}, fmt.Errorf("%w: another import was faster: begin again", ErrImport)
	}
	if err != nil {
		return ImportReport{}, err
	}
	i.count()
	return i.report, nil
}

// assign finds the users whom the rows name.
func (i *Import) assign(ctx context.Context) error {
	var names []string
	for _, r := range i.rows {
		if r.user != "" {
			names = append(names, r.user)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return nil
	}
	users, err := i.e.cfg.Users(ctx, names)
	if err != nil {
		return err
	}
	i.rows = slices.DeleteFunc(i.rows, func(r *stagedRow) bool {
		_, known := users[r.user]
		if r.exact && !known {
			i.problem(r.line, r.Serial, fmt.Errorf("%w: %q", ErrUnknownUser, caller.Clean(r.user)))
			return true
		}
		return false
	})
	for _, r := range i.rows {
		if u, known := users[r.user]; known {
			r.Owner = &token.Owner{UID: u.UID, User: u.Name}
		} else if r.user != "" {
			i.unassigned(r)
		}
	}
	return nil
}

// dropKnown reports the tokens that are in the registry already; the transaction looks again.
func (i *Import) dropKnown() error {
	return i.e.cfg.Store.View(func(tx *store.Tx) error {
		var failed error
		i.rows = slices.DeleteFunc(i.rows, func(r *stagedRow) bool {
			_, err := token.Get(tx, r.Serial)
			if err == nil {
				i.problem(r.line, r.Serial, token.ErrExists)
				return true
			}
			if !errors.Is(err, token.ErrNotFound) {
				failed = err
			}
			return false
		})
		return failed
	})
}

func (i *Import) write(tx *store.Tx) error {
	all := make([]*token.New, len(i.rows))
	for n, r := range i.rows {
		all[n] = &r.New
	}
	if err := token.Add(tx, all...); err != nil {
		return err
	}
	reason := "imported a token"
	if len(i.rows) > 1 {
		reason = fmt.Sprintf("imported %d tokens", len(i.rows))
	}
	if !i.o.Source.IsZero() {
		reason += " from " + i.o.Source.String()
	}
	return i.e.note(tx, kindImport, i.e.itself(), i.c.UID, reason)
}

func (i *Import) count() {
	for _, r := range i.rows {
		i.report.Imported++
		if r.Owner != nil {
			i.report.Assigned++
		}
	}
}
