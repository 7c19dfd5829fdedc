package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/nss"
	"github.com/fobproject/fob/internal/policy"
)

// policies reads the policy's files. A set with anything wrong in it does not take effect: the one before
// stays in force.
type policies struct {
	dir    string
	system bool
	log    *slog.Logger

	mu      sync.Mutex
	policy  *policy.Policy
	problem *refusedPolicy // of the newest set; nil for none
}

// load reads the files. After an error, which wraps ErrConfig, the policy is what it was.
func (p *policies) load(ctx context.Context) error {
	next, err := p.read(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problem = nil
	switch {
	case err != nil:
		p.problem = &refusedPolicy{cause: err, stops: p.policy != nil}
	case p.policy != nil && len(p.policy.Rules()) > 0 && len(next.Rules()) == 0:
		p.problem = &refusedPolicy{cause: fmt.Errorf("%s: to do without, restart fobd", p.gone(next))}
	default:
		p.policy = next
		return nil
	}
	return p.problem
}

// gone says how a policy without rules has come about.
func (p *policies) gone(empty *policy.Policy) string {
	if n := empty.Files(); n > 0 {
		return fmt.Sprintf("no file in %s has a rule in it any more, as where it is empty (files read: %d)", p.dir, n)
	}
	return fmt.Sprintf("there is none in %s any more", p.dir)
}

// refusedPolicy is why a set of files is not in force, in one line.
type refusedPolicy struct {
	cause error
	stops bool // fobd runs with the set before, and could not be started with this one
}

// maxProblem is about how many bytes of faults are listed, so that what follows them is still seen.
const maxProblem = 1500

func (r *refusedPolicy) Error() string {
	return policy.ErrInvalid.Error() + ": " + r.warning()
}

func (r *refusedPolicy) Unwrap() []error { return []error{ErrConfig, r.cause} }

// list gives the faults, each with its place.
func (r *refusedPolicy) list() string {
	faults, all := policy.Faults(r.cause)
	text, shown := faults[0], 1
	for _, fault := range faults[1:] {
		if len(text)+len(fault) > maxProblem {
			break
		}
		text += "; " + fault
		shown++
	}
	if more := all - shown; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// warning is list and, where fobd runs, what the set would do to a restart.
func (r *refusedPolicy) warning() string {
	if !r.stops {
		return r.list()
	}
	return r.list() + "; fobd will not start with this set"
}

// brief says how many faults there are, the first of them and where the others can be read.
func (r *refusedPolicy) brief() string {
	faults, all := policy.Faults(r.cause)
	if all == 1 {
		return "1 fault: " + faults[0] + "; see fob policy"
	}
	return fmt.Sprintf("%d faults, the first: %s; see fob policy", all, faults[0])
}

func (p *policies) read(ctx context.Context) (*policy.Policy, error) {
	next, err := policy.Load(p.dir, policy.CheckOwner(uint32(os.Geteuid())))
	if err != nil {
		return nil, err
	}
	err = next.Missing(func(users, groups []string) (noUsers, noGroups []string, err error) {
		return absent(ctx, users, groups)
	})
	if errors.Is(err, nss.ErrUnavailable) { // then no group can be looked up either, and every rule with groups holds
		p.log.Warn("it cannot be checked now whether the users and groups in the policy exist", slog.Any("error", err))
		err = nil
	}
	return next, err
}

// absent tells which of the names the system does not know.
func absent(ctx context.Context, users, groups []string) (noUsers, noGroups []string, err error) {
	known, err := nss.Lookup{}.ByNames(ctx, users)
	if err != nil {
		return nil, nil, err
	}
	knownGroups, err := nss.Lookup{}.GroupsByNames(ctx, groups)
	if err != nil {
		return nil, nil, err
	}
	for _, u := range users {
		if _, ok := known[u]; !ok {
			noUsers = append(noUsers, u)
		}
	}
	for _, g := range groups {
		if _, ok := knownGroups[g]; !ok {
			noGroups = append(noGroups, g)
		}
	}
	return noUsers, noGroups, nil
}

func (p *policies) current() *policy.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.policy
}

// state is where the policy comes from, or why the newest is not in force.
func (p *policies) state() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.problem != nil {
		return "the policy before is in force: " + p.problem.brief()
	}
	return p.dir
}

// describe adds to a policy where it comes from.
func (p *policies) describe(out *api.Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out.Source = p.dir
	if p.problem != nil {
		out.Problem = p.problem.warning()
	}
}

// Reload reads the policy anew and puts it in force; where anything is wrong with it the one before stays,
// and the log says what and where.
func (d *Daemon) Reload(ctx context.Context) error {
	if err := notify(d.o.Env("NOTIFY_SOCKET"), "RELOADING=1"); err != nil {
		d.log.Warn("the service manager was not told", slog.Any("error", err))
	}
	err := d.policies.load(ctx)
	if err != nil {
		d.log.Error("the policy before stays in force", slog.Any("error", err))
	} else {
		d.engine.SetPolicy(d.policies.current())
		d.log.Info("the policy was read", slog.String("folder", d.layout.policy))
	}
	if err := notify(d.o.Env("NOTIFY_SOCKET"), "READY=1"); err != nil {
		d.log.Warn("the service manager was not told", slog.Any("error", err))
	}
	return err
}
