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
	problem error // of the newest set
}

// load reads the files. After an error the policy is what it was.
func (p *policies) load(ctx context.Context) error {
	next, err := p.read(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.policy != nil && len(p.policy.Rules()) > 0 && len(next.Rules()) == 0 {
		err = fmt.Errorf("there is none in %s any more: to do without, restart fobd", p.dir)
	}
	if p.problem = err; err != nil {
		return fmt.Errorf("%w: the policy: %w", ErrConfig, err)
	}
	p.policy = next
	return nil
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
		return "the policy before is in force: " + p.problem.Error()
	}
	return p.dir
}

// describe adds to a policy where it comes from.
func (p *policies) describe(out *api.Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out.Source = p.dir
	if p.problem != nil {
		out.Problem = p.problem.Error()
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
