package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// floodRows measure a tap at a system instance while another of its users begins requests as fast as a program
// can: they are refused, and must not delay who taps. Beside it, how long the tap takes while the same flood
// goes to a bare HTTP server, which has nothing to do with Fob: what a program that is busy costs anybody on
// as many processors. Short turns of all three follow each other. That takes root.
func floodRows(ctx context.Context, o options, dir string) (rows []Row, err error) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: a flood by another user is measured by root alone")
		return nil, nil
	}
	if err := letIn(dir); err != nil {
		return nil, err
	}
	r, c, err := newSystemRig(ctx, o, dir)
	defer func() { err = errors.Join(err, r.close()) }()
	if err != nil {
		return nil, err
	}
	bare, err := startBare(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.end()) }()

	none := func(_ context.Context, _ options, f func() error) error { return f() }
	here, there := &flooder{target: c.socket()}, &flooder{target: filepath.Join(dir, "bare.sock")}
	turns := []struct {
		during func(ctx context.Context, o options, f func() error) error
		times  []time.Duration
	}{{during: none}, {during: here.run}, {during: there.run}}
	const rounds, each = 5, 20
	for range rounds {
		for i := range turns {
			turn := &turns[i]
			err := turn.during(ctx, o, func() error { return tapFor(ctx, r, c, each, &turn.times) })
			if err != nil {
				return nil, err
			}
		}
	}
	return []Row{
		newRow("tap while another user floods", "ms", median(turns[1].times),
			&Bound{What: "no flood", Value: median(turns[0].times), Budget: 1.5},
			&Bound{What: "the same flood, at a bare HTTP server", Value: median(turns[2].times)}),
		newRow("calls of that flood, refused", "thousand/s", here.refused()/1000, nil,
			&Bound{What: "by a bare HTTP server", Value: there.refused() / 1000}),
	}, nil
}

// newSystemRig is a rig with a system instance, whose first user has a key and whose second is to flood.
func newSystemRig(ctx context.Context, o options, dir string) (*rig, crowd, error) {
	r := &rig{key: filepath.Join(dir, "key")}
	c := crowd{Dir: filepath.Join(dir, "crowd"), Users: 2, Key: r.key}
	if err := r.startKey(ctx, o); err != nil {
		return r, c, err
	}
	var err error
	if c.Helper, err = filepath.Abs(filepath.Join(o.bin, "fob-helper")); err != nil {
		return r, c, err
	}
	instance, err := startCrowd(ctx, o, c)
	if err != nil {
		return r, c, err
	}
	r.closers = append(r.closers, instance.end)
	if r.client, err = client.New(client.Default(c.socket())); err != nil {
		return r, c, err
	}
	r.closers = append(r.closers, func() error { r.client.Close(); return nil })
	add := api.BeginRequest{Kind: api.KindAddMethod, User: c.person(0).Name, Method: api.MethodSpec{Type: "key", Name: "bench"}}
	if _, err := r.ask(ctx, add); err != nil {
		return r, c, fmt.Errorf("cannot register the software key: %w", err)
	}
	return r, c, nil
}

// tapFor taps so many times. Root begins the requests, as PAM does.
func tapFor(ctx context.Context, r *rig, c crowd, taps int, times *[]time.Duration) error {
	const warm = 2
	for n := range warm + taps {
		if err := pause(ctx, betweenTaps); err != nil {
			return err
		}
		took, err := timed(func() error {
			_, err := r.ask(ctx, api.BeginRequest{User: c.person(0).Name, Service: "pam:" + service})
			return err
		})
		if err != nil {
			return err
		}
		if n >= warm {
			*times = append(*times, took)
		}
	}
	return nil
}

// flooder floods a socket, as the crowd's second user, from a process of its own.
type flooder struct {
	target string // the socket
	total  outcome
}

// run floods while f runs.
func (w *flooder) run(ctx context.Context, o options, f func() error) error {
	p, err := startChild(ctx, o, "flood", w.target)
	if err != nil {
		return err
	}
	ran := f()
	said, err := p.stop()
	var t outcome
	if err == nil {
		err = json.Unmarshal([]byte(said), &t)
	}
	w.total.add(t)
	return errors.Join(ran, err)
}

func (w *flooder) refused() float64 { return float64(w.total.Refused) / w.total.Seconds }
