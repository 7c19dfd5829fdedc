package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/daemon"
	"github.com/fobproject/fob/daemon/keyring"
	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/vault"
)

// logRows measure the check of a whole log, chain, indices, signatures and receipts, beside the bare checks of
// the same signatures on as many goroutines: all else that makes a log worth something may cost a part of that.
func logRows(ctx context.Context, _ options, dir string) (rows []Row, err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(daemon.GCPercent)) // as fobd has it
	const entries, rounds = 100_000, 2
	s, err := store.Open(filepath.Join(dir, "fob.db"), store.Options{})
	if err != nil {
		return nil, fmt.Errorf("cannot open a store: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	taps, err := writeLog(ctx, s, entries)
	if err != nil {
		return nil, err
	}
	e, err := ownEngine(s, dir)
	if err != nil {
		return nil, err
	}
	defer e.Shutdown(ctx)

	var whole, bare spent
	for range rounds {
		var signatures uint64
		err := whole.measure(func() error {
			v, err := e.VerifyLog(ctx, caller.Caller{UID: firstUID, Door: caller.DoorSocket}, nil, nil)
			if err == nil && v.Receipts != entries {
				err = fmt.Errorf("%d receipts were checked, not %d", v.Receipts, entries)
			}
			signatures = v.Signatures
			return err
		})
		if err == nil {
			err = bare.measure(func() error { return taps.check(int(signatures)) })
		}
		if err != nil {
			return nil, err
		}
	}
	const checks = "the bare signature checks"
	return []Row{
		newRow("fob log --verify, 100,000 receipts", "s", slices.Min(whole.wall).Seconds(),
			&Bound{What: checks, Value: slices.Min(bare.wall).Seconds(), Budget: 1.3}, nil),
		newRow("the same, in processor time", "s", slices.Min(whole.cpu).Seconds(),
			&Bound{What: checks, Value: slices.Min(bare.cpu).Seconds()}, nil),
	}, nil
}

// spent is what a few long runs took. The least counts: what else the machine does only ever adds to it.
type spent struct{ wall, cpu []time.Duration }

func (s *spent) measure(f func() error) error {
	before, err := processorTime()
	if err != nil {
		return err
	}
	took, err := timed(f)
	if err != nil {
		return err
	}
	after, err := processorTime()
	s.wall, s.cpu = append(s.wall, took), append(s.cpu, after-before)
	return err
}

// processorTime is what this process has used so far, on all processors together.
func processorTime() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("cannot read the processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// ownEngine is a user's engine on a store, without any key.
func ownEngine(s *store.Store, dir string) (*signin.Engine, error) {
	v, err := vault.New(vault.Options{Store: s, Keepers: []vault.Keeper{keyring.File{Path: filepath.Join(dir, "vault.key")}}})
	if err != nil {
		return nil, err
	}
	return signin.New(signin.Config{
		Store: s, Owner: signin.Person{UID: firstUID, Name: "user0"}, Vault: v,
		Users:    func(context.Context, []string) (map[string]signin.Person, error) { return nil, nil },
		Devices:  fido.NewDevices(noDevices{}),
		Discover: func() ([]fido.Key, []fido.Problem, error) { return nil, nil, nil },
	})
}

// taps are the signatures in a log, one of each key's approvals.
type taps struct {
	key    *ecdsa.PrivateKey
	signed []signedDigest
}

type signedDigest struct {
	digest    [sha256.Size]byte
	signature []byte
}

// writeLog fills a log with approvals by one key.
func writeLog(ctx context.Context, s *store.Store, entries int) (*taps, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	t := &taps{key: key, signed: make([]signedDigest, entries)}
	public, err := coseKey(key)
	if err != nil {
		return nil, err
	}
	// The writer puts what waits into one commit: without many at once, this would take a sync an entry.
	const atOnce = 128
	var all sync.WaitGroup
	failures := make(chan error, atOnce)
	begun := time.Now().UTC()
	for first := range atOnce {
		all.Go(func() {
			for n := first; n < entries; n += atOnce {
				e, err := t.tap(n, begun, s.InstanceID(), public)
				if err == nil {
					err = s.Update(ctx, func(tx *store.Tx) error { _, err := audit.Append(tx, e); return err })
				}
				if err != nil {
					failures <- fmt.Errorf("cannot write the log: %w", err)
					return
				}
			}
		})
	}
	all.Wait()
	close(failures)
	return t, <-failures
}

// tap is the entry of an approval, with its receipt: what a sign-in by a key writes.
func (t *taps) tap(n int, at time.Time, instance string, public []byte) (audit.Entry, error) {
	e := audit.Entry{
		Time: at, Request: fmt.Sprintf("%010d", n), Kind: string(signin.KindSignIn), Decision: string(signin.Approved), UID: firstUID, User: "user0",
		Service: "app:3000000:bench", CallerUID: firstUID, Place: string(caller.PlaceLocal), Require: "key", Strength: "key",
		Method: "0123456789", MethodName: "bench", SelfAsserted: true, Vouched: []string{"user"},
	}
	nonce := sha256.Sum256(fmt.Appendf(nil, "nonce %d", n))
	data, hash, err := fido.ClientData{
		Instance: instance, Request: e.Request, Kind: e.Kind, Require: e.Require, User: e.User, UID: e.UID,
		Service: e.Service, Place: e.Place, Nonce: nonce[:], Time: at,
	}.Encode()
	if err != nil {
		return e, err
	}
	rpID := "fob:" + instance
	rp := sha256.Sum256([]byte(rpID))
	const userPresent = 1
	auth := append(rp[:], userPresent, 0, 0, 0, 0)
	digest := sha256.Sum256(append(bytes.Clone(auth), hash[:]...))
	signature, err := t.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return e, err
	}
	t.signed[n] = signedDigest{digest, signature}
	e.Receipt = &audit.Receipt{
		RPID: rpID, CredentialID: bytes.Repeat([]byte{8}, 64), PublicKey: public, Algorithm: fido.AlgES256,
		ClientData: data, AuthData: auth, Signature: signature,
	}
	return e, nil
}

// coseKey is the public key as a key reports it (RFC 9053 §7.1, in CTAP's canonical CBOR).
func coseKey(key *ecdsa.PrivateKey) ([]byte, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	public := append([]byte{0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32}, point[1:33]...)
	return append(append(public, 0x22, 0x58, 32), point[33:]...), nil
}

// check checks each signature, and so many more like the log's own, on as many goroutines as VerifyLog uses.
func (t *taps) check(own int) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	message := make([]byte, 90) // as long as what the log signs
	signature := ed25519.Sign(private, message)
	workers := runtime.GOMAXPROCS(0)
	var all sync.WaitGroup
	failures := make(chan error, workers)
	for first := range workers {
		all.Go(func() {
			for n := first; n < len(t.signed); n += workers {
				s := &t.signed[n]
				if !ecdsa.VerifyASN1(&t.key.PublicKey, s.digest[:], s.signature) || n < own && !ed25519.Verify(public, message, signature) {
					failures <- errors.New("a signature of the limit does not hold")
					return
				}
			}
		})
	}
	all.Wait()
	close(failures)
	return <-failures
}
