// Package card is a smart card made of software: an OATH applet that answers Yubico's YKOATH protocol, reached
// through the virtual reader of vsmartcard-vpcd under a real pcscd. It is for tests and the demo, and is never linked
// into fobd: its seeds lie in memory or in a file in the clear.
//
// It is written from the protocol's text and shares nothing with package ykoath, so that one's mistake is not
// mirrored in the other.
package card

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fobproject/fob/internal/virtual"
)

// Options say what card it is. The zero value is an empty card of version 5.4.3 with 32 slots that touches itself.
type Options struct {
	// StateFile keeps accounts, password and id between runs, as JSON, mode 0600; a missing file is made. Empty:
	// they live in memory.
	StateFile string
	// Version is the applet's, such as 1.0.0 or 6.0.0; 5.4.3 if zero.
	Version [3]byte
	// Slots is how many accounts it holds; 32, and from version 5.7 on 64, if 0.
	Slots int
	// Touch and Delay say who touches it, and for TouchAuto how long after it began to wait.
	Touch virtual.TouchMode
	Delay time.Duration
	// TouchTimeout is how long it waits for a touch; 15 s if 0.
	TouchTimeout time.Duration
	// OnWait is called each time it begins to wait for a touch. It must not block.
	OnWait func()
	// Contact has it answer a reset as a key in a USB port does, and not as one on a contactless reader (NFC).
	Contact bool
	// CounterFromOne lets the first code of a new HOTP account be that of counter 1, as some firmware does.
	CounterFromOne bool
}

// Fault is a way in which the card misbehaves on demand.
type Fault string

const (
	NoFault Fault = ""
	// FaultGone pulls the card in the middle of an exchange.
	FaultGone Fault = "gone"
	// Fault6F00 answers every instruction but SELECT with 6F00.
	Fault6F00 Fault = "6f00"
	// FaultLength has lengths in its answers that are longer than the answers.
	FaultLength Fault = "wrong-length"
	// FaultGarbage answers with random bytes.
	FaultGarbage Fault = "garbage"
	// FaultEndless announces more data without end.
	FaultEndless Fault = "endless"
	// FaultMute does not answer.
	FaultMute Fault = "mute"
	// FaultNoApplet has no OATH applet.
	FaultNoApplet Fault = "no-applet"
	// FaultLiar does not know the password that it wants.
	FaultLiar Fault = "liar"
	// FaultReset forgets once that its applet was selected and unlocked, as where another program resets the card in
	// between.
	FaultReset Fault = "reset"
)

// Faults lists them all, without NoFault.
var Faults = []Fault{FaultGone, Fault6F00, FaultLength, FaultGarbage, FaultEndless, FaultMute, FaultNoApplet, FaultLiar, FaultReset}

// ParseFault reads a fault's name; "" and "none" are NoFault.
func ParseFault(s string) (Fault, error) {
	if s == "" || s == "none" {
		return NoFault, nil
	}
	if slices.Contains(Faults, Fault(s)) {
		return Fault(s), nil
	}
	names := make([]string, len(Faults))
	for i, f := range Faults {
		names[i] = string(f)
	}
	return NoFault, fmt.Errorf("cannot find the fault %q: there are %s", s, strings.Join(names, ", "))
}

// Card is the card. Its methods are safe for concurrent use.
type Card struct {
	o     Options
	fault atomic.Value
	count atomic.Int64 // instructions answered
	// faultAt is the instruction at which the fault begins, counted from the last SetFault; 0: at once.
	faultAt atomic.Int64

	mu     sync.Mutex // guards what follows, and is held while an instruction is answered
	state  state
	applet bool   // the OATH applet is selected
	locked bool   // it wants its password
	asked  []byte // the challenge that it gave
	rest   []byte // of an answer, for SEND REMAINING

	touch chan struct{} // a touch
	gone  chan struct{} // closed by Close
	once  sync.Once
}

// New makes a card.
func New(o Options) (*Card, error) {
	if o.Version == [3]byte{} {
		o.Version = [3]byte{5, 4, 3}
	}
	if o.Slots == 0 {
		o.Slots = 32
		if o.Version[0] > 5 || o.Version[0] == 5 && o.Version[1] >= 7 {
			o.Slots = 64
		}
	}
	if o.TouchTimeout == 0 {
		o.TouchTimeout = 15 * time.Second
	}
	c := &Card{o: o, touch: make(chan struct{}), gone: make(chan struct{})}
	c.fault.Store(NoFault)
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// SetFault lets the card misbehave from its n-th further instruction on, counted from 0.
func (c *Card) SetFault(f Fault, n int) {
	c.count.Store(0)
	c.faultAt.Store(int64(n))
	c.fault.Store(f)
}

// Answered is how many instructions the card answered since it was made, or since SetFault.
func (c *Card) Answered() int { return int(c.count.Load()) }

// Touch touches the card, and reports whether it waited for that.
func (c *Card) Touch() bool {
	select {
	case c.touch <- struct{}{}:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// Close ends a wait for a touch. The card then answers no more.
func (c *Card) Close() { c.once.Do(func() { close(c.gone) }) }

// is reports whether the card is to misbehave so now.
func (c *Card) is(f Fault) bool { return c.fault.Load() == f && c.count.Load() >= c.faultAt.Load() }

// touched waits for a touch, and reports whether it came.
func (c *Card) touched() bool {
	if c.o.OnWait != nil {
		c.o.OnWait()
	}
	late := time.NewTimer(c.o.TouchTimeout)
	defer late.Stop()
	var auto <-chan time.Time
	if c.o.Touch == virtual.TouchAuto {
		auto = time.After(c.o.Delay)
	}
	hand := c.touch
	if c.o.Touch == virtual.TouchNever {
		hand = nil
	}
	select {
	case <-auto:
		return true
	case <-hand:
		return true
	case <-late.C:
	case <-c.gone:
	}
	return false
}

// newID makes what SELECT gives as the applet's name, and salts its password.
func newID() []byte {
	b := make([]byte, 8)
	rand.Read(b) // never fails
	return b
}
