package virtual

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"os/exec"
	"testing"
	"time"
)

// needTool skips the test on a desk, and fails it in CI, where the program is missing.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing", name)
	}
	t.Skipf("%s is missing", name)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(stop)
	return ctx
}

// hash is a client data hash.
var hash = bytes.Repeat([]byte{7}, clientDataHashLen)

const rpID = "fob:test"

// encode builds a command.
func encode(t testing.TB, cmd byte, params map[int]any) []byte {
	t.Helper()
	if params == nil {
		return []byte{cmd}
	}
	b, err := encoding.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{cmd}, b...)
}

// makeParams are the least that makeCredential takes.
func makeParams(userID string, more map[int]any) map[int]any {
	p := map[int]any{
		1: hash,
		2: map[string]any{"id": rpID},
		3: map[string]any{"id": []byte(userID), "name": "name of " + userID},
		4: []algorithm{{Alg: ES256, Type: publicKey}},
	}
	for k, v := range more {
		p[k] = v
	}
	return p
}

func assertParams(more map[int]any) map[int]any {
	p := map[int]any{1: rpID, 2: hash}
	for k, v := range more {
		p[k] = v
	}
	return p
}

// do runs one command on an authenticator and checks its status.
func do[Ans any](t *testing.T, a *authenticator, want Status, cmd byte, params map[int]any) (ans Ans) {
	t.Helper()
	r := a.handle(t.Context(), encode(t, cmd, params))
	if got := Status(r.answer[0]); got != want {
		t.Fatalf("answers %v, want %v", got, want)
	}
	if want == StatusOK && len(r.answer) > 1 {
		if err := decoding.Unmarshal(r.answer[1:], &ans); err != nil {
			t.Fatal(err)
		}
	}
	return ans
}

type nothing struct{}

