package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/keys-pub/go-libfido2"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// betweenTaps is the pause before each tap, so that a spare helper stands ready.
const betweenTaps = 20 * time.Millisecond

// tapRows measure a sign-in by a key that needs no human, from the request at a door to "approved",
// which is on disk then. All ways take turns, so that a busy moment hits each alike.
func tapRows(ctx context.Context, o options, dir string) (rows []Row, err error) {
	r, err := newRig(ctx, o, dir)
	defer func() { err = errors.Join(err, r.close()) }()
	if err != nil {
		return nil, err
	}
	raw, err := openRaw(filepath.Join(dir, "raw.db"), entrySize)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, raw.db.Close()) }()
	tool, err := newTool(dir, r)
	if err != nil {
		return nil, err
	}
	var socket, bus, bare, peer []time.Duration
	ways := []struct {
		times *[]time.Duration
		tap   func() error
	}{
		{&socket, func() error { _, err := r.ask(ctx, api.BeginRequest{Service: service}); return err }},
		{&bare, func() error { return errors.Join(assert(r), raw.commit()) }},
		{&bus, func() error { return r.askBus(ctx) }},
		{&peer, func() error { return tool.run(ctx) }},
	}
	const warm = 3 // rounds that do not count
	for round := range o.taps + warm {
		for _, way := range ways {
			if err := pause(ctx, betweenTaps); err != nil {
				return nil, err
			}
			took, err := timed(way.tap)
			if err != nil {
				return nil, err
			}
			if round >= warm {
				*way.times = append(*way.times, took)
			}
		}
	}
	for _, door := range []struct {
		name  string
		times []time.Duration
	}{{"tap over the socket", socket}, {"tap over D-Bus", bus}} {
		rows = append(rows, newRow(door.name, "ms", median(door.times),
			&Bound{What: "libfido2 in process + synced commit", Value: median(bare), Budget: 1.5},
			&Bound{What: "fido2-assert -G, -V", Value: median(peer), Budget: 0.6}))
	}
	return rows, nil
}

// assert is libfido2's assertion in this process: the least that a tap can cost.
func assert(r *rig) error {
	device, err := libfido2.NewDevice(r.key)
	if err != nil {
		return fmt.Errorf("cannot open the key for the limit: %w", err)
	}
	if _, err := device.Assertion(r.proof.RPID, nonce(), [][]byte{r.proof.CredentialID}, "", nil); err != nil {
		return fmt.Errorf("cannot measure the limit: %w", err)
	}
	return nil
}

func nonce() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return b
}

// tool is libfido2's own command, asked for the same assertion.
type tool struct {
	path, key, input, output string
	public, kind             string
}

func newTool(dir string, r *rig) (*tool, error) {
	path, err := exec.LookPath("fido2-assert")
	if err != nil {
		return nil, fmt.Errorf("cannot measure the peer: %w (Debian package fido2-tools)", err)
	}
	files, err := client.ExportReceipt(filepath.Join(dir, "receipt"), r.proof)
	if err != nil {
		return nil, err
	}
	t := &tool{path: path, key: r.key, input: filepath.Join(dir, "input"), output: filepath.Join(dir, "output"), public: files.PublicKey, kind: files.Type}
	encode := base64.StdEncoding.EncodeToString
	input := encode(nonce()) + "\n" + r.proof.RPID + "\n" + encode(r.proof.CredentialID) + "\n"
	if err := os.WriteFile(t.input, []byte(input), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the peer's input: %w", err)
	}
	return t, nil
}

// run gets an assertion and verifies it.
func (t *tool) run(ctx context.Context) error {
	for _, args := range [][]string{
		{"-G", "-i", t.input, "-o", t.output, t.key},
		{"-V", "-i", t.output, t.public, t.kind},
	} {
		if out, err := exec.CommandContext(ctx, t.path, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("cannot measure the peer: fido2-assert %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}
