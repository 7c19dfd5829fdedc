package virtual

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// Fault is a way in which the key misbehaves on demand.
type Fault string

const (
	NoFault Fault = ""
	// FaultMute answers nothing at all.
	FaultMute Fault = "mute"
	// FaultMuteAfterInit answers INIT and then nothing.
	FaultMuteAfterInit Fault = "mute-after-init"
	// FaultGarbageInfo answers getInfo with bytes that are no CBOR.
	FaultGarbageInfo Fault = "garbage-info"
	// FaultGarbageCBOR answers makeCredential and getAssertion with bytes that are no CBOR.
	FaultGarbageCBOR Fault = "garbage-cbor"
	// FaultGarbageHID answers every command with packets of no known command.
	FaultGarbageHID Fault = "garbage-hid"
	// FaultWrongRP signs for another relying party.
	FaultWrongRP Fault = "wrong-rp"
	// FaultBadSignature spoils the signature by one bit.
	FaultBadSignature Fault = "bad-signature"
	// FaultStaleCounter lets the counter go back.
	FaultStaleCounter Fault = "stale-counter"
	// FaultNoUP leaves out that a user was present.
	FaultNoUP Fault = "no-up"
	// FaultNoUV leaves out that the user was verified.
	FaultNoUV Fault = "no-uv"
	// FaultGone unplugs the key as soon as it waits for a touch.
	FaultGone Fault = "gone"
	// FaultWrongCredential names another credential in the assertion.
	FaultWrongCredential Fault = "wrong-credential"
)

// Faults lists them all, without NoFault.
var Faults = []Fault{
	FaultMute, FaultMuteAfterInit, FaultGarbageInfo, FaultGarbageCBOR, FaultGarbageHID, FaultWrongRP, FaultBadSignature,
	FaultStaleCounter, FaultNoUP, FaultNoUV, FaultGone, FaultWrongCredential,
}

// ParseFault reads a fault's name; "" and "none" are NoFault.
func ParseFault(s string) (Fault, error) {
	if s == "" || s == "none" {
		return NoFault, nil
	}
	names := make([]string, len(Faults))
	for i, f := range Faults {
		if s == string(f) {
			return f, nil
		}
		names[i] = string(f)
	}
	return NoFault, fmt.Errorf("cannot find the fault %q: there are %s", s, strings.Join(names, ", "))
}

// faults holds the fault that is on. It is safe for concurrent use.
type faults struct{ v atomic.Value }

func (f *faults) set(v Fault) { f.v.Store(v) }

func (f *faults) is(v Fault) bool {
	now, _ := f.v.Load().(Fault)
	return now == v
}

// Quirks are deviations of real firmware, for the whole life of a key.
type Quirks struct {
	// DenyOnTimeout answers OPERATION_DENIED, not USER_ACTION_TIMEOUT, when nobody touches in time.
	DenyOnTimeout bool
	// SilentWait sends no keepalives while it waits for a touch.
	SilentWait bool
	// CrashOnRetries goes mute, until it is plugged in again, when it is asked for PIN retries and has
	// no PIN.
	CrashOnRetries bool
	// IgnoreUPFalse waits for a touch also where the host wants none.
	IgnoreUPFalse bool
	// AlwaysUVWithPIN turns alwaysUv on as long as a PIN is set.
	AlwaysUVWithPIN bool
	// NoHMACSecret lacks the extension hmac-secret.
	NoHMACSecret bool
	// PINProtocol1 knows PIN protocol 1 alone, as keys before CTAP 2.1 do.
	PINProtocol1 bool
}

// quirks names them for the command line.
var quirks = []struct {
	name string
	flag func(*Quirks) *bool
}{
	{"deny-on-timeout", func(q *Quirks) *bool { return &q.DenyOnTimeout }},
	{"silent-wait", func(q *Quirks) *bool { return &q.SilentWait }},
	{"crash-on-retries", func(q *Quirks) *bool { return &q.CrashOnRetries }},
	{"ignore-up-false", func(q *Quirks) *bool { return &q.IgnoreUPFalse }},
	{"always-uv-with-pin", func(q *Quirks) *bool { return &q.AlwaysUVWithPIN }},
	{"no-hmac-secret", func(q *Quirks) *bool { return &q.NoHMACSecret }},
	{"pin-protocol-1", func(q *Quirks) *bool { return &q.PINProtocol1 }},
}

// Set turns the quirk of that name on.
func (q *Quirks) Set(name string) error {
	for _, k := range quirks {
		if k.name == name {
			*k.flag(q) = true
			return nil
		}
	}
	return fmt.Errorf("cannot find the quirk %q: there are %s", name, strings.Join(QuirkNames(), ", "))
}

// QuirkNames lists the names that Set takes.
func QuirkNames() []string {
	names := make([]string, len(quirks))
	for i, k := range quirks {
		names[i] = k.name
	}
	return names
}
