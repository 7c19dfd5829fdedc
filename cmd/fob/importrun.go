package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
)

const (
	// maxTold is how many problems are told; maxProblems how many are kept, as the daemon does.
	maxTold     = 50
	maxProblems = 1000
	// progressTime is how often the line of progress changes.
	progressTime = 100 * time.Millisecond
)

// importer passes tokens on to the daemon, and reports what became of them.
type importer struct {
	a      *app
	c      *client.Client
	o      importFlags
	name   string            // of the file, for people; empty where the seed was typed
	source string            // for the log
	owners map[string]string // login names by the file's names
	screen *screen
	asked  func() error // why what decrypts the file was not had; may be nil

	up       *client.Import
	read     int
	last     string // serial number of the last token that was passed on
	problems []api.ImportProblem
	bad      int
	shown    time.Time
}

// run imports what seeds gives: all of it or, without --partial and where anything is wrong, nothing.
func (i *importer) run(ctx context.Context, seeds iter.Seq2[provision.Seed, error]) error {
	defer i.abort()
	defer i.screen.clear()
	for seed, err := range seeds {
		row, isRow := errors.AsType[*provision.RowError](err)
		switch {
		case isRow:
			i.problem(row)
		case err != nil:
			return i.unreadable(err)
		default:
			if err := i.add(ctx, seed); err != nil {
				return err
			}
		}
		i.progress()
	}
	switch {
	case i.read+i.bad == 0:
		return api.Errorf(api.CodeImport, "there are no tokens in %s", i.name)
	case i.bad > 0 && !i.o.partial, i.up == nil:
		return i.end(ctx, api.ImportReport{Error: i.refusal()})
	}
	if i.screen.live {
		i.screen.progress("Importing "+tokensText(i.read)+"…", time.Time{})
	}
	report, err := i.up.Commit()
	i.up = nil
	if err != nil {
		return err
	}
	return i.end(ctx, report)
}

// add passes on a token, unless something is wrong already: then the rest is only looked at.
func (i *importer) add(ctx context.Context, seed provision.Seed) error {
	defer seed.Secret.Wipe()
	i.read++
	if i.bad > 0 && !i.o.partial {
		return nil
	}
	if i.up == nil {
		var err error
		i.up, err = i.c.Import(ctx, api.ImportOptions{Partial: i.o.partial, DryRun: i.o.dryRun, Source: i.source})
		if err != nil {
			return err
		}
	}
	token := seedOf(seed)
	if login, ok := i.owners[seed.User]; ok {
		token.User, token.Exact = login, true
	}
	i.last = seed.Serial
	return i.up.Add(token)
}

func (i *importer) problem(row *provision.RowError) {
	if i.bad++; len(i.problems) < maxProblems {
		i.problems = append(i.problems, api.ImportProblem{Line: row.Line, Serial: row.Serial, Text: row.Reason})
	}
	if !i.o.partial {
		i.abort()
	}
}

// abort ends the import without a commit.
func (i *importer) abort() {
	if i.up != nil {
		i.up.Abort()
		i.up = nil
	}
}

// refusal is why nothing is imported although the daemon was not even asked.
func (i *importer) refusal() *api.Error {
	if i.o.partial {
		return api.Errorf(api.CodeImport, "nothing was imported: none of the tokens is in order")
	}
	return api.Errorf(api.CodeImport, "nothing was imported: %s not in order. Mend the file, or import the others with --partial", areTokens(i.bad))
}

func areTokens(n int) string {
	if n == 1 {
		return "1 token is"
	}
	return tokensText(n) + " are"
}

// unreadable is what ended the file before its end.
func (i *importer) unreadable(err error) error {
	if i.asked != nil {
		if refused := i.asked(); refused != nil {
			return refused
		}
	}
	switch {
	case errors.Is(err, provision.ErrWrongKey):
		return api.Errorf(api.CodeWrongSecret, "%s: %v: nothing was imported", i.name, err)
	default:
		return api.Errorf(api.CodeImport, "%s: %v: nothing was imported", i.name, err)
	}
}