// newAuth is an authenticator without transport.
func newAuth(t testing.TB, o Options) *authenticator {
	t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAuthenticator(o, newSensor(o.Touch, o.Delay), &faults{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// platform is the host's end of a PIN/UV auth protocol, written from the standard apart from the
// key's own end.
type platform struct {
	protocol uint
	key      coseKey
	mac, enc []byte
}

func newPlatform(t *testing.T, a *authenticator, protocol uint) *platform {
	t.Helper()
	theirs := do[pinAnswer](t, a, StatusOK, cmdClientPIN, map[int]any{1: protocol, 2: pinGetKeyAgreement}).KeyAgreement
	pub, err := ecdh.P256().NewPublicKey(append(append([]byte{4}, theirs.X...), theirs.Y...))
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	z, err := mine.ECDH(pub)
	if err != nil {
		t.Fatal(err)
	}
	b := mine.PublicKey().Bytes()
	p := &platform{protocol: protocol, key: coseKey{Kty: 2, Alg: ecdhHKDF256, Crv: 1, X: b[1:33], Y: b[33:]}}
	if protocol == 1 {
		h := sha256.Sum256(z)
		p.mac, p.enc = h[:], h[:]
		return p
	}
	derive := func(info string) []byte {
		k, err := hkdf.Key(sha256.New, z, make([]byte, 32), info, 32)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	p.mac, p.enc = derive("CTAP2 HMAC key"), derive("CTAP2 AES key")
	return p
}

func (p *platform) cbc(t *testing.T, in []byte, decrypt bool) []byte {
	t.Helper()
	b, err := aes.NewCipher(p.enc)
	if err != nil {
		t.Fatal(err)
	}
	iv := make([]byte, aes.BlockSize)
	if decrypt {
		if p.protocol == 2 {
			iv, in = in[:16], in[16:]
		}
		out := make([]byte, len(in))
		cipher.NewCBCDecrypter(b, iv).CryptBlocks(out, in)
		return out
	}
	out := make([]byte, len(in))
	if p.protocol == 2 {
		_, _ = rand.Read(iv)
	}
	cipher.NewCBCEncrypter(b, iv).CryptBlocks(out, in)
	if p.protocol == 2 {
		out = append(iv, out...)
	}
	return out
}

func (p *platform) auth(key []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(bytes.Join(parts, nil))
	if p.protocol == 1 {
		return m.Sum(nil)[:16]
	}
	return m.Sum(nil)
}

func padPIN(pin string) []byte { return append([]byte(pin), make([]byte, 64-len(pin))...) }

func (p *platform) setParams(t *testing.T, pin string) map[int]any {
	enc := p.cbc(t, padPIN(pin), false)
	return map[int]any{1: p.protocol, 2: pinSet, 3: p.key, 4: p.auth(p.mac, enc), 5: enc}
}

func (p *platform) changeParams(t *testing.T, old, pin string) map[int]any {
	enc, h := p.cbc(t, padPIN(pin), false), p.cbc(t, pinHash([]byte(old)), false)
	return map[int]any{1: p.protocol, 2: pinChange, 3: p.key, 4: p.auth(p.mac, enc, h), 5: enc, 6: h}
}

func (p *platform) tokenParams(t *testing.T, pin string, permits uint, rp string) map[int]any {
	return map[int]any{1: p.protocol, 2: pinGetTokenPermits, 3: p.key, 6: p.cbc(t, pinHash([]byte(pin)), false), 9: permits, 10: rp}
}

// token gets a token, for the commands and the relying party.
func (p *platform) token(t *testing.T, a *authenticator, pin string, permits uint, rp string) []byte {
	t.Helper()
	return p.cbc(t, do[pinAnswer](t, a, StatusOK, cmdClientPIN, p.tokenParams(t, pin, permits, rp)).Token, true)
}

// host is a program at the other end of CTAPHID, which sends and receives raw packets.
type host struct {
	t       *testing.T
	send    func(report)
	receive func() report
}

func packet(ch uint32, b4 byte, rest ...byte) report {
	var r report
	binary.BigEndian.PutUint32(r[:], ch)
	r[4] = b4
	copy(r[5:], rest)
	return r
}

func (h *host) write(m message) {
	for _, r := range m.reports() {
		h.send(r)
	}
}

// read assembles the next message, keepalives too.
func (h *host) read() message {
	h.t.Helper()
	r := h.receive()
	m := message{channel: binary.BigEndian.Uint32(r[:]), cmd: r[4] &^ initBit}
	n := int(binary.BigEndian.Uint16(r[5:]))
	m.payload = append(m.payload, r[7:]...)
	for len(m.payload) < n {
		r = h.receive()
		m.payload = append(m.payload, r[5:]...)
	}
	m.payload = m.payload[:n]
	return m
}

// open gets a channel.
func (h *host) open() uint32 {
	h.t.Helper()
	nonce := make([]byte, 8)
	_, _ = rand.Read(nonce)
	h.write(message{channel: broadcast, cmd: hidInit, payload: nonce})
	m := h.read()
	if m.cmd != hidInit || !bytes.Equal(m.payload[:8], nonce) {
		h.t.Fatalf("INIT is answered with command %#x, % x", m.cmd, m.payload)
	}
	return binary.BigEndian.Uint32(m.payload[8:])
}

// wantError reads an error of that code on the channel.
func (h *host) wantError(ch uint32, code byte) {
	h.t.Helper()
	m := h.read()
	if m.channel != ch || m.cmd != hidError || !bytes.Equal(m.payload, []byte{code}) {
		h.t.Fatalf("channel %d gets command %#x, % x; want error %#x on channel %d", m.channel, m.cmd, m.payload, code, ch)
	}
}

// wantStatus reads past keepalives and checks the answer's status.
func (h *host) wantStatus(ch uint32, want Status) []byte {
	h.t.Helper()
	for {
		m := h.read()
		if m.channel == ch && m.cmd == hidKeepalive {
			continue
		}
		if m.channel != ch || m.cmd != hidCBOR || Status(m.payload[0]) != want {
			h.t.Fatalf("channel %d gets command %#x, % x; want %v on channel %d", m.channel, m.cmd, m.payload, want, ch)
		}
		return m.payload[1:]
	}
}
