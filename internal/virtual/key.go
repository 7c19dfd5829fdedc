// Package virtual is a security key made of software: a CTAP 2.1 authenticator that speaks CTAPHID on
// a pseudo-terminal, which real libfido2 opens as it opens a key. It is for tests and the demo, and is
// never linked into fobd: its private keys lie in a file or in memory, where any program of the same
// user can read them, and nobody needs to touch it.
package virtual

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What the key says of itself.
const (
	firmwareMajor = 1
	firmwareMinor = 0
)

// DefaultAAGUID is the model that a key reports unless Options say otherwise.
var DefaultAAGUID = [16]byte{0xf0, 0xb5, 0x0f, 0x7e, 0x4e, 0x79, 0x4c, 0x65, 0x8a, 0x1d, 0x00, 0x76, 0x69, 0x72, 0x74, 0x31}

// COSE algorithms of credentials.
const (
	ES256 = -7
	EdDSA = -8
)

// ErrUnplugged is returned where the key would have to be plugged in.
var ErrUnplugged = errors.New("the software key is not plugged in")

// ErrClosed is returned by Replug after Close.
var ErrClosed = errors.New("the software key is closed")

// Options say what key it is. The zero value is a key in memory without PIN that touches itself at
// once, makes ES256 and EdDSA credentials with self attestation and counts its signatures.
type Options struct {
	// StateFile keeps credentials, counter and PIN between runs, as JSON, mode 0600; a missing file is
	// made. Empty: they live in memory. The file holds private keys in the clear.
	StateFile string

	// Touch and Delay say who touches the key, and for TouchAuto how long after it began to wait.
	Touch TouchMode
	Delay time.Duration
	// TouchTimeout is how long the key waits for a touch; 30 s if 0.
	TouchTimeout time.Duration
	// OnWait is called each time the key begins to wait for a touch, with the command's name, from the
	// key's own goroutine: it must not block, nor call Unplug or Close.
	OnWait func(command string)

	// AAGUID is the model; DefaultAAGUID if zero.
	AAGUID [16]byte
	// Algorithms lists what credentials it makes, best first; ES256 and EdDSA if empty.
	Algorithms []int
	// Attestation says how it vouches for new credentials.
	Attestation Attestation
	// Counter says what its signature counter does.
	Counter CounterMode

	// PIN is set on a key that has none. It is an error if the state holds a different one. It is a
	// plain string because it protects nothing.
	PIN string
	// AlwaysUV asks for the PIN whatever the host wants.
	AlwaysUV bool
	// MakeCredUVNotRequired allows credentials that are not discoverable to be made without the PIN.
	MakeCredUVNotRequired bool
	// MinPINLength is in code points; 4 if 0.
	MinPINLength int
	// MaxListed is the longest allow or exclude list that it takes; 8 if 0.
	MaxListed int
	// ResetAnyTime allows a reset later than 10 s after power-up.
	ResetAnyTime bool

	// Quirks are deviations of real firmware.
	Quirks Quirks
}

// CounterMode says what a key's signature counter does (WebAuthn §6.1.1).
type CounterMode int

const (
	// CounterGlobal counts every signature, over all credentials.
	CounterGlobal CounterMode = iota
	// CounterZero is a key that always says 0.
	CounterZero
)

func (o Options) withDefaults() (Options, error) {
	if o.TouchTimeout == 0 {
		o.TouchTimeout = 30 * time.Second
	}
	if o.AAGUID == [16]byte{} {
		o.AAGUID = DefaultAAGUID
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []int{ES256, EdDSA}
	}
	for _, a := range o.Algorithms {
		if a != ES256 && a != EdDSA {
			return o, fmt.Errorf("cannot make a software key with algorithm %d: it knows %d (ES256) and %d (EdDSA)", a, ES256, EdDSA)
		}
	}
	if o.MinPINLength == 0 {
		o.MinPINLength = 4
	}
	if o.MaxListed == 0 {
		o.MaxListed = 8
	}
	return o, nil
}

// Key is a software key. It is safe for concurrent use.
type Key struct {
	opts   Options
	auth   *authenticator
	sensor *sensor
	faults *faults
	ops    *journal
	ca     []byte // DER, or nil

	plugging sync.Mutex // held while the key is plugged in or out

	mu     sync.Mutex // guards what follows
	plug   *plug
	links  []string
	closed bool
}

// plug is one time of being plugged in.
type plug struct {
	port *port
	stop context.CancelFunc
	over sync.WaitGroup // its goroutines
}

// NewKey makes the key, or reads its state, and plugs it in.
func NewKey(o Options) (*Key, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	k := &Key{opts: o, sensor: newSensor(o.Touch, o.Delay), faults: &faults{}, ops: newJournal()}
	if k.auth, err = newAuthenticator(o, k.sensor, k.faults); err != nil {
		return nil, err
	}
	if v := k.auth.state.Attestation; v != nil && o.Attestation == AttestX5C {
		k.ca = v.CA
	}
	k.auth.gone = func() { go k.Unplug() } // the command that waits is what Unplug waits for
	if err := k.Replug(); err != nil {
		return nil, err
	}
	return k, nil
}

