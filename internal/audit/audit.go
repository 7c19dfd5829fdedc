// Package audit keeps the log of decisions: a chain of entries, each of which holds the hash of the
// one before, and the receipts of approvals.
//
// # How to check the log
//
// Entries have the numbers 1, 2, 3, … An entry is kept as the text
//
//	{"hash":H,"entry":E}
//
// (in the store's envelope, {"v":1,"d":…}) where E is a JSON object and H is the SHA-256, in hexadecimal, of exactly the bytes of E as they
// stand there, from its "{" to its "}". E has "seq", the entry's number, and "prev", the H of the
// entry before, or 64 zeros in entry 1. So that no bytes depend on how JSON is written again, E is
// hashed as stored and never encoded anew.
//
// # Signatures
//
// Each commit signs its newest entry with the instance's Ed25519 key, so that every entry is covered
// by a signature at it or behind it, and there is never a tail without one. The bucket
// "audit-signatures" holds, under the entry's number, the signature of
//
//	"fob log v1" 00 instance id 00 number (8 bytes, big endian) H (32 bytes)
//
// The key is made with the first signature, which covers what is there already, and stands as plain
// bytes in the bucket "audit-key": the file is its owner's alone, and a sealed vault must not stop
// sign-ins. A signature thus shows that an entry is of this instance, to whom its public key is known.
//
// # Pruning
//
// Prune removes the oldest entries and leaves an anchor in their place: number, hash and time of the
// last one removed, and how many were. It is signed too, see Anchor; the first entry that is left
// has the anchor's hash as its "prev", so that the chain shows that nothing but a beginning was removed.
//
// # What is found
//
// The chain shows a change, a removal or an insertion anywhere before an entry whose hash is known.
// Whoever can write the file can read the key in it, and make all of it anew from the place of the
// change on, or cut whole commits off the end: that is found only with a head (number and hash)
// that was noted elsewhere; see Check. A signature that is missing where a later one stands is not
// missed: the later one covers the same entries.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/store"
)

// Bounds of an entry, in bytes. The log is written in the way of a sign-in and kept for ever.
const (
	MaxText    = 4 << 10  // of each text
	MaxReceipt = 64 << 10 // of all fields of a receipt together
	MaxListed  = 16       // texts in Tried, and in Vouched
	MaxItem    = 256      // of each of these
)

// ErrTooLarge is returned by Append for an entry beyond these bounds.
var ErrTooLarge = errors.New("the log entry is too large")

var errNotText = errors.New("cannot add to the log: a text is not UTF-8")

// Sum is a SHA-256. Its JSON is 64 hexadecimal digits.
type Sum [sha256.Size]byte

// MarshalText writes the sum in hexadecimal.
func (s Sum) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (s *Sum) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(s) {
		return fmt.Errorf("cannot read a SHA-256 of %d digits", len(b))
	}
	_, err := hex.Decode(s[:], b)
	return err
}

