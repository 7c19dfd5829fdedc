package virtual

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	stateVersion    = 1
	credentialIDLen = 32
	maxDiscoverable = 100
	// maxCredentials bounds the state, discoverable or not.
	maxCredentials = 1000
	maxRetries     = 8
)

// state is what the key remembers without power. It is not safe for concurrent use.
type state struct {
	Version int `json:"version"`
	// Counter is the last signature counter given.
	Counter     uint32        `json:"counter"`
	PIN         *pinState     `json:"pin,omitempty"`
	Credentials []*credential `json:"credentials,omitempty"` // oldest first
	Attestation *vouching     `json:"attestation,omitempty"`

	path string // "" for a key in memory
}

// pinState is LEFT(SHA-256(PIN), 16) and how many wrong PINs are left (CTAP 2.1 §6.5.2).
type pinState struct {
	Hash    []byte `json:"hash"`
	Retries int    `json:"retries"`
}

// credential is one key pair. Discoverable ones keep their user.
type credential struct {
	ID           []byte `json:"id"`
	RPID         string `json:"rp"`
	User         user   `json:"user"`
	Algorithm    int    `json:"algorithm"`
	PKCS8        []byte `json:"pkcs8"` // the private key, in the clear
	Discoverable bool   `json:"discoverable"`
	// CredRandom is nil for a credential that was made without hmac-secret.
	CredRandom *credRandom `json:"cred_random,omitempty"`
}

// user is a PublicKeyCredentialUserEntity.
type user struct {
	ID          []byte `cbor:"id" json:"id"`
	Name        string `cbor:"name,omitempty" json:"name,omitempty"`
	DisplayName string `cbor:"displayName,omitempty" json:"displayName,omitempty"`
}

// loadState reads the state at path; a missing file, or path "", is a fresh key.
func loadState(path string) (*state, error) {
	fresh := &state{Version: stateVersion, path: path}
	if path == "" {
		return fresh, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, fresh.save()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the software key's state: %w", err)
	}
	s, err := parseState(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read the software key's state in %s: %w", path, err)
	}
	s.path = path
	return s, nil
}

// parseState checks all that the key relies on later.
func parseState(b []byte) (*state, error) {
	var s state
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, err
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("version %d is not %d", s.Version, stateVersion)
	}
	if p := s.PIN; p != nil && (len(p.Hash) != pinHashLen || p.Retries < 0 || p.Retries > maxRetries) {
		return nil, errors.New("the PIN's hash or retries are damaged")
	}
	for i, c := range s.Credentials {
		if c == nil || len(c.ID) != credentialIDLen {
			return nil, fmt.Errorf("credential %d is damaged", i)
		}
		if r := c.CredRandom; r != nil && (len(r.WithUV) != credRandomLen || len(r.WithoutUV) != credRandomLen) {
			return nil, fmt.Errorf("credential %d: what it makes secrets with is damaged", i)
		}
		if k, err := c.private(); err != nil {
			return nil, fmt.Errorf("credential %d: %w", i, err)
		} else if algorithmOf(k) != c.Algorithm {
			return nil, fmt.Errorf("credential %d: its key is not of algorithm %d", i, c.Algorithm)
		}
	}
	if s.Attestation != nil {
		if err := s.Attestation.check(); err != nil {
			return nil, err
		}
	}
	return &s, nil
}

// save writes the state in one step: another process sees the old or the new. It does not sync: a test
// key need not outlast a power cut.
func (s *state) save() error {
	if s.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return fmt.Errorf("cannot save the software key's state: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), "."+filepath.Base(s.path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("cannot save the software key's state: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cannot save the software key's state: %w", err)
	}
	return nil
}

// find returns the credential of that id and relying party, or nil.
func (s *state) find(rpID string, id []byte) *credential {
	for _, c := range s.Credentials {
		if c.RPID == rpID && bytes.Equal(c.ID, id) {
			return c
		}
	}
	return nil
}

// discoverableFor lists a relying party's discoverable credentials, newest first.
func (s *state) discoverableFor(rpID string) []*credential {
	var cs []*credential
	for _, c := range slices.Backward(s.Credentials) {
		if c.Discoverable && c.RPID == rpID {
			cs = append(cs, c)
		}
	}
	return cs
}

func (s *state) discoverable() int {
	n := 0
	for _, c := range s.Credentials {
		if c.Discoverable {
			n++
		}
	}
	return n
}

// add keeps c and saves. A discoverable credential replaces the one of the same user (CTAP 2.1 §6.1.2
// step 17). On error nothing has changed.
func (s *state) add(c *credential) error {
	old := s.Credentials
	if c.Discoverable {
		s.Credentials = slices.DeleteFunc(slices.Clone(old), func(o *credential) bool {
			return o.Discoverable && o.RPID == c.RPID && bytes.Equal(o.User.ID, c.User.ID)
		})
	}
	err := error(StatusKeyStoreFull)
	if len(s.Credentials) < maxCredentials && (!c.Discoverable || s.discoverable() < maxDiscoverable) {
		s.Credentials = append(slices.Clip(s.Credentials), c)
		err = s.save()
	}
	if err != nil {
		s.Credentials = old
	}
	return err
}

// count returns the next signature counter, saved.
func (s *state) count() (uint32, error) {
	s.Counter++
	if err := s.save(); err != nil {
		s.Counter--
		return 0, err
	}
	return s.Counter, nil
}

// wipe forgets all but the counter, which never goes back, and the attestation, which belongs to the
// model.
func (s *state) wipe() error {
	old := *s
	s.Credentials, s.PIN = nil, nil
	if err := s.save(); err != nil {
		*s = old
		return err
	}
	return nil
}