func (i *importer) progress() {
	if !i.screen.live || time.Since(i.shown) < progressTime {
		return
	}
	i.shown = time.Now()
	i.screen.progress(tokensText(i.read+i.bad)+" read…", time.Time{})
}

// end says what the import did, or why it did nothing.
func (i *importer) end(ctx context.Context, report api.ImportReport) error {
	i.screen.clear()
	report.Problems = slices.Concat(i.problems, report.Problems)
	report.ProblemsTotal += i.bad
	slices.SortStableFunc(report.Problems, func(a, b api.ImportProblem) int { return cmp.Compare(a.Line, b.Line) })
	if i.a.json {
		if err := i.a.printJSON(report); err != nil {
			return err
		}
	} else {
		i.tell("", report.Problems, report.ProblemsTotal)
		if report.Error == nil {
			i.tell("not assigned: ", report.Unassigned, report.UnassignedTotal)
			i.summary(report)
		}
	}
	switch {
	case report.Error == nil:
		i.hint(ctx, report)
		return nil
	case !i.o.partial && i.bad == 0 && report.ProblemsTotal > 0 && i.read > report.ProblemsTotal:
		// The daemon does not know what this command calls the way out.
		return api.Errorf(report.Error.Code, "nothing was imported: %s not in order. Import the others with --partial", areTokens(report.ProblemsTotal))
	case !i.o.partial && i.bad == 0 && report.ProblemsTotal > 0:
		return api.Errorf(report.Error.Code, "nothing was imported") // why stands above
	default:
		return report.Error
	}
}

// tell names tokens on stderr, the first ones at least.
func (i *importer) tell(before string, problems []api.ImportProblem, total int) {
	for n, p := range problems {
		if n == maxTold {
			break
		}
		fmt.Fprintln(i.a.stderr, i.where(p)+before+client.Show(p.Text))
	}
	if told := min(len(problems), maxTold); total > told {
		fmt.Fprintf(i.a.stderr, "and %s more\n", thousands(total-told))
	}
}

// where is "FILE:LINE: serial X: ", as far as it is known.
func (i *importer) where(p api.ImportProblem) string {
	text := ""
	if i.name != "" {
		text = i.name
		if p.Line > 0 {
			text += fmt.Sprint(":", p.Line)
		}
		text += ": "
	}
	if p.Serial != "" {
		text += "serial " + client.Show(p.Serial) + ": "
	}
	return text
}

func (i *importer) summary(report api.ImportReport) {
	out := i.a.out
	done, after := "Imported ", ""
	if i.o.dryRun {
		done, after = "This would import ", " Nothing was changed."
	}
	assigned := ""
	switch n := report.Assigned; {
	case n == 0:
	case n == 1 && report.Imported == 1:
		assigned = ", which is assigned"
	case n == report.Imported:
		assigned = ", all of them assigned"
	default:
		assigned = ", " + thousands(n) + " of them assigned"
	}
	fmt.Fprintf(out, "%s%s%s.%s\n", done, tokensText(report.Imported), assigned, after)
	if report.Imported == 0 {
		return
	}
	serial := "SERIAL"
	if report.Imported == 1 && i.read == 1 {
		serial = client.Show(i.last)
	}
	if i.o.typed {
		fmt.Fprintf(out, "It is taken for: %s.\n", i.o.described())
	}
	if i.o.dryRun {
		return
	}
	if i.o.typed {
		fmt.Fprintf(out, "If that is wrong, remove it and import it again: fob tokens remove %s\n", serial)
	}
	if report.Assigned < report.Imported {
		fmt.Fprintf(out, "Give one to somebody: fob tokens assign %s [USER]\n", serial)
	}
	if report.Assigned > 0 {
		fmt.Fprintf(out, "Register one that is yours: fob methods add token %s\n", serial)
	}
}

// hint says what is missing, once there is something to lose. Where that cannot be told it is not said.
func (i *importer) hint(ctx context.Context, report api.ImportReport) {
	if i.o.dryRun || report.Imported == 0 {
		return
	}
	if v, err := i.c.Vault(ctx); err == nil && !v.Recovery {
		fmt.Fprintln(i.a.stderr, "No recovery key yet: make one with fob vault slots add recovery")
	}
}
