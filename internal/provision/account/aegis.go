package account

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"golang.org/x/crypto/scrypt"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

const (
	aegisPassword = 1 // the type of a slot that a password opens
	maxSlots      = 8 // that a password is tried at
	maxAegisFile  = 1 // the file's version
	maxAegisDB    = 3 // the version of what it holds

	// Bounds of scrypt, whose parameters the file says: Aegis has N 2^15, r 8 and p 1.
	maxScryptN    = 1 << 20
	maxScrypt     = 1 << 10 // r, and p
	maxScryptWork = 1 << 21 // N·r·p: 256 MiB, or some seconds
)

// aegisFile is an export (docs/vault.md in Aegis).
type aegisFile struct {
	Version int `json:"version"`
	Header  struct {
		Slots  []aegisSlot `json:"slots"`
		Params aegisParams `json:"params"`
	} `json:"header"`
	DB json.RawMessage `json:"db"` // the accounts; in Base64 if they are encrypted
}

// aegisSlot has the key that the accounts are encrypted under, encrypted under another.
type aegisSlot struct {
	Type   int         `json:"type"`
	Key    string      `json:"key"`
	Params aegisParams `json:"key_params"`
	N      int         `json:"n"`
	R      int         `json:"r"`
	P      int         `json:"p"`
	Salt   string      `json:"salt"`
}

type aegisParams struct {
	Nonce string `json:"nonce"`
	Tag   string `json:"tag"`
}

type aegisDB struct {
	Version int               `json:"version"`
	Entries []json.RawMessage `json:"entries"`
}

type aegisEntry struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Issuer string `json:"issuer"`
	Info   struct {
		Secret  json.RawMessage `json:"secret"`
		Algo    string          `json:"algo"`
		Digits  *int            `json:"digits"`
		Period  *int            `json:"period"`
		Counter *uint64         `json:"counter"`
	} `json:"info"`
}

// ParseAegis reads an export of Aegis (JSON). Where it is encrypted it calls ask once for the password, which it
// wipes. Its errors wrap provision.ErrFile, provision.ErrEncrypted or ErrPassword.
func ParseAegis(data []byte, ask func() (*secret.Secret, error)) ([]Account, []Skipped, error) {
	var file aegisFile
	defer func() { clear(file.DB) }()
	if err := readExport(data, "Aegis", &file); err != nil {
		return nil, nil, err
	}
	if file.Version > maxAegisFile {
		return nil, nil, newer("Aegis")
	}
	content := []byte(file.DB)
	if len(content) > 0 && content[0] == '"' {
		var err error
		if content, err = file.decrypt(ask); err != nil {
			return nil, nil, err
		}
		defer clear(content)
	}
	var db aegisDB
	defer func() { clearAll(db.Entries) }()
	if err := readExport(content, "Aegis", &db); err != nil {
		return nil, nil, err
	}
	if db.Version > maxAegisDB {
		return nil, nil, newer("Aegis")
	}
	return readEntries(db.Entries, "Aegis", readAegis)
}

func newer(than string) error {
	return fmt.Errorf("%w: it was made by a newer %s than is known here: update Fob", provision.ErrFile, than)
}

func readAegis(f *found, entry json.RawMessage) {
	var e aegisEntry
	defer func() { clear(e.Info.Secret) }()
	a := Account{Algorithm: provision.SHA1, Digits: defaultDigits, Period: defaultPeriod}
	err := json.Unmarshal(entry, &e)
	a.Issuer, a.Name = e.Issuer, e.Name
	if err != nil {
		f.put(a, "it is not written as Aegis does: export again")
		return
	}
	a.setNumbers(e.Info.Algo, e.Info.Digits, e.Info.Period, e.Info.Counter)
	switch e.Type {
	case "totp":
		a.Kind = provision.TOTP
	case "hotp":
		a.Kind = provision.HOTP
	case "steam":
		f.put(a, steam)
		return
	case "yandex":
		f.put(a, yandex)
		return
	case "motp":
		f.put(a, "its codes are mOTP, and Fob makes TOTP and HOTP: "+elsewhere)
		return
	}
	reason := a.readSeed(unquote(e.Info.Secret))
	if reason == "" {
		reason = hidden(a.Issuer, a.Name)
	}
	f.put(a, reason)
}

// decrypt gives the accounts of an encrypted file. The caller wipes them.
func (f *aegisFile) decrypt(ask func() (*secret.Secret, error)) ([]byte, error) {
	damaged := fmt.Errorf("%w: what is encrypted in it is cut off or damaged: export it again", provision.ErrFile)
	var text string
	if err := json.Unmarshal(f.DB, &text); err != nil {
		return nil, damaged
	}
	sealed, err := base64.StdEncoding.DecodeString(text)
	nonce, tag, ok := f.Header.Params.decode()
	if err != nil || !ok {
		return nil, damaged
	}
	key, err := f.unlock(ask)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	content, ok := open(key.Reveal(), nonce, append(sealed, tag...))
	if !ok {
		return nil, damaged
	}
	return content, nil
}

// slot is a password's, decoded.
type slot struct {
	n, r, p                   int
	salt, nonce, encryptedKey []byte
}

// unlock gives the key that the accounts are encrypted under.
func (f *aegisFile) unlock(ask func() (*secret.Secret, error)) (*secret.Secret, error) {
	var slots []slot
	for _, s := range f.Header.Slots {
		if s.Type != aegisPassword {
			continue // the phone alone has its key
		}
		decoded, ok := s.decode()
		if !ok || len(slots) == maxSlots {
			return nil, fmt.Errorf("%w: what it says of its password is damaged, or none of Aegis': export it again", provision.ErrFile)
		}
		slots = append(slots, decoded)
	}
	if len(slots) == 0 {
		return nil, fmt.Errorf("%w: the phone alone can open it: export it again, with a password", provision.ErrEncrypted)
	}
	password, err := askPassword(ask)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	for _, s := range slots {
		wrapping, err := scrypt.Key(password.Reveal(), s.salt, s.n, s.r, s.p, keyLen)
		if err != nil {
			return nil, fmt.Errorf("%w: cannot make the key from the password: %w", provision.ErrEncrypted, err)
		}
		key, ok := open(wrapping, s.nonce, s.encryptedKey)
		clear(wrapping)
		if ok {
			return secret.New(key), nil
		}
	}
	return nil, ErrPassword
}

func (s *aegisSlot) decode() (slot, bool) {
	d := slot{n: s.N, r: s.R, p: s.P}
	if d.n < 2 || d.n > maxScryptN || d.n&(d.n-1) != 0 || d.r < 1 || d.r > maxScrypt || d.p < 1 || d.p > maxScrypt || d.n*d.r*d.p > maxScryptWork {
		return d, false
	}
	var tag []byte
	var ok bool
	if d.nonce, tag, ok = s.Params.decode(); !ok {
		return d, false
	}
	key, err := hex.DecodeString(s.Key)
	if err != nil || len(key) != keyLen {
		return d, false
	}
	d.encryptedKey = append(key, tag...)
	d.salt, err = hex.DecodeString(s.Salt)
	return d, err == nil && len(d.salt) > 0 && len(d.salt) <= maxSalt
}

func (p *aegisParams) decode() (nonce, tag []byte, ok bool) {
	nonce, err := hex.DecodeString(p.Nonce)
	if err != nil {
		return nil, nil, false
	}
	tag, err = hex.DecodeString(p.Tag)
	return nonce, tag, err == nil && len(nonce) == nonceLen && len(tag) == tagLen
}