// Path is the device node that a program opens, or "" while the key is unplugged. It changes when the
// key is plugged in again.
func (k *Key) Path() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plug == nil {
		return ""
	}
	return k.plug.port.path
}

// Link makes path a symbolic link to the device node, for as long as the key is plugged in. A link
// that is there already is replaced; anything else there is an error.
func (k *Key) Link(path string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plug == nil {
		return ErrUnplugged
	}
	if err := placeLink(k.plug.port.path, path); err != nil {
		return err
	}
	k.links = append(k.links, path)
	return nil
}

func placeLink(target, path string) error {
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("cannot link the software key: %w", err)
	case fi.Mode()&os.ModeSymlink == 0:
		return fmt.Errorf("cannot link the software key: %s is there already and is no link", path)
	}
	next := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))
	switch err := os.Symlink(target, next); {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("cannot link the software key: there is no folder %s", filepath.Dir(path))
	case err != nil:
		return fmt.Errorf("cannot link the software key: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		_ = os.Remove(next)
		return fmt.Errorf("cannot link the software key: %w", err)
	}
	return nil
}

// removeLink removes path if it still leads to target: another key may have taken it over.
func removeLink(target, path string) {
	if t, err := os.Readlink(path); err == nil && t == target {
		_ = os.Remove(path) // a link left behind leads nowhere
	}
}

// Unplug takes the key out: programs that wait for it see the end of file, its node and links vanish,
// and the command that it was carrying out is given up. It does nothing on an unplugged key.
func (k *Key) Unplug() {
	k.plugging.Lock()
	defer k.plugging.Unlock()
	k.unplug()
}

func (k *Key) unplug() {
	k.mu.Lock()
	p := k.plug
	k.plug = nil
	if p != nil {
		for _, l := range k.links {
			removeLink(p.port.path, l)
		}
	}
	k.mu.Unlock()
	if p == nil {
		return
	}
	p.stop()
	p.port.close()
	p.over.Wait()
}

// Replug takes the key out, if it is in, and plugs it in again on a new node: its block after three
// wrong PINs is lifted, and the time in which it can be reset begins anew.
func (k *Key) Replug() error {
	k.plugging.Lock()
	defer k.plugging.Unlock()
	k.unplug()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return ErrClosed
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	if err := k.auth.powerUp(); err != nil {
		port.close()
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &plug{port: port, stop: stop}
	for _, l := range k.links {
		if err := placeLink(port.path, l); err != nil {
			stop()
			port.close()
			return err
		}
	}
	in := make(chan report)
	s := &session{auth: k.auth, sensor: k.sensor, faults: k.faults, ops: k.ops, port: port}
	p.over.Go(func() {
		defer close(in)
		_ = port.read(in, ctx.Done()) // the end of the port is the end of the session, whatever ended it
	})
	p.over.Go(func() { s.serve(ctx, in) })
	p.over.Go(port.tidy)
	k.plug = p
	return nil
}

// Close unplugs the key for good.
func (k *Key) Close() error {
	k.plugging.Lock()
	defer k.plugging.Unlock()
	k.unplug()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	return nil
}

// AttestationCA is the certificate, in DER, of the authority that issued the key's attestation
// certificate; nil for a key whose Attestation is not AttestX5C.
func (k *Key) AttestationCA() []byte { return bytes.Clone(k.ca) }

// Touch touches the key, and reports whether a command was waiting for it. A touch while nothing
// waits has no effect. After Touch, IsWaiting is false until a command waits again.
func (k *Key) Touch() bool { return k.sensor.touch() }

// SetTouch changes who touches the key, also for a command that waits already.
func (k *Key) SetTouch(mode TouchMode, delay time.Duration) { k.sensor.set(mode, delay) }

// IsWaiting reports whether a command waits for a touch now.
func (k *Key) IsWaiting() bool { return k.sensor.waiting() }

// WaitTouch blocks until a command waits for a touch, or ctx is done.
func (k *Key) WaitTouch(ctx context.Context) error { return k.sensor.until(ctx, true) }

// WaitIdle blocks until no command waits for a touch, or ctx is done.
func (k *Key) WaitIdle(ctx context.Context) error { return k.sensor.until(ctx, false) }

// SetFault makes the key misbehave from now on; NoFault ends that. A key that a fault has silenced
// stays so until the fault is lifted.
func (k *Key) SetFault(f Fault) { k.faults.set(f) }

// Ops lists the commands that the key has ended, oldest first.
func (k *Key) Ops() []Op { return k.ops.list() }

// WaitOp blocks until a command has ended for which match is true, counting those of the past, and
// returns the first such; or ctx is done.
func (k *Key) WaitOp(ctx context.Context, match func(Op) bool) (Op, error) {
	return k.ops.wait(ctx, match)
}
