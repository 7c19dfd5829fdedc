package provision

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"strings"

	"github.com/fobproject/fob/internal/secret"
)

// What keeps an encrypted file shut.
var (
	ErrEncrypted = errors.New("the file is encrypted")
	ErrWrongKey  = errors.New("the key or passphrase is wrong, or the file was changed or damaged")
)

const (
	maxIterations = 10_000_000 // of PBKDF2: some seconds
	maxSalt       = 1024       // bytes
)

// The algorithms' names (RFC 6030 §6, XML Encryption, XML Signature).
const (
	xmlenc      = "http://www.w3.org/2001/04/xmlenc#"
	xmlenc11    = "http://www.w3.org/2009/xmlenc11#"
	xmldsig     = "http://www.w3.org/2000/09/xmldsig#"
	xmldsigMore = "http://www.w3.org/2001/04/xmldsig-more#"
	pkcs5       = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#"
)

// unlocker decrypts the values of a PSKC file with AES-CBC and checks their MACs.
type unlocker struct {
	ask func(Need) (*secret.Secret, error)

	keyName string
	derive  *derivation // nil: the key is a pre-shared one
	foreign string      // why nothing can be decrypted, as the end of a reason
	method  bool        // the file has a MACMethod
	macName string      // the MAC's algorithm: a URI
	macKey  *pskcValue  // nil: it is the encryption key
	key     *secret.Secret
	block   cipher.Block
	mac     hash.Hash
	proven  bool // a MAC was right, so that the key is
}

// derivation is how a key is made from a passphrase: PBKDF2 (RFC 8018 §5.2).
type derivation struct {
	salt       []byte
	iterations int
	keyLen     int
	prf        func() hash.Hash
}

func (u *unlocker) wipe() {
	u.key.Wipe()
	u.block, u.mac = nil, nil
}

// readEncryptionKey reads EncryptionKey (RFC 6030 §6): which key the values are encrypted under.
func (u *unlocker) readEncryptionKey(x *xmlScanner) error {
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "KeyName":
			u.keyName = string(x.content())
		case "DerivedKey":
			if err := u.readDerivedKey(x); err != nil {
				return err
			}
		default:
			u.foreign = fmt.Sprintf("is encrypted under a key of a kind that cannot be used: %s", shown(string(x.local)))
		}
	}
	return nil
}

func (u *unlocker) readDerivedKey(x *xmlScanner) error {
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "MasterKeyName":
			u.keyName = string(x.content())
		case "KeyDerivationMethod":
			switch name := string(x.attr("Algorithm")); name {
			case pkcs5 + "pbkdf2", xmlenc11 + "pbkdf2":
			default:
				u.foreign = fmt.Sprintf("is encrypted under a key that is derived in a way that cannot be used: %s", shown(name))
				continue
			}
			for within := x.depth; x.child(within); {
				if string(x.local) == "PBKDF2-params" {
					if err := u.readPBKDF2(x); err != nil {
						return err
					}
				}
			}
			if u.derive == nil && x.fail == nil {
				return x.fault("it does not say how the key is made from the passphrase")
			}
		}
	}
	return nil
}

func (u *unlocker) readPBKDF2(x *xmlScanner) error {
	d := &derivation{prf: sha1.New}
	var salt pskcValue
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "Salt":
			for within := x.depth; x.child(within); {
				if string(x.local) == "Specified" {
					d.salt = salt.base64(nil, x.content())
				}
			}
		case "IterationCount":
			d.iterations = parseSmall(x.content())
		case "KeyLength":
			d.keyLen = parseSmall(x.content())
		case "PRF":
			// XML Encryption has the name in an attribute, python-pskc as text.
			name := append([]byte(nil), x.attr("Algorithm")...)
			if text := x.content(); len(name) == 0 {
				name = text
			}
			if len(name) > 0 {
				if d.prf = macHash(string(name)); d.prf == nil {
					u.foreign = fmt.Sprintf("is encrypted under a key that is derived in a way that cannot be used: %s", shown(string(name)))
				}
			}
		}
	}
	switch {
	case x.fail != nil:
		return nil // read says it
	case salt.unclear || len(d.salt) == 0 || len(d.salt) > maxSalt:
		return x.fault("the passphrase's salt is none")
	case d.iterations < 1 || d.iterations > maxIterations:
		return x.fault("the passphrase's count of iterations is no number from 1 to %d", maxIterations)
	case d.keyLen != 16 && d.keyLen != 24 && d.keyLen != 32:
		return x.fault("the length of the passphrase's key is none of AES: 16, 24 or 32 bytes")
	}
	u.derive = d
	return nil
}

// readMACMethod reads MACMethod (RFC 6030 §6.1.1).
func (u *unlocker) readMACMethod(x *xmlScanner) {
	u.method, u.macName = true, string(x.attr("Algorithm"))
	for within := x.depth; x.child(within); {
		if string(x.local) == "MACKey" {
			u.macKey = new(pskcValue)
			u.macKey.readEncrypted(x)
		}
	}
}

