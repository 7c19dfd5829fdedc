package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/ebfe/scard"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/virtual/card"
	"github.com/fobproject/fob/internal/virtual/reader"
)

// onCard is how many accounts the card has.
const onCard = 32

// cardTimes are medians in milliseconds.
type cardTimes struct{ Socket, Shell, Raw, Peer float64 }

// cardRows measure the codes of a card with 32 accounts under a real pcscd, in a process where the readers are.
func cardRows(_ context.Context, o options, dir string) ([]Row, error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	cmd, err := reader.Command("-as", "cards", "--", bin, dir)
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout = nil, nil
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot measure the codes of a card: %w", err)
	}
	var t cardTimes
	if err := json.Unmarshal(out, &t); err != nil {
		return nil, fmt.Errorf("cannot measure the codes of a card: it said %q", out)
	}
	raw := &Bound{What: "the same APDUs raw", Value: t.Raw}
	return []Row{
		newRow("codes: 32 accounts off a card, over the socket", "ms", t.Socket, &Bound{What: raw.What, Value: t.Raw, Budget: 1.3}, &Bound{What: "ykman", Value: t.Peer, Budget: 0.2}),
		newRow("codes: the same with fob codes, from shell to output", "ms", t.Shell, raw, &Bound{What: "ykman", Value: t.Peer, Budget: 0.2}),
	}, nil
}

// timeCards is the process in which it is done.
func timeCards(args []string) error {
	if len(args) != 2 {
		return errRole
	}
	if !reader.Inside() || reader.Available() != nil {
		return reader.Available()
	}
	t, err := measureCards(context.Background(), args[0], args[1])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(t)
}

func measureCards(ctx context.Context, bin, dir string) (t cardTimes, err error) {
	c, err := card.New(card.Options{})
	if err != nil {
		return t, err
	}
	pull, err := reader.Insert(c, reader.FirstPort)
	if err != nil {
		return t, err
	}
	defer pull()
	p, err := startDaemon(ctx, filepath.Join(bin, "fobd"), dir, nil, "--user", "--dir", dir)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	socket := filepath.Join(dir, "fob.sock")
	fobd, err := client.New(client.Default(socket))
	if err != nil {
		return t, err
	}
	defer fobd.Close()
	if err := fill(ctx, fobd); err != nil {
		return t, err
	}
	fob := func() error {
		out, err := exec.CommandContext(ctx, filepath.Join(bin, "fob"), "--socket", socket, "codes").Output()
		if err == nil && strings.Count(string(out), "\n") != onCard+1 {
			err = fmt.Errorf("fob codes shows %q", out)
		}
		return err
	}
	ykman := func() error {
		out, err := exec.CommandContext(ctx, "ykman", "-r", reader.First, "oath", "accounts", "code").CombinedOutput()
		if err == nil && strings.Count(string(out), "\n") != onCard {
			err = errors.New("it does not show all codes")
		}
		if err != nil {
			return fmt.Errorf("cannot measure the peer: ykman: %w: %s", err, out)
		}
		return nil
	}
	over := func() error {
		found, err := fobd.Codes(ctx, "")
		if err == nil && (len(found.Accounts) != onCard || len(found.Accounts[0].Code) == 0) {
			err = errors.New("fobd does not give all codes")
		}
		return err
	}
	for _, m := range []struct {
		do    func() error
		times int
		into  *float64
	}{{bareCodes, 60, &t.Raw}, {over, 60, &t.Socket}, {fob, 40, &t.Shell}, {ykman, 8, &t.Peer}} {
		if *m.into, err = medianOf(m.times, m.do); err != nil {
			return t, err
		}
	}
	return t, nil
}

// medianOf is the median of so many runs in milliseconds, with 20 ms between, so that a spare helper stands ready.
func medianOf(times int, do func() error) (float64, error) {
	var all []time.Duration
	for range times {
		time.Sleep(20 * time.Millisecond)
		took, err := timed(do)
		if err != nil {
			return 0, err
		}
		all = append(all, took)
	}
	return median(all), nil
}

// fill puts 32 accounts onto the only card.
func fill(ctx context.Context, fobd *client.Client) error {
	cards, err := fobd.Cards(ctx)
	if err == nil && len(cards) != 1 {
		err = fmt.Errorf("there are %d cards", len(cards))
	}
	if err != nil {
		return err
	}
	for i := range onCard {
		_, err := fobd.AddAccount(ctx, api.NewAccount{
			Issuer: fmt.Sprintf("Site %02d", i), Name: "somebody@example.com", Kind: "totp", Algorithm: "SHA1", Digits: 6, Period: 30,
			Seed: api.Seed("12345678901234567890"), On: []string{cards[0].ID},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bareCodes is what the codes take of PC/SC: connecting, one transaction, SELECT, CALCULATE ALL and what remains of
// its answer.
func bareCodes() error {
	ctx, err := scard.EstablishContext()
	if err != nil {
		return err
	}
	defer ctx.Release()
	c, err := ctx.Connect(reader.First, scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		return err
	}
	defer c.Disconnect(scard.LeaveCard)
	if err := c.BeginTransaction(); err != nil {
		return err
	}
	defer c.EndTransaction(scard.LeaveCard)
	if _, err := c.Transmit([]byte{0, 0xa4, 4, 0, 7, 0xa0, 0, 0, 5, 0x27, 0x21, 1}); err != nil {
		return err
	}
	b, err := c.Transmit([]byte{0, 0xa4, 0, 1, 10, 0x74, 8, 0, 0, 0, 0, 3, 0x5f, 0x7e, 0x10})
	for err == nil && len(b) >= 2 && b[len(b)-2] == 0x61 {
		b, err = c.Transmit([]byte{0, 0xa5, 0, 0})
	}
	return err
}
