package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// Sizes of the registries in which codes are verified.
const (
	fewFobs  = 10
	manyFobs = 100_000
)

// codeRows measure a sign-in by a typed code, from the call at the socket to the approval, which is on
// disk then, in a small registry and in a large one; and the import of the large one.
func codeRows(ctx context.Context, o options, dir string) (rows []Row, err error) {
	var closers []func() error
	defer func() {
		for _, c := range closers {
			err = errors.Join(err, c())
		}
	}()
	few, _, err := newCodeRig(ctx, o, dir, fewFobs)
	if few != nil {
		closers = append(closers, few.stop)
	}
	if err != nil {
		return nil, err
	}
	many, imported, err := newCodeRig(ctx, o, dir, manyFobs)
	if many != nil {
		closers = append(closers, many.stop)
	}
	if err != nil {
		return nil, err
	}
	bare, err := startBare(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	closers = append(closers, bare.end)
	pams, err := newPAM(dir, fewFobs, manyFobs)
	if err != nil {
		return nil, err
	}
	closers = append(closers, pams.remove)

	const rounds, warm = 300, 5
	var small, large, limit []time.Duration
	for round := range rounds + warm {
		for _, way := range []struct {
			times  *[]time.Duration
			verify func(context.Context) error
		}{{&small, few.verify}, {&limit, bare.call}, {&large, many.verify}} {
			took, err := timed(func() error { return way.verify(ctx) })
			if err != nil {
				return nil, err
			}
			if round >= warm {
				*way.times = append(*way.times, took)
			}
		}
	}
	peerFew, peerMany, err := pams.times(ctx)
	if err != nil {
		return nil, err
	}
	pskctool, err := infoTime(ctx, many.file)
	if err != nil {
		return nil, err
	}
	rows = append(rows,
		newRow("code over the socket, 10 tokens", "ms", median(small),
			&Bound{What: "bare HTTP + synced commit", Value: median(limit), Budget: 1.3}, peerFew.bound(1)),
		newRow("code over the socket, 100,000 tokens", "ms", median(large),
			&Bound{What: "10 tokens", Value: median(small), Budget: 1.2}, peerMany.bound(0.1)),
		newRow("import of 100,000 seeds (PSKC), durable", "s", imported.Seconds(), nil,
			&Bound{What: "pskctool --info", Value: pskctool.Seconds(), Budget: 1.5}))
	return rows, nil
}

// codeRig is a daemon with a registry of fobs, the first of which is a method.
type codeRig struct {
	*process
	client *client.Client
	http   *http.Client
	fob    fob
	file   string // the fobs' seeds
}

// newCodeRig starts one. imported is how long fob took to import the seeds. The caller stops the rig,
// also after an error, unless it is nil.
func newCodeRig(ctx context.Context, o options, dir string, fobs int) (r *codeRig, imported time.Duration, err error) {
	fobd, err := filepath.Abs(filepath.Join(o.bin, "fobd"))
	if err != nil {
		return nil, 0, fmt.Errorf("cannot find fobd: %w", err)
	}
	state := filepath.Join(dir, fmt.Sprintf("fobs-%d", fobs))
	if err := os.Mkdir(state, 0o700); err != nil {
		return nil, 0, fmt.Errorf("cannot make a folder: %w", err)
	}
	p, err := startDaemon(ctx, fobd, state, nil, "--dir", state)
	if err != nil {
		return nil, 0, err
	}
	r = &codeRig{process: p}
	socket := filepath.Join(state, "fob.sock")
	if r.client, err = client.New(client.Default(socket)); err != nil {
		return r, 0, err
	}
	r.http = clientOf(socket)
	status, err := r.client.Status(ctx)
	if err != nil {
		return r, 0, err
	}
	if r.file, err = writePSKC(dir, fobs, status.User); err != nil {
		return r, 0, err
	}
	imported, err = timed(func() error {
		out, err := exec.CommandContext(ctx, filepath.Join(o.bin, "fob"), "--socket", socket, "tokens", "import", r.file).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("cannot import: %w: %s", err, out)
		}
		return err
	})
	if err != nil {
		return r, 0, err
	}
	return r, imported, activate(ctx, r.client, &r.fob)
}

