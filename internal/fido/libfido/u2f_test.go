package libfido_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/fido/libfido"
	"github.com/fobproject/fob/internal/helper"
)

// u2fKey is just enough of a U2F key (FIDO U2F Raw Message Formats v1.2) on a pseudo-terminal: it holds
// one credential, and is touched after it was asked untouched times.
type u2fKey struct {
	path      string
	handle    []byte
	cert      []byte
	public    []byte
	untouched atomic.Int32
}

func newU2FKey(t *testing.T) *u2fKey {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	tio, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	tio.Iflag, tio.Oflag, tio.Lflag, tio.Cflag = 0, 0, 0, unix.CS8
	tio.Cc[unix.VMIN] = 64
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, tio); err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "U2F"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	k := &u2fKey{path: slave.Name(), handle: bytes.Repeat([]byte{0xab}, 64), cert: cert, public: public}
	go k.serve(master)
	t.Cleanup(func() {
		slave.Close()
		master.Close()
	})
	return k
}

// serve answers CTAPHID messages until the port is closed.
func (k *u2fKey) serve(rw *os.File) {
	var message []byte
	want := 0
	for in := make([]byte, 65); ; {
		if _, err := io.ReadFull(rw, in); err != nil {
			return
		}
		frame := in[1:]
		if frame[4]&0x80 != 0 {
			want = int(binary.BigEndian.Uint16(frame[5:]))
			message = append([]byte{frame[4]}, frame[7:]...)
		} else {
			message = append(message, frame[5:]...)
		}
		if len(message)-1 < want {
			continue
		}
		body := message[1 : 1+want]
		switch message[0] {
		case 0x86: // INIT: no CBOR
			k.send(rw, frame[:4], 0x86, append(bytes.Clone(body), 1, 2, 3, 4, 2, 1, 0, 0, 0))
		case 0x83: // MSG
			k.send(rw, frame[:4], 0x83, k.apdu(body))
		}
	}
}

func (k *u2fKey) apdu(b []byte) []byte {
	untouched := func() bool { return k.untouched.Add(-1) >= 0 }
	switch {
	case b[1] == 1: // register
		if untouched() {
			return []byte{0x69, 0x85}
		}
		out := append([]byte{5}, k.public...)
		out = append(append(append(out, byte(len(k.handle))), k.handle...), k.cert...)
		return append(out, 0x30, 0x06, 2, 1, 1, 2, 1, 1, 0x90, 0x00)
	case b[1] == 2 && !bytes.Contains(b, k.handle):
		return []byte{0x6a, 0x80}
	case b[1] == 2 && b[2] == 0x07, b[1] == 2 && untouched(): // check only
		return []byte{0x69, 0x85}
	case b[1] == 2: // sign: touched, counter 5
		return []byte{1, 0, 0, 0, 5, 0x30, 0x06, 2, 1, 1, 2, 1, 1, 0x90, 0x00}
	}
	return []byte{0x6d, 0x00}
}

func (k *u2fKey) send(w io.Writer, channel []byte, command byte, body []byte) {
	head := append(bytes.Clone(channel), command, byte(len(body)>>8), byte(len(body)))
	for seq := byte(0); ; seq++ {
		out := make([]byte, 64)
		n := copy(out, head)
		n = copy(out[n:], body)
		w.Write(out)
		if body = body[n:]; len(body) == 0 {
			return
		}
		head = append(bytes.Clone(channel), seq)
	}
}

