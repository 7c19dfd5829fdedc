package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/fobproject/fob/internal/store"
)

// get reads the entry with the number seq, as read does, or fails with store.ErrNotFound.
func get(tx *store.Tx, seq uint64) (stored Sum, e Entry, err error) {
	key := seqKey(seq)
	for at, text := range records.Raw(tx, key) {
		if string(at) == string(key) {
			return read(tx, seq, text)
		}
		break
	}
	_, err = records.Get(tx, key)
	return Sum{}, Entry{}, err
}

// read reads what is stored under the number seq, whose text is given: the hash that stands there, and
// the entry with the hash of its bytes. It does not look at the chain. Its errors wrap store.ErrDamaged.
func read(tx *store.Tx, seq uint64, text []byte) (stored Sum, e Entry, err error) {
	stored, own, ok := split(text)
	if !ok || !e.scan(own) {
		r, err := records.Get(tx, seqKey(seq))
		if err != nil {
			return Sum{}, Entry{}, err
		}
		e = Entry{}
		if err := json.Unmarshal(r.Entry, &e); err != nil {
			return Sum{}, Entry{}, fmt.Errorf("%w: log entry %d: %w", store.ErrDamaged, seq, err)
		}
		stored, own = r.Hash, r.Entry
	}
	if e.Seq != seq {
		return Sum{}, Entry{}, fmt.Errorf("%w: log entry %d says that it is entry %d", store.ErrDamaged, seq, e.Seq)
	}
	e.Hash = sha256.Sum256(own)
	return stored, e, nil
}

// How a record's text begins, goes on after its hash, and ends, as Append writes it.
var (
	recordBegin = []byte(`{"v":1,"d":{"hash":`)
	recordEntry = []byte(`,"entry":`)
	recordEnd   = []byte(`}}`)
)

// split finds hash and entry in a record's text. ok is false where the text has another form, which may
// still be right. That the entry is JSON is for others to see.
func split(text []byte) (hash Sum, own []byte, ok bool) {
	rest, ok := bytes.CutPrefix(text, recordBegin)
	if !ok || len(rest) < hexSum || !scanSum(rest[:hexSum], &hash) {
		return hash, nil, false
	}
	rest, ok = bytes.CutPrefix(rest[hexSum:], recordEntry)
	if !ok {
		return hash, nil, false
	}
	own, ok = bytes.CutSuffix(rest, recordEnd)
	return hash, own, ok
}
