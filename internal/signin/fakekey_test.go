package signin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/helper"
)

// fakeKeys stands in for fob-helper where time is faked: it answers the operations of keys that
// sign for real. What a whole key does is tested against internal/virtual, in package daemon.
type fakeKeys struct {
	mu   sync.Mutex
	keys map[string]*fakeKey // by path
}

// plug adds a key, with channels of the bubble that it is plugged in.
func (f *fakeKeys) plug(k *fakeKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k.touches, k.blinks = make(chan struct{}), make(chan string, 100)
	f.keys[k.key().Path] = k
}

// fakeKey is a key without a PIN, unless pin is set.
type fakeKey struct {
	id      string
	creds   map[string]*ecdsa.PrivateKey // by credential id
	counter uint32
	pin     string
	retries int
	touches chan struct{}         // each receive is one touch
	blinks  chan string           // told of each operation that waits for a touch
	fail    func(op string) error // makes an operation fail
	answer  time.Duration         // to a silent question
	linger  time.Duration         // by which an operation outlives its end
	silent  int                   // silent questions asked
	plain   bool                  // it has no hmac-secret
}

func newFakeKey(id string) *fakeKey {
	return &fakeKey{id: id, creds: map[string]*ecdsa.PrivateKey{}, retries: 8}
}

func (k *fakeKey) key() fido.Key {
	return fido.Key{ID: k.id, Name: "Key " + k.id, Path: "/fake/" + k.id, Extra: true}
}

func opError(code int, name string) error { return &helper.OpError{Code: code, Name: name} }

// Run implements fido.Runner.
func (f *fakeKeys) Run(ctx context.Context, c helper.Call, result any) error {
	raw, err := json.Marshal(c.Args)
	if err != nil {
		return err
	}
	var a struct {
		fido.Target
		RPID           string `json:"rp_id"`
		ClientDataHash []byte `json:"client_data_hash"`
		Allow, Exclude [][]byte
		Silent, UV     bool
		PIN, Old, New  fido.PIN
		HMACSecret     bool `json:"hmac_secret"`
		Salt           []byte
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return err
	}
	f.mu.Lock()
	k := f.keys[a.Path]
	f.mu.Unlock()
	if k == nil {
		return opError(-9, "FIDO_ERR_INTERNAL")
	}
	if k.fail != nil {
		if err := k.fail(c.Op); err != nil {
			return err
		}
	}
	touch := func() error {
		k.blinks <- c.Op
		select {
		case <-k.touches:
			return nil
		case <-ctx.Done():
			time.Sleep(k.linger)
			return fmt.Errorf("%w: %w", ctx.Err(), opError(0x2d, "FIDO_ERR_KEEPALIVE_CANCEL"))
		}
	}
	checkPIN := func(pin fido.PIN) error {
		switch {
		case pin == nil:
			return nil
		case k.pin == "":
			return opError(0x35, "FIDO_ERR_PIN_NOT_SET")
		case string(pin) != k.pin:
			k.retries--
			return opError(0x31, "FIDO_ERR_PIN_INVALID")
		}
		k.retries = 8
		return nil
	}
	answer := func(v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, result)
	}
	held := func(ids [][]byte) []byte {
		for _, id := range ids {
			if k.creds[string(id)] != nil {
				return id
			}
		}
		return nil
	}
	switch c.Op {
	case fido.OpInfo:
		info := fido.Info{FIDO2: true, Versions: []string{"FIDO_2_1"}, Options: map[string]bool{"clientPin": k.pin != ""}, MinPIN: 4, Algorithms: []int{fido.AlgES256}}
		if !k.plain {
			info.Extensions = []string{"hmac-secret"}
		}
		if k.pin != "" {
			info.PINRetries = &k.retries
		}
		return answer(info)
	case fido.OpSelect, fido.OpReset:
		return touch()
	case fido.OpSetPIN:
		if err := checkPIN(a.Old); err != nil {
			return err
		}
		k.pin = string(a.New)
		return nil
	case fido.OpMake:
		if err := checkPIN(a.PIN); err != nil {
			return err
		}
		if err := touch(); err != nil {
			return err
		}
		if held(a.Exclude) != nil {
			return opError(0x19, "FIDO_ERR_CREDENTIAL_EXCLUDED")
		}
		return answer(k.make(a.RPID, a.PIN != nil, a.HMACSecret))
	case fido.OpAssert:
		if a.Silent {
			k.silent++
			time.Sleep(k.answer)
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("%w: %w", err, opError(0x2d, "FIDO_ERR_KEEPALIVE_CANCEL"))
			}
		} else {
			if err := checkPIN(a.PIN); err != nil {
				return err
			}
			if err := touch(); err != nil {
				return err
			}
		}
		id := held(a.Allow)
		if id == nil {
			return opError(0x2e, "FIDO_ERR_NO_CREDENTIALS")
		}
		assertion := k.assert(a.RPID, id, a.ClientDataHash, !a.Silent, a.PIN != nil)
		if a.Salt != nil {
			assertion.Secret = k.secret(id, a.Salt, a.PIN != nil)
		}
		return answer(fido.AssertResult{Assertions: []fido.Assertion{assertion}})
	}
	return fmt.Errorf("the fake key cannot do %q", c.Op)
}

func authData(rpID string, flags byte, counter uint32) []byte {
	sum := sha256.Sum256([]byte(rpID))
	return binary.BigEndian.AppendUint32(append(sum[:], flags), counter)
}

func flags(up, uv bool) (f byte) {
	if up {
		f |= 0x01
	}
	if uv {
		f |= 0x04
	}
	return f
}

func (k *fakeKey) make(rpID string, uv, hmacSecret bool) fido.Attestation {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	id := make([]byte, 16)
	rand.Read(id)
	k.creds[string(id)] = private
	point, err := private.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	public, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		panic(err)
	}
	k.counter++
	has, extensions := byte(0x40), []byte(nil)
	if hmacSecret {
		has |= 0x80
		if extensions, err = cbor.Marshal(map[string]bool{"hmac-secret": true}); err != nil {
			panic(err)
		}
	}
	data := append(authData(rpID, has|flags(true, uv), k.counter), make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(id)))
	return fido.Attestation{Format: "none", AuthData: slices.Concat(data, id, public, extensions), Statement: []byte{0xa0}}
}

// secret is what the credential makes of a salt.
func (k *fakeKey) secret(id, salt []byte, uv bool) []byte {
	private, err := k.creds[string(id)].Bytes()
	if err != nil {
		panic(err)
	}
	m := hmac.New(sha256.New, private)
	m.Write([]byte{flags(true, uv)})
	m.Write(salt)
	return m.Sum(nil)
}

func (k *fakeKey) assert(rpID string, id, hash []byte, up, uv bool) fido.Assertion {
	k.counter++
	data := authData(rpID, flags(up, uv), k.counter)
	sum := sha256.Sum256(slices.Concat(data, hash))
	sig, err := ecdsa.SignASN1(rand.Reader, k.creds[string(id)], sum[:])
	if err != nil {
		panic(err)
	}
	return fido.Assertion{CredentialID: id, AuthData: data, Signature: sig}
}