// Entry is one decision. Seq, Prev and Hash are Append's; all else is as the caller gave it.
type Entry struct {
	Seq  uint64 `json:"seq"`
	Prev Sum    `json:"prev"`
	// Hash is of the stored entry, which is without it.
	Hash         Sum       `json:"hash,omitzero"`
	Time         time.Time `json:"time"` // UTC
	Request      string    `json:"request"`
	Kind         string    `json:"kind"`
	Decision     string    `json:"decision"`
	UID          uint32    `json:"uid"` // whose request it was
	User         string    `json:"user"`
	Service      string    `json:"service"`
	CallerUID    uint32    `json:"caller_uid"`
	Place        string    `json:"place"`
	Require      string    `json:"require"`
	Strength     string    `json:"strength"`
	Method       string    `json:"method,omitempty"`
	MethodName   string    `json:"method_name,omitempty"`
	Origin       string    `json:"origin,omitempty"`
	Host         string    `json:"host,omitempty"`
	Executable   string    `json:"executable,omitempty"`
	CommandHash  string    `json:"command_sha256,omitempty"`
	SelfAsserted bool      `json:"self_asserted,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Tried        []string  `json:"tried,omitempty"`   // what was tried before the decision, in order; then what was offered and not used
	Grant        string    `json:"grant,omitempty"`   // id of the grant that was used or made
	SSHKey       string    `json:"ssh_key,omitempty"` // fingerprint of the key that began the session
	Vouched      []string  `json:"vouched,omitempty"` // names of the fields above that are vouched for, not only claimed
	Receipt      *Receipt  `json:"receipt,omitempty"`
}

// Receipt is the checkable record of a key's approval: Signature is over AuthData followed by the
// SHA-256 of ClientData (CTAP 2.1 §6.2.2). The bytes are those that the key and the daemon used.
type Receipt struct {
	RPID         string `json:"rp_id"`
	CredentialID []byte `json:"credential_id"`
	PublicKey    []byte `json:"public_key"` // COSE_Key, CBOR
	Algorithm    int    `json:"algorithm"`  // COSE algorithm identifier
	ClientData   []byte `json:"client_data"`
	AuthData     []byte `json:"auth_data"`
	Signature    []byte `json:"signature"`
}

// record is an entry as it is stored.
type record struct {
	Hash  Sum             `json:"hash"`
	Entry json.RawMessage `json:"entry"`
}

var records = store.NewBucket[record]("audit")

// Append adds e as the log's next entry and returns it with Seq, Prev and Hash set; the commit that tx
// becomes part of signs the newest entry. It fails with ErrTooLarge, or where the newest entry is damaged:
// then there is nothing to chain to.
func Append(tx *store.Tx, e Entry) (Entry, error) {
	if err := e.checkBounds(); err != nil {
		return Entry{}, err
	}
	e, err := add(tx, e)
	if err != nil {
		return Entry{}, fmt.Errorf("cannot add to the log: %w", err)
	}
	return e, nil
}

func add(tx *store.Tx, e Entry) (Entry, error) {
	seq, prev, err := Head(tx)
	if err != nil {
		return Entry{}, err
	}
	e.Seq, e.Prev, e.Hash = seq+1, prev, Sum{}
	e.Time = e.Time.UTC().Round(0) // without the monotonic clock
	raw, err := json.Marshal(e)
	if err != nil {
		return Entry{}, err
	}
	e.Hash = sha256.Sum256(raw)
	if err := records.Put(tx, seqKey(e.Seq), record{Hash: e.Hash, Entry: raw}); err != nil {
		return Entry{}, err
	}
	if err := index(tx, e); err != nil {
		return Entry{}, err
	}
	return e, tx.BeforeCommit(signing{}, sign)
}

// Get returns the entry with the number seq, or store.ErrNotFound.
func Get(tx *store.Tx, seq uint64) (Entry, error) {
	_, e, err := get(tx, seq)
	return e, err
}

// Head is the number and the hash of the newest entry; zero where the log is empty. The hash is that
// of the entry's bytes, whatever hash is stored beside them. It fails where the entry cannot be read.
func Head(tx *store.Tx) (seq uint64, hash [sha256.Size]byte, err error) {
	key, text, err := records.LastRaw(tx)
	if err != nil || key == nil {
		return 0, hash, err
	}
	if seq, err = keySeq(key); err != nil {
		return 0, hash, err
	}
	_, e, err := read(tx, seq, text)
	return seq, e.Hash, err
}

func (e Entry) checkBounds() error {
	for _, text := range [...]string{e.Request, e.Kind, e.Decision, e.User, e.Service, e.Place, e.Require, e.Strength,
		e.Method, e.MethodName, e.Origin, e.Host, e.Executable, e.CommandHash, e.Reason, e.Grant, e.SSHKey} {
		if len(text) > MaxText {
			return fmt.Errorf("%w: a text of %d bytes, %d are allowed", ErrTooLarge, len(text), MaxText)
		}
		// JSON would change the text, and the log would not say what was decided.
		if !utf8.ValidString(text) {
			return errNotText
		}
	}
	for _, texts := range [...][]string{e.Tried, e.Vouched} {
		if len(texts) > MaxListed {
			return fmt.Errorf("%w: a list of %d texts, %d are allowed", ErrTooLarge, len(texts), MaxListed)
		}
		for _, text := range texts {
			if len(text) > MaxItem {
				return fmt.Errorf("%w: a listed text of %d bytes, %d are allowed", ErrTooLarge, len(text), MaxItem)
			}
			if !utf8.ValidString(text) {
				return errNotText
			}
		}
	}
	if r := e.Receipt; r != nil {
		n := len(r.RPID) + len(r.CredentialID) + len(r.PublicKey) + len(r.ClientData) + len(r.AuthData) + len(r.Signature)
		if n > MaxReceipt {
			return fmt.Errorf("%w: a receipt of %d bytes, %d are allowed", ErrTooLarge, n, MaxReceipt)
		}
		if !utf8.ValidString(r.RPID) {
			return errNotText
		}
	}
	return nil
}