func TestU2FKey(t *testing.T) {
	k := newU2FKey(t)
	target := func(limit time.Duration) fido.Target {
		return fido.Target{Path: k.path, TimeoutMS: limit.Milliseconds()}
	}
	const plenty = 20 * time.Second
	hash := make([]byte, 32)
	stranger := bytes.Repeat([]byte{1}, 64)
	assert := fido.AssertArgs{Target: target(plenty), RPID: "fob:x", ClientDataHash: hash, Allow: [][]byte{stranger, k.handle}}

	t.Run("says that it is no FIDO2 key", func(t *testing.T) {
		info, err := libfido.Info(t.Context(), fido.InfoArgs{Target: target(plenty)})
		if err != nil || info.FIDO2 {
			t.Errorf("%+v, %v", info, err)
		}
	})
	t.Run("makes a credential", func(t *testing.T) {
		k.untouched.Store(1)
		at, err := libfido.Make(t.Context(), fido.MakeArgs{Target: target(plenty), RPID: "fob:x", UserID: []byte{1}, UserName: "u", ClientDataHash: hash, Algorithm: fido.AlgES256})
		if err != nil {
			t.Fatal(err)
		}
		var statement struct {
			X5C [][]byte `cbor:"x5c"`
			Sig []byte   `cbor:"sig"`
		}
		if err := cbor.Unmarshal(at.Statement, &statement); err != nil {
			t.Fatal(err)
		}
		if at.Format != "fido-u2f" || len(at.AuthData) < 55+64 || !bytes.Equal(at.AuthData[55:55+64], k.handle) ||
			len(statement.X5C) != 1 || !bytes.Equal(statement.X5C[0], k.cert) || len(statement.Sig) == 0 {
			t.Errorf("format %q, data %x, statement %x", at.Format, at.AuthData, at.Statement)
		}
	})
	t.Run("refuses one that is registered", func(t *testing.T) {
		k.untouched.Store(0)
		_, err := libfido.Make(t.Context(), fido.MakeArgs{Target: target(plenty), RPID: "fob:x", UserID: []byte{1}, UserName: "u", ClientDataHash: hash, Algorithm: fido.AlgES256, Exclude: [][]byte{k.handle}})
		if op, ok := err.(*helper.OpError); !ok || op.Code != 0x19 {
			t.Errorf("error %v", err)
		}
	})
	t.Run("signs after a touch", func(t *testing.T) {
		k.untouched.Store(2)
		got, err := libfido.Assert(t.Context(), assert)
		if err != nil || len(got.Assertions) != 1 || !bytes.Equal(got.Assertions[0].CredentialID, k.handle) ||
			len(got.Assertions[0].AuthData) != 37 || got.Assertions[0].AuthData[36] != 5 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("tells without a touch which credential it holds", func(t *testing.T) {
		k.untouched.Store(1 << 20)
		a := assert
		a.Silent = true
		got, err := libfido.Assert(t.Context(), a)
		if err != nil || len(got.Assertions) != 1 || !bytes.Equal(got.Assertions[0].CredentialID, k.handle) {
			t.Errorf("%+v, %v", got, err)
		}
		a.Allow = [][]byte{stranger}
		if _, err := libfido.Assert(t.Context(), a); err == nil || err.(*helper.OpError).Code != 0x2e {
			t.Errorf("a stranger's: %v", err)
		}
	})
	t.Run("is selected by its touch", func(t *testing.T) {
		k.untouched.Store(3)
		if _, err := libfido.Select(t.Context(), fido.SelectArgs{Target: target(plenty)}); err != nil {
			t.Error(err)
		}
	})
	t.Run("cannot have a PIN or be reset", func(t *testing.T) {
		_, err := libfido.SetPIN(t.Context(), fido.SetPINArgs{Target: target(plenty), New: fido.PIN("1234")})
		if op, ok := err.(*helper.OpError); !ok || op.Code != 0x2b {
			t.Errorf("PIN: %v", err)
		}
		_, err = libfido.Reset(t.Context(), fido.ResetArgs{Target: target(plenty)})
		if op, ok := err.(*helper.OpError); !ok || op.Code != 0x2b {
			t.Errorf("reset: %v", err)
		}
	})
	t.Run("makes no secrets, and is not touched for one", func(t *testing.T) {
		k.untouched.Store(1 << 20)
		a := assert
		a.Allow, a.Salt = [][]byte{k.handle}, make([]byte, fido.SaltLen)
		_, err := libfido.Assert(t.Context(), a)
		if op, ok := err.(*helper.OpError); !ok || op.Code != 0x16 {
			t.Errorf("assert: %v", err)
		}
		_, err = libfido.Make(t.Context(), fido.MakeArgs{Target: target(plenty), RPID: "fob:x", UserID: []byte{1}, UserName: "u", ClientDataHash: hash, Algorithm: fido.AlgES256, HMACSecret: true})
		if op, ok := err.(*helper.OpError); !ok || op.Code != 0x16 {
			t.Errorf("make: %v", err)
		}
	})
	t.Run("that is not touched in time", func(t *testing.T) {
		k.untouched.Store(1 << 20)
		a := assert
		a.Target = target(600 * time.Millisecond)
		_, err := libfido.Assert(t.Context(), a)
		if op, ok := err.(*helper.OpError); !ok || op.Cause != fido.CauseNoTouch {
			t.Errorf("error %+v", err)
		}
		_, err = libfido.Select(t.Context(), fido.SelectArgs{Target: a.Target})
		if op, ok := err.(*helper.OpError); !ok || op.Cause != fido.CauseNoTouch {
			t.Errorf("select: %+v", err)
		}
	})
	t.Run("whose operation is cancelled is left at once", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		a := assert
		a.Target = target(2 * time.Second)
		if _, err := libfido.Assert(ctx, a); err == nil || time.Since(start) > time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestSaltIsRefused(t *testing.T) {
	good := fido.AssertArgs{Target: fido.Target{Path: "/dev/null", TimeoutMS: 1000}, RPID: "fob:x", ClientDataHash: make([]byte, 32),
		Allow: [][]byte{{1}}, Salt: make([]byte, fido.SaltLen)}
	for name, change := range map[string]func(*fido.AssertArgs){
		"where it is empty":             func(a *fido.AssertArgs) { a.Salt = []byte{} },
		"where it is too short":         func(a *fido.AssertArgs) { a.Salt = a.Salt[1:] },
		"where there are two":           func(a *fido.AssertArgs) { a.Salt = make([]byte, 64) },
		"for any credential":            func(a *fido.AssertArgs) { a.Allow = nil },
		"for one of several":            func(a *fido.AssertArgs) { a.Allow = [][]byte{{1}, {2}} },
		"where nobody is to be present": func(a *fido.AssertArgs) { a.Silent = true },
	} {
		t.Run(name, func(t *testing.T) {
			a := good
			change(&a)
			_, err := libfido.Assert(t.Context(), a)
			if op, ok := err.(*helper.OpError); !ok || op.Code != -7 || op.Text != "cannot use the salt" {
				t.Errorf("error %v", err)
			}
		})
	}
}
