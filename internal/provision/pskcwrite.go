package provision

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"hash"
	"io"
	"iter"
	"strconv"

	"github.com/fobproject/fob/internal/secret"
)

// PSKCWriteOptions says how to write a PSKC file.
type PSKCWriteOptions struct {
	// Passphrase encrypts the seeds; if it is nil or empty, they are written as they are. It is not wiped.
	Passphrase *secret.Secret
	Rand       io.Reader // nil: crypto/rand's
	Iterations int       // of PBKDF2, 1000 to 10,000,000; 0: 600,000
}

const (
	defaultIterations = 600_000
	minIterations     = 1000 // RFC 6030 figure 7, which is from 2010
	pskcKeyLen        = 16   // bytes
	pskcSaltLen       = 16   // bytes
	pskcMACKeyLen     = sha1.Size
)

// WritePSKC writes a container of keys (RFC 6030), which ReadPSKC and others read. With a passphrase
// the seeds are encrypted as its figure 7 has it, which is what others can read: AES-128-CBC under a
// key from PBKDF2 with HMAC-SHA-1, and a MAC over each. Everything but the seeds stays in the clear.
// An error that seeds yields ends it, and so does a token that cannot be, with a *RowError. What was
// written until then is no whole file.
func WritePSKC(w io.Writer, seeds iter.Seq2[Seed, error], o PSKCWriteOptions) error {
	p := pskcWriter{output: newOutput(w), random: o.Rand}
	defer p.wipe()
	if p.random == nil {
		p.random = rand.Reader
	}
	p.add(`<?xml version="1.0" encoding="UTF-8"?>`, "\n")
	if o.Passphrase.Len() > 0 {
		if err := p.lock(o); err != nil {
			return fmt.Errorf("cannot encrypt the file: %w", err)
		}
	} else {
		p.add(`<KeyContainer Version="1.0" xmlns="`, pskcNamespace, `">`, "\n")
	}
	for s, err := range seeds {
		if err != nil {
			return err
		}
		s.tidy()
		if err := refusal(&s, ""); err != nil {
			return err
		}
		if err := p.keyPackage(&s); err != nil {
			return err
		}
		if err := p.flush(outputLen); err != nil {
			return err
		}
	}
	p.add("</KeyContainer>\n")
	return p.flush(0)
}

type pskcWriter struct {
	*output
	random io.Reader
	block  cipher.Block // nil: seeds are plain
	mac    hash.Hash
}

// lock makes the keys, and writes the container's beginning, which says how.
func (p *pskcWriter) lock(o PSKCWriteOptions) error {
	iterations := o.Iterations
	if iterations == 0 {
		iterations = defaultIterations
	}
	if iterations < minIterations || iterations > maxIterations {
		return fmt.Errorf("%d iterations are not between %d and %d", iterations, minIterations, maxIterations)
	}
	salt := make([]byte, pskcSaltLen)
	if _, err := io.ReadFull(p.random, salt); err != nil {
		return err
	}
	// As in unlocker: the standard library takes a string.
	key, err := pbkdf2.Key(sha1.New, string(o.Passphrase.Reveal()), salt, iterations, pskcKeyLen)
	if err != nil {
		return err
	}
	defer clear(key)
	if p.block, err = aes.NewCipher(key); err != nil {
		return err
	}
	macKey := make([]byte, pskcMACKeyLen)
	defer clear(macKey)
	if _, err := io.ReadFull(p.random, macKey); err != nil {
		return err
	}
	p.mac = hmac.New(sha1.New, macKey)
	sealed, err := p.encrypt(macKey)
	if err != nil {
		return err
	}
	p.add(`<KeyContainer Version="1.0" xmlns="`, pskcNamespace, `" xmlns:xenc="`, xmlenc, `" xmlns:xenc11="`, xmlenc11, `" xmlns:pkcs5="`, pkcs5, `">`, "\n",
		" <EncryptionKey><xenc11:DerivedKey>\n",
		`  <xenc11:KeyDerivationMethod Algorithm="`, pkcs5, `pbkdf2"><pkcs5:PBKDF2-params>`,
		"<Salt><Specified>", base64.StdEncoding.EncodeToString(salt), "</Specified></Salt>",
		"<IterationCount>", strconv.Itoa(iterations), "</IterationCount>",
		"<KeyLength>", strconv.Itoa(pskcKeyLen), "</KeyLength><PRF/>",
		"</pkcs5:PBKDF2-params></xenc11:KeyDerivationMethod>\n",
		" </xenc11:DerivedKey></EncryptionKey>\n",
		` <MACMethod Algorithm="`, xmldsig, `hmac-sha1"><MACKey>`)
	p.cipher(sealed)
	p.add("</MACKey></MACMethod>\n")
	return nil
}

