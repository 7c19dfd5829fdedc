package account

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// ErrMigration is wrapped by the errors of a part of Google Authenticator's export. They have nothing of it in them.
var ErrMigration = errors.New("cannot read the export of Google Authenticator")

const (
	maxMigration = 64 << 10 // bytes of a link
	maxParts     = 256
	maxVersion   = 2 // of the format
)

// Batch is one part of an export: one QR code.
type Batch struct {
	ID       int32 // the export's
	Index    int   // from 0
	Size     int   // how many parts the export has, 1 to 256
	Accounts []Account
	Skipped  []Skipped
}

// Wipe clears the accounts' seeds.
func (b *Batch) Wipe() { wipeAll(b.Accounts) }

// ParseMigration reads a part of Google Authenticator's export (“Transfer accounts”), which is a protobuf message in
// Base64:
//
//	otpauth-migration://offline?data=BASE64
//
// Its errors wrap ErrMigration.
func ParseMigration(text []byte) (Batch, error) {
	b, err := readMigration(text)
	if err != nil {
		b.Wipe()
		return Batch{}, fmt.Errorf("%w: %w", ErrMigration, err)
	}
	return b, nil
}

func readMigration(text []byte) (b Batch, err error) {
	text = trim(text)
	if len(text) > maxMigration {
		return b, errors.New("it is longer than a QR code can be: scan one QR code at a time")
	}
	rest, ok := cutPrefixFold(text, "otpauth-migration://")
	if !ok {
		return b, errors.New("it is none, which begins with otpauth-migration://: copy the whole link")
	}
	path, query, _ := bytes.Cut(rest, []byte("?"))
	if !equalFold(bytes.TrimSuffix(path, []byte("/")), "offline") {
		return b, errors.New("it is of a kind that is not known: export the accounts as QR codes")
	}
	message, err := migrationData(query)
	if err != nil {
		return b, err
	}
	defer clear(message)
	return readBatch(message)
}

// migrationData is the message in a link. The caller wipes it.
func migrationData(query []byte) ([]byte, error) {
	var data []byte
	defer func() { clear(data) }()
	for pair := range bytes.SplitSeq(query, []byte("&")) {
		key, value, _ := bytes.Cut(pair, []byte("="))
		if !equalFold(key, "data") {
			continue
		}
		if data != nil {
			return nil, errors.New("it has its data twice: scan the QR code again")
		}
		var ok bool
		if data, ok = unescape(value, false); !ok {
			return nil, errWire
		}
	}
	// What decoded the link before may have made spaces of “+”, and Base64 for links has two other characters.
	for i, c := range data {
		switch c {
		case ' ', '-':
			data[i] = '+'
		case '_':
			data[i] = '/'
		}
	}
	bare := bytes.TrimRight(data, "=")
	if len(bare) == 0 {
		return nil, errors.New("it has no data: scan the QR code again")
	}
	message := make([]byte, base64.RawStdEncoding.DecodedLen(len(bare)))
	n, err := base64.RawStdEncoding.Decode(message, bare)
	if err != nil {
		clear(message)
		return nil, errWire
	}
	return message[:n], nil
}

// readBatch reads MigrationPayload:
//
//	repeated OtpParameters otp_parameters = 1;
//	int32 version = 2; int32 batch_size = 3; int32 batch_index = 4; int32 batch_id = 5;
func readBatch(message []byte) (b Batch, err error) {
	var out found
	defer func() { b.Accounts, b.Skipped = out.accounts, out.skipped }()
	var version, size, index uint64
	for f, err := range fields(message) {
		if err != nil {
			return b, err
		}
		want := uint64(wireVarint)
		switch f.number {
		case 1:
			want = wireBytes
			if f.wire == want {
				a, reason, err := readParameters(f.bytes)
				if err != nil {
					a.Wipe()
					return b, err
				}
				out.put(a, reason)
			}
		case 2:
			version = f.value
		case 3:
			size = f.value
		case 4:
			index = f.value
		case 5:
			b.ID = int32(uint32(f.value))
		default:
			continue
		}
		if f.wire != want {
			return b, errWire
		}
	}
	// Some programs leave size and index of an export with a single part out, or count from 1.
	if size <= 1 {
		size, index = 1, 0
	}
	switch {
	case version > maxVersion:
		return b, errors.New("it was made by a newer one than is known here: update Fob")
	case size > maxParts || index >= size:
		return b, errWire
	case len(out.accounts)+len(out.skipped) == 0:
		return b, errors.New("there is no account in it: export again, and choose some")
	}
	b.Size, b.Index = int(size), int(index)
	return b, nil
}

// readParameters reads OtpParameters, or tells why the account cannot be taken:
//
//	bytes secret = 1; string name = 2; string issuer = 3; Algorithm algorithm = 4;
//	DigitCount digits = 5; OtpType type = 6; int64 counter = 7;
func readParameters(message []byte) (a Account, reason string, err error) {
	a = Account{Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: defaultDigits, Period: defaultPeriod}
	var seed, name, issuer []byte
	var algorithm, digits, kind uint64
	for f, err := range fields(message) {
		if err != nil {
			return a, "", err
		}
		want := uint64(wireVarint)
		switch f.number {
		case 1:
			seed, want = f.bytes, wireBytes
		case 2:
			name, want = f.bytes, wireBytes
		case 3:
			issuer, want = f.bytes, wireBytes
		case 4:
			algorithm = f.value
		case 5:
			digits = f.value
		case 6:
			kind = f.value
		case 7:
			a.Counter = f.value
		default:
			continue
		}
		if f.wire != want {
			return a, "", errWire
		}
	}
	fault := a.readLabel(string(name), string(issuer))
	// 0 is what does not say. Digits are numbered, and some programs write how many there are.
	switch kind {
	case 0, 2:
	case 1:
		a.Kind = provision.HOTP
	default:
		a.Kind = ""
	}
	switch algorithm {
	case 0, 1:
	case 2:
		a.Algorithm = provision.SHA256
	case 3:
		a.Algorithm = provision.SHA512
	default: // 4 is MD5
		a.Algorithm = ""
	}
	switch digits {
	case 0, 1:
	case 2:
		a.Digits = 8
	case 3:
		a.Digits = 7
	default:
		a.Digits = int(min(digits, math.MaxInt32))
	}
	if none := seedFault(len(seed)); none != "" {
		return a, none, nil
	}
	a.Seed = secret.New(bytes.Clone(seed))
	return a, fault, nil
}