// activate makes a fob a method of the daemon's user.
func activate(ctx context.Context, c *client.Client, f *fob) error {
	s, err := c.Begin(ctx, api.BeginRequest{Kind: api.KindAddMethod, Method: api.MethodSpec{Type: "token", Serial: f.serial()}})
	if err != nil {
		return fmt.Errorf("cannot register the fob: %w", err)
	}
	defer s.Close()
	answered := ""
	for {
		state, err := s.Next()
		switch {
		case err != nil:
			return fmt.Errorf("cannot register the fob: %w", err)
		case !state.Pending && state.Decision == api.Approved:
			return nil
		case !state.Pending:
			return fmt.Errorf("cannot register the fob: it was %s: %v", state.Decision, state.Error)
		}
		for _, p := range state.Prompts {
			if p.Type != api.PromptCode || p.ID <= answered {
				continue
			}
			answered = p.ID
			code, err := f.press()
			if err == nil {
				err = c.Answer(ctx, state.ID, api.Answer{Prompt: p.ID, Code: api.Secret(code)})
			}
			if err != nil {
				return fmt.Errorf("cannot register the fob: %w", err)
			}
		}
	}
}

// verify signs in with the next code, by the same client as the limit's.
func (r *codeRig) verify(ctx context.Context) error {
	code, err := r.fob.press()
	if err != nil {
		return err
	}
	state, err := post(ctx, r.http, "http://fob/v1/requests", api.BeginRequest{Service: service, Code: api.Secret(code)})
	if err == nil && state.Decision != api.Approved {
		err = fmt.Errorf("the code was %q", state.Decision)
	}
	return err
}

// peer is a program that does the same; what, where it cannot be measured here.
type peer struct {
	what  string
	value float64 // in milliseconds; 0 if it was not measured
}

func (p peer) bound(budget float64) *Bound {
	if p.value == 0 {
		return nil
	}
	return &Bound{What: p.what, Value: p.value, Budget: budget}
}

// pam is pam_oath, asked by pamtester, with files of so many users.
type pam struct {
	services map[int]string // PAM's own file, by number of users
	fobs     map[int]*fob
}

// pamFolder is where PAM looks for a service's file: root's.
const pamFolder = "/etc/pam.d"

// newPAM sets services up for pam_oath where this process may.
func newPAM(dir string, sizes ...int) (*pam, error) {
	p := &pam{services: map[int]string{}, fobs: map[int]*fob{}}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: pam_oath is measured by root alone: its service's file stands in", pamFolder)
		return p, nil
	}
	for _, n := range sizes {
		users, err := writeUsers(dir, n)
		if err != nil {
			return p, err
		}
		f, err := os.CreateTemp(pamFolder, "fob-bench-")
		if err != nil {
			return p, fmt.Errorf("cannot measure the peer: %w", err)
		}
		p.services[n], p.fobs[n] = f.Name(), &fob{}
		_, err = fmt.Fprintf(f, "auth required pam_oath.so usersfile=%s window=10 digits=6\n", users)
		if err := errors.Join(err, f.Close()); err != nil {
			return p, fmt.Errorf("cannot measure the peer: %w", err)
		}
	}
	return p, nil
}

func (p *pam) remove() (err error) {
	for _, file := range p.services {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// times measures both sizes.
func (p *pam) times(ctx context.Context) (few, many peer, err error) {
	const rounds = 40
	for n, to := range map[int]*peer{fewFobs: &few, manyFobs: &many} {
		if p.services[n] == "" {
			continue
		}
		var times []time.Duration
		for range rounds {
			took, err := timed(func() error { return p.verify(ctx, n) })
			if err != nil {
				return few, many, err
			}
			times = append(times, took)
		}
		*to = peer{what: fmt.Sprintf("pam_oath, %d users", n), value: median(times)}
	}
	return few, many, nil
}

// verify asks for the first user, whom pam_oath finds soonest.
func (p *pam) verify(ctx context.Context, n int) error {
	code, err := p.fobs[n].press()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "pamtester", filepath.Base(p.services[n]), "user0", "authenticate")
	cmd.Stdin = strings.NewReader(code + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot measure the peer: pamtester: %w: %s", err, out)
	}
	return nil
}

// infoTime is how long pskctool takes to read a file and say what is in it.
func infoTime(ctx context.Context, file string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, "pskctool", "--info", file)
	cmd.Stdout = io.Discard
	took, err := timed(cmd.Run)
	if err != nil {
		err = fmt.Errorf("cannot measure the peer: pskctool: %w", err)
	}
	return took, err
}