func (p *pskcWriter) keyPackage(s *Seed) error {
	p.add(" <KeyPackage>\n  <DeviceInfo>")
	p.element("Manufacturer", s.Manufacturer)
	p.element("SerialNo", s.Serial)
	p.element("Model", s.Model)
	p.add("</DeviceInfo>\n", `  <Key Id="`)
	p.text(s.Serial)
	p.add(`" Algorithm="`, pskcNamespace, ":", string(s.Kind), `">`, "\n   <AlgorithmParameters>")
	if s.Algorithm != SHA1 { // which all take it for
		p.element("Suite", "HMAC-"+string(s.Algorithm))
	}
	p.add(`<ResponseFormat Length="`, strconv.Itoa(s.Digits), `" Encoding="DECIMAL"/></AlgorithmParameters>`, "\n   <Data><Secret>")
	if err := p.secret(s.Secret); err != nil {
		return fmt.Errorf("cannot encrypt the file: %w", err)
	}
	p.add("</Secret>")
	switch s.Kind {
	case HOTP:
		p.add("<Counter><PlainValue>", strconv.FormatUint(s.Counter, 10), "</PlainValue></Counter>")
	case TOTP:
		p.add("<Time><PlainValue>0</PlainValue></Time><TimeInterval><PlainValue>", strconv.Itoa(s.Period), "</PlainValue></TimeInterval>")
	}
	p.add("</Data>")
	p.element("UserId", s.User)
	p.add("\n  </Key>\n </KeyPackage>\n")
	return nil
}

func (p *pskcWriter) secret(s *secret.Secret) error {
	if p.block == nil {
		p.add("<PlainValue>")
		p.b = base64.StdEncoding.AppendEncode(p.b, s.Reveal())
		p.add("</PlainValue>")
		return nil
	}
	sealed, err := p.encrypt(s.Reveal())
	if err != nil {
		return err
	}
	p.add("<EncryptedValue>")
	p.cipher(sealed)
	p.mac.Reset()
	p.mac.Write(sealed)
	p.add("</EncryptedValue><ValueMAC>", base64.StdEncoding.EncodeToString(p.mac.Sum(nil)), "</ValueMAC>")
	return nil
}

// encrypt is unlocker's decrypt, the other way.
func (p *pskcWriter) encrypt(plain []byte) ([]byte, error) {
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	sealed := make([]byte, aes.BlockSize, aes.BlockSize+len(plain)+padding)
	if _, err := io.ReadFull(p.random, sealed); err != nil {
		return nil, err
	}
	sealed = append(sealed, plain...)
	for range padding {
		sealed = append(sealed, byte(padding))
	}
	body := sealed[aes.BlockSize:]
	cipher.NewCBCEncrypter(p.block, sealed[:aes.BlockSize]).CryptBlocks(body, body)
	return sealed, nil
}

// cipher adds what readEncrypted reads.
func (p *pskcWriter) cipher(sealed []byte) {
	p.add(`<xenc:EncryptionMethod Algorithm="`, xmlenc, `aes128-cbc"/><xenc:CipherData><xenc:CipherValue>`)
	p.b = base64.StdEncoding.AppendEncode(p.b, sealed)
	p.add("</xenc:CipherValue></xenc:CipherData>")
}

// element adds an element, unless there is no text for it.
func (p *pskcWriter) element(name, text string) {
	if text == "" {
		return
	}
	p.add("<", name, ">")
	p.text(text)
	p.add("</", name, ">")
}

func (p *pskcWriter) text(text string) {
	xml.EscapeText(p, []byte(text)) // Write never fails
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.b = append(o.b, b...)
	return len(b), nil
}
