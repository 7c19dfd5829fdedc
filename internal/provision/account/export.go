package account

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// ErrPassword says that an export stays shut.
var ErrPassword = errors.New("the password is wrong, or the file was changed or damaged: type the one that it was exported with")

// maxAccounts bounds a file's accounts, good and bad.
const maxAccounts = 10_000

// Format is what a file of accounts is.
type Format string

// The formats.
const (
	FormatUnknown Format = ""
	FormatAegis   Format = "aegis"  // ParseAegis reads it
	FormatTwoFAS  Format = "twofas" // ParseTwoFAS reads it
	FormatList    Format = "list"   // ParseList reads it
)

// Sniff tells what a file seems to be.
func Sniff(data []byte) Format {
	data = trim(data)
	has := func(names ...string) bool {
		for _, name := range names {
			if !bytes.Contains(data, []byte(`"`+name+`"`)) {
				return false
			}
		}
		return true
	}
	switch {
	case len(data) == 0:
		return FormatUnknown
	case data[0] != '{':
		return sniffList(data)
	case has("header", "slots", "db"):
		return FormatAegis
	case has("services", "schemaVersion") || has("servicesEncrypted"):
		return FormatTwoFAS
	}
	return FormatUnknown
}

func sniffList(data []byte) Format {
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		switch line = trim(line); {
		case len(line) == 0 || line[0] == '#':
			continue
		case Recognise(line) == QRAccount || Recognise(line) == QRMigration:
			return FormatList
		}
		break
	}
	return FormatUnknown
}

// readExport reads a file that is one object of JSON.
func readExport(data []byte, of string, to any) error {
	if len(data) > maxFile {
		return tooLong()
	}
	if err := json.Unmarshal(trim(data), to); err != nil {
		// What encoding/json says may have a part of the file in it.
		return fmt.Errorf("%w: it is no export of %s, or damaged: export it again", provision.ErrFile, of)
	}
	return nil
}

// readEntries reads the accounts of an export, each as JSON by itself, so that a bad one spoils no other.
func readEntries(entries []json.RawMessage, of string, read func(*found, json.RawMessage)) ([]Account, []Skipped, error) {
	switch {
	case len(entries) == 0:
		return nil, nil, fmt.Errorf("%w: there is no account in it: export again from %s", provision.ErrFile, of)
	case len(entries) > maxAccounts:
		return nil, nil, fmt.Errorf("%w: it has more than %d accounts: export fewer at once", provision.ErrFile, maxAccounts)
	}
	var f found
	for _, entry := range entries {
		read(&f, entry)
	}
	return f.accounts, f.skipped, nil
}

func clearAll(entries []json.RawMessage) {
	for _, entry := range entries {
		clear(entry)
	}
}

// askPassword asks for the password of an export. The caller wipes it.
func askPassword(ask func() (*secret.Secret, error)) (*secret.Secret, error) {
	if ask == nil {
		return nil, fmt.Errorf("%w: its password is needed", provision.ErrEncrypted)
	}
	password, err := ask()
	if err != nil {
		password.Wipe()
		return nil, fmt.Errorf("%w: cannot get its password: %w", provision.ErrEncrypted, err)
	}
	return password, nil
}

const (
	keyLen   = 32 // bytes, of AES-256
	nonceLen = 12 // bytes, of GCM
	tagLen   = 16 // bytes, of GCM
	maxSalt  = 1024
)

// open decrypts what AES-256 in GCM sealed, its tag behind it. The caller wipes it.
func open(key, nonce, sealed []byte) ([]byte, bool) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil || len(nonce) != nonceLen {
		return nil, false
	}
	plain, err := gcm.Open(nil, nonce, sealed, nil)
	return plain, err == nil
}

// setNumbers sets what an export says of codes; what it leaves out stays.
func (a *Account) setNumbers(algorithm string, digits, period *int, counter *uint64) {
	if algorithm != "" {
		a.Algorithm = provision.ParseAlgorithm(algorithm)
	}
	if digits != nil {
		a.Digits = *digits
	}
	if period != nil {
		a.Period = *period
	}
	if counter != nil {
		a.Counter = *counter
	}
}

// unquote is the text of a string of JSON, without looking for escapes: a seed has none.
func unquote(raw []byte) []byte {
	if len(raw) >= 2 && raw[0] == '"' {
		return raw[1 : len(raw)-1]
	}
	return nil
}
