package account

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

const (
	twoFASIterations = 10_000 // of PBKDF2 with HMAC-SHA-256
	maxTwoFAS        = 4      // the file's version
)

// twoFASFile is an export.
type twoFASFile struct {
	Version   int               `json:"schemaVersion"`
	Services  []json.RawMessage `json:"services"`
	Encrypted string            `json:"servicesEncrypted"` // Base64 of services with the tag, of the salt and of the nonce
}

type twoFASService struct {
	Name   string          `json:"name"`
	Secret json.RawMessage `json:"secret"`
	OTP    struct {
		Type      string  `json:"tokenType"` // files of version 3 and before do not say
		Label     string  `json:"label"`
		Account   string  `json:"account"`
		Issuer    string  `json:"issuer"`
		Algorithm string  `json:"algorithm"`
		Digits    *int    `json:"digits"`
		Period    *int    `json:"period"`
		Counter   *uint64 `json:"counter"`
	} `json:"otp"`
}

// ParseTwoFAS reads an export of 2FAS, as ParseAegis does one of Aegis.
func ParseTwoFAS(data []byte, ask func() (*secret.Secret, error)) ([]Account, []Skipped, error) {
	var file twoFASFile
	defer func() { clearAll(file.Services) }()
	if err := readExport(data, "2FAS", &file); err != nil {
		return nil, nil, err
	}
	if file.Version > maxTwoFAS {
		return nil, nil, newer("2FAS")
	}
	if file.Encrypted != "" {
		content, err := file.decrypt(ask)
		if err != nil {
			return nil, nil, err
		}
		defer clear(content)
		clearAll(file.Services)
		file.Services = nil
		if err := readExport(content, "2FAS", &file.Services); err != nil {
			return nil, nil, err
		}
	}
	return readEntries(file.Services, "2FAS", readTwoFAS)
}

func readTwoFAS(f *found, service json.RawMessage) {
	var s twoFASService
	defer func() { clear(s.Secret) }()
	a := Account{Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: defaultDigits, Period: defaultPeriod}
	err := json.Unmarshal(service, &s)
	// The service's name is what people may have changed.
	a.Issuer, a.Name = s.Name, s.OTP.Account
	if a.Issuer == "" {
		a.Issuer = s.OTP.Issuer
	}
	fault := hidden(a.Issuer, a.Name)
	if fault == "" && provision.Visible(a.Name) == "" {
		fault = a.readLabel(s.OTP.Label, a.Issuer)
	}
	if err != nil {
		f.put(a, "it is not written as 2FAS does: export again")
		return
	}
	a.setNumbers(s.OTP.Algorithm, s.OTP.Digits, s.OTP.Period, s.OTP.Counter)
	switch strings.ToUpper(s.OTP.Type) {
	case "", "TOTP":
	case "HOTP":
		a.Kind = provision.HOTP
	case "STEAM":
		f.put(a, steam)
		return
	default:
		a.Kind = ""
	}
	if reason := a.readSeed(unquote(s.Secret)); reason != "" {
		fault = reason
	}
	f.put(a, fault)
}

// decrypt gives the services of an encrypted file. The caller wipes them.
func (f *twoFASFile) decrypt(ask func() (*secret.Secret, error)) ([]byte, error) {
	damaged := fmt.Errorf("%w: what is encrypted in it is cut off or damaged: export it again", provision.ErrFile)
	texts := strings.Split(f.Encrypted, ":")
	if len(texts) != 3 {
		return nil, damaged
	}
	var parts [3][]byte
	for i, text := range texts {
		part, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, damaged
		}
		parts[i] = part
	}
	sealed, salt, nonce := parts[0], parts[1], parts[2]
	if len(sealed) < tagLen || len(salt) == 0 || len(salt) > maxSalt || len(nonce) != nonceLen {
		return nil, damaged
	}
	password, err := askPassword(ask)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	// The standard library takes a string, which cannot be wiped; the Secret it was made from can.
	key, err := pbkdf2.Key(sha256.New, string(password.Reveal()), salt, twoFASIterations, keyLen)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot make the key from the password: %w", provision.ErrEncrypted, err)
	}
	defer clear(key)
	content, ok := open(key, nonce, sealed)
	if !ok {
		return nil, ErrPassword
	}
	return content, nil
}