// open decrypts a value. It gives the end of a reason why it cannot, which is the value's alone, or an
// error, which is the file's: the key or passphrase is not there, or is wrong.
func (u *unlocker) open(v *pskcValue) (plain []byte, reason string, err error) {
	keyLen := aesKeyLen(v.algorithm)
	newMAC := macHash(u.macName)
	switch {
	case v.twice:
		return nil, "is there twice", nil
	case keyLen == 0:
		return nil, fmt.Sprintf("is encrypted in a way that cannot be read: %s", shown(v.algorithm)), nil
	case u.foreign != "":
		return nil, u.foreign, nil
	case !u.method || len(v.mac) == 0:
		return nil, "is encrypted without a MAC, so that nobody would see a change (RFC 6030 §6.1.1)", nil
	case newMAC == nil:
		return nil, fmt.Sprintf("has a MAC of a kind that cannot be checked: %s", shown(u.macName)), nil
	case u.macKey != nil && aesKeyLen(u.macKey.algorithm) == 0:
		return nil, fmt.Sprintf("has a MAC whose key is encrypted in a way that cannot be read: %s", shown(u.macKey.algorithm)), nil
	case v.unclear || len(v.cipher) < 2*aes.BlockSize || len(v.cipher)%aes.BlockSize != 0:
		return nil, "is cut off, or no Base64", nil
	}
	if err := u.unlock(newMAC); err != nil {
		return nil, "", err
	}
	if keyLen != u.key.Len() {
		if !u.proven {
			return nil, "", u.wrongLength(keyLen)
		}
		return nil, "is encrypted under a key of another length than the file's", nil
	}
	u.mac.Reset()
	u.mac.Write(v.cipher)
	if !hmac.Equal(u.mac.Sum(nil), v.mac) {
		if !u.proven {
			return nil, "", ErrWrongKey
		}
		return nil, "has a MAC that is wrong: the file was changed or damaged", nil
	}
	u.proven = true
	if plain, ok := u.decrypt(v.cipher); ok {
		return plain, "", nil
	}
	return nil, "is encrypted wrongly: its padding is none", nil
}

// unlock asks for the key, once, and makes the MAC's key from it.
func (u *unlocker) unlock(newMAC func() hash.Hash) error {
	if u.block != nil {
		return nil
	}
	if err := u.askKey(); err != nil {
		return err
	}
	block, err := aes.NewCipher(u.key.Reveal())
	if err != nil {
		return fmt.Errorf("%w: it has %d bytes, and keys of AES have 16, 24 or 32", ErrWrongKey, u.key.Len())
	}
	u.block = block
	macKey := secret.New(append([]byte(nil), u.key.Reveal()...))
	if u.macKey != nil {
		macKey.Wipe()
		if n := aesKeyLen(u.macKey.algorithm); n != u.key.Len() {
			return u.wrongLength(n)
		}
		plain, ok := u.decrypt(u.macKey.cipher)
		if !ok || len(plain) == 0 || u.macKey.unclear {
			return ErrWrongKey
		}
		macKey = secret.New(plain)
	}
	defer macKey.Wipe()
	u.mac = hmac.New(newMAC, macKey.Reveal())
	return nil
}

func (u *unlocker) askKey() error {
	need, what := Need{KeyName: u.keyName}, "key"
	if u.derive != nil {
		need.Passphrase, what = true, "passphrase"
	}
	if u.ask == nil {
		return fmt.Errorf("%w: its %s is needed", ErrEncrypted, what)
	}
	given, err := u.ask(need)
	if err != nil {
		given.Wipe()
		return fmt.Errorf("%w: cannot get its %s: %w", ErrEncrypted, what, err)
	}
	u.key = given
	if u.derive == nil {
		return nil
	}
	defer given.Wipe()
	// The standard library takes a string, which cannot be wiped; the Secret it was made from can.
	key, err := pbkdf2.Key(u.derive.prf, string(given.Reveal()), u.derive.salt, u.derive.iterations, u.derive.keyLen)
	u.key = secret.New(key)
	if err != nil {
		return fmt.Errorf("%w: cannot make the key from the passphrase: %w", ErrEncrypted, err)
	}
	return nil
}

func (u *unlocker) wrongLength(want int) error {
	return fmt.Errorf("%w: the key has %d bytes, and the file was encrypted with one of %d", ErrWrongKey, u.key.Len(), want)
}

// decrypt undoes AES-CBC with the initialization vector in front and XML Encryption's padding, whose
// last byte alone says something.
func (u *unlocker) decrypt(data []byte) ([]byte, bool) {
	if len(data) < 2*aes.BlockSize || len(data)%aes.BlockSize != 0 {
		return nil, false
	}
	plain := make([]byte, len(data)-aes.BlockSize)
	cipher.NewCBCDecrypter(u.block, data[:aes.BlockSize]).CryptBlocks(plain, data[aes.BlockSize:])
	padding := int(plain[len(plain)-1])
	if padding < 1 || padding > aes.BlockSize {
		clear(plain)
		return nil, false
	}
	return plain[:len(plain)-padding], true
}

// aesKeyLen is the length in bytes of the key of AES in CBC mode, or 0 if uri is something else.
func aesKeyLen(uri string) int {
	switch uri {
	case xmlenc + "aes128-cbc":
		return 16
	case xmlenc + "aes192-cbc":
		return 24
	case xmlenc + "aes256-cbc":
		return 32
	}
	return 0
}

// macHash is the hash function of an HMAC, or nil if uri is something else. Files mix up the two
// places where the names are defined.
func macHash(uri string) func() hash.Hash {
	name, found := strings.CutPrefix(uri, xmldsigMore)
	if !found {
		if name, found = strings.CutPrefix(uri, xmldsig); !found {
			return nil
		}
	}
	switch name {
	case "hmac-sha1":
		return sha1.New
	case "hmac-sha256":
		return sha256.New
	case "hmac-sha384":
		return sha512.New384
	case "hmac-sha512":
		return sha512.New
	}
	return nil
}
