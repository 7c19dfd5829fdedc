package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// fob is a hardware token that counts presses; its seed follows from its number.
type fob struct {
	n       int
	counter uint64
}

func (f *fob) serial() string { return fmt.Sprintf("BENCH%06d", f.n) }

func (f *fob) seed() []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "bench seed %d", f.n))
	return sum[:20]
}

// press gives the next code.
func (f *fob) press() (string, error) {
	code, err := hotp.GenerateCodeCustom(base32.StdEncoding.EncodeToString(f.seed()), f.counter, hotp.ValidateOpts{Digits: otp.DigitsSix})
	f.counter++
	return code, err
}

// writePSKC writes a file with the seeds of so many fobs (RFC 6030), the first for user.
func writePSKC(dir string, fobs int, user string) (path string, err error) {
	path = filepath.Join(dir, fmt.Sprintf("fobs-%d.xml", fobs))
	return path, writeLines(path, func(w *bufio.Writer) {
		fmt.Fprintln(w, `<?xml version="1.0" encoding="UTF-8"?>`)
		fmt.Fprintln(w, `<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc">`)
		for n := range fobs {
			f := fob{n: n}
			userID := ""
			if n == 0 {
				userID = "<UserId>" + user + "</UserId>"
			}
			fmt.Fprintf(w, `<KeyPackage><DeviceInfo><Manufacturer>oath.Bench</Manufacturer><SerialNo>%s</SerialNo></DeviceInfo>`+
				`<Key Id="%d" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp"><Issuer>Bench</Issuer>`+
				`<AlgorithmParameters><ResponseFormat Length="6" Encoding="DECIMAL"/></AlgorithmParameters>`+
				`<Data><Secret><PlainValue>%s</PlainValue></Secret><Counter><PlainValue>0</PlainValue></Counter></Data>%s</Key></KeyPackage>`+"\n",
				f.serial(), n, base64.StdEncoding.EncodeToString(f.seed()), userID)
		}
		fmt.Fprintln(w, `</KeyContainer>`)
	})
}

// writeUsers writes the same fobs as pam_oath's file, one a user.
func writeUsers(dir string, fobs int) (path string, err error) {
	path = filepath.Join(dir, fmt.Sprintf("users-%d.oath", fobs))
	return path, writeLines(path, func(w *bufio.Writer) {
		for n := range fobs {
			f := fob{n: n}
			fmt.Fprintf(w, "HOTP\tuser%d\t-\t%s\n", n, hex.EncodeToString(f.seed()))
		}
	})
}

func writeLines(path string, write func(*bufio.Writer)) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	w := bufio.NewWriter(f)
	write(w)
	if err := w.Flush(); err != nil {
		f.Close()
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return f.Close()
}
