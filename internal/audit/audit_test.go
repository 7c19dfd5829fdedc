package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/store"
)

func fresh(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "fob.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func update(t testing.TB, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s *store.Store, fn func(*store.Tx) error) {
	t.Helper()
	if err := s.View(fn); err != nil {
		t.Fatal(err)
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))

// full is an entry with every field set.
func full(request string, uid uint32) audit.Entry {
	return audit.Entry{
		Time: noon, Request: request, Kind: "sign-in", Decision: "approved", UID: uid, User: "anna",
		Service: "app:1000:mailer", CallerUID: uid, Place: "local", Require: "key", Strength: "verified",
		Method: "m1", MethodName: "blue <key> & \u2028", Origin: "192.0.2.7", Host: "desk", Executable: "/usr/bin/mailer",
		CommandHash: strings.Repeat("ab", 32), SelfAsserted: true, Reason: "tapped",
		Tried: []string{"code: wrong", "key \"blue\": no touch"}, Grant: "g1", SSHKey: "SHA256:abc+/", Vouched: []string{"place", "host"},
		Receipt: &audit.Receipt{RPID: "fob:00", CredentialID: []byte{1, 2}, PublicKey: []byte{0xa5}, Algorithm: -7,
			ClientData: []byte("{\"type\": \"fob.approve.v1\"}"), AuthData: bytes.Repeat([]byte{9}, 37), Signature: []byte{0x30, 0xff}},
	}
}

// fill appends n entries, alternately of two users and of n/2 requests.
func fill(t testing.TB, s *store.Store, n int) (entries []audit.Entry) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		entries = nil
		for i := range n {
			e, err := audit.Append(tx, full(fmt.Sprintf("r%d", i/2), uint32(1000+i%2)))
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
		return nil
	})
	return entries
}

func TestAppend(t *testing.T) {
	s := fresh(t)
	view(t, s, func(tx *store.Tx) error {
		if seq, hash, err := audit.Head(tx); seq != 0 || hash != [32]byte{} || err != nil {
			t.Errorf("the head of an empty log is %d %x, %v", seq, hash, err)
		}
		return verifyTx(tx)
	})
	entries := fill(t, s, 5)

	t.Run("numbers from 1 and chains from zero", func(t *testing.T) {
		var prev audit.Sum
		for i, e := range entries {
			if e.Seq != uint64(i+1) || e.Prev != prev || e.Hash == (audit.Sum{}) {
				t.Errorf("entry %d has seq %d, prev %x, hash %x", i+1, e.Seq, e.Prev, e.Hash)
			}
			prev = e.Hash
		}
	})
	t.Run("gives back every field and the receipt's bytes", func(t *testing.T) {
		for _, e := range entries {
			view(t, s, func(tx *store.Tx) error {
				got, err := audit.Get(tx, e.Seq)
				if !reflect.DeepEqual(got, e) {
					t.Errorf("got\n%+v, want\n%+v", got, e)
				}
				return err
			})
		}
		want := full("r0", 1000)
		want.Time = noon.UTC()
		got := entries[0]
		got.Seq, got.Prev, got.Hash = 0, audit.Sum{}, audit.Sum{}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v, want\n%+v", got, want)
		}
	})
	t.Run("hashes the stored bytes as the documentation says", func(t *testing.T) {
		raws := store.NewBucket[struct {
			Hash  string          `json:"hash"`
			Entry json.RawMessage `json:"entry"`
		}]("audit")
		view(t, s, func(tx *store.Tx) error {
			raw, err := raws.Get(tx, key(2))
			if sum := fmt.Sprintf("%x", sha256.Sum256(raw.Entry)); sum != raw.Hash || sum != fmt.Sprintf("%x", entries[1].Hash) {
				t.Errorf("SHA-256 of the bytes is %s, stored %s, returned %x", sum, raw.Hash, entries[1].Hash)
			}
			var own struct{ Prev string }
			if err := json.Unmarshal(raw.Entry, &own); err != nil || own.Prev != fmt.Sprintf("%x", entries[0].Hash) {
				t.Errorf("prev is %s, %v", own.Prev, err)
			}
			return err
		})
	})
	t.Run("refuses what is too large or not text, and adds nothing", func(t *testing.T) {
		long, latin, fat, odd := full("x", 1), full("x", 1), full("x", 1), full("x", 1)
		long.Origin = strings.Repeat("o", audit.MaxText+1)
		latin.User = "andr\xe9"
		fat.Receipt.ClientData = make([]byte, audit.MaxReceipt)
		odd.Receipt.RPID = "\xff"
		many, wide, listed := full("x", 1), full("x", 1), full("x", 1)
		many.Tried = make([]string, audit.MaxListed+1)
		wide.Vouched = []string{strings.Repeat("v", audit.MaxItem+1)}
		listed.Tried = []string{"\xff"}
		for _, e := range []audit.Entry{long, latin, fat, odd, many, wide, listed} {
			err := s.Update(t.Context(), func(tx *store.Tx) error {
				_, err := audit.Append(tx, e)
				return err
			})
			if err == nil {
				t.Error("accepted")
			}
			text := e.User != latin.User && e.Receipt.RPID != odd.Receipt.RPID && (len(e.Tried) == 0 || e.Tried[0] != "\xff")
			if text != errors.Is(err, audit.ErrTooLarge) {
				t.Error(err)
			}
		}
		view(t, s, func(tx *store.Tx) error {
			if seq, _, _ := audit.Head(tx); seq != 5 {
				t.Errorf("the head is %d", seq)
			}
			return verifyTx(tx)
		})
	})
	t.Run("takes the largest texts and receipts", func(t *testing.T) {
		s := fresh(t)
		e := full(strings.Repeat("r", audit.MaxText), 1)
		e.Reason = strings.Repeat("<", audit.MaxText)
		e.Receipt = &audit.Receipt{AuthData: bytes.Repeat([]byte{0xff}, audit.MaxReceipt)}
		update(t, s, func(tx *store.Tx) error { _, err := audit.Append(tx, e); return err })
		view(t, s, func(tx *store.Tx) error {
			p, err := audit.List(tx, audit.Query{Request: e.Request})
			got := p.Entries
			if len(got) != 1 || got[0].Reason != e.Reason || len(got[0].Receipt.AuthData) != audit.MaxReceipt {
				t.Error("it is not what was put in")
			}
			return errors.Join(err, verifyTx(tx))
		})
	})
	t.Run("knows no entry that is not there", func(t *testing.T) {
		view(t, s, func(tx *store.Tx) error {
			for _, seq := range []uint64{0, 6, 1 << 63} {
				if _, err := audit.Get(tx, seq); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("entry %d: %v", seq, err)
				}
			}
			return nil
		})
	})
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func TestList(t *testing.T) {
	s := fresh(t)
	fill(t, s, 10) // requests r0 r0 r1 r1 … r4 r4, users 1000 1001 1000 …
	uid, other := uint32(1000), uint32(7)
	for _, c := range []struct {
		name string
		q    audit.Query
		want string
	}{
		{"all", audit.Query{}, "1 2 3 4 5 6 7 8 9 10"},
		{"the first ones", audit.Query{Limit: 3}, "1 2 3 and more"},
		{"the next ones", audit.Query{Limit: 3, After: 3}, "4 5 6 and more"},
		{"the rest", audit.Query{Limit: 3, After: 7}, "8 9 10"},
		{"after the end", audit.Query{After: 10}, ""},
		{"after any number", audit.Query{After: ^uint64(0)}, ""},
		{"the newest", audit.Query{Limit: 3, Newest: true}, "8 9 10 and more"},
		{"the newest after one", audit.Query{Limit: 3, Newest: true, After: 8}, "9 10"},
		{"the newest, all of them", audit.Query{Limit: 10, Newest: true}, "1 2 3 4 5 6 7 8 9 10"},
		{"a request's", audit.Query{Request: "r1"}, "3 4"},
		{"a request's newest", audit.Query{Request: "r1", Newest: true, Limit: 1}, "4 and more"},
		{"a request's later", audit.Query{Request: "r1", After: 3}, "4"},
		{"an unknown request's", audit.Query{Request: "r"}, ""},
		{"a user's", audit.Query{UID: &uid}, "1 3 5 7 9"},
		{"a user's, by pages", audit.Query{UID: &uid, After: 3, Limit: 2}, "5 7 and more"},
		{"a user's newest", audit.Query{UID: &uid, Newest: true, Limit: 2}, "7 9 and more"},
		{"a user's newest after one", audit.Query{UID: &uid, Newest: true, After: 6}, "7 9"},
		{"an unknown user's", audit.Query{UID: &other}, ""},
		{"a user's within a request", audit.Query{UID: &uid, Request: "r2"}, "5"},
		{"another user's request", audit.Query{UID: &other, Request: "r2"}, ""},
	} {
		t.Run("lists "+c.name, func(t *testing.T) {
			view(t, s, func(tx *store.Tx) error {
				p, err := audit.List(tx, c.q)
				var got []string
				for _, e := range p.Entries {
					got = append(got, fmt.Sprint(e.Seq))
				}
				if p.More {
					got = append(got, "and more")
				}
				if g := strings.Join(got, " "); g != c.want {
					t.Errorf("got %q, want %q", g, c.want)
				}
				return err
			})
		})
	}
	t.Run("returns 100 unless told, and never more than 1000", func(t *testing.T) {
		fill(t, s, 1100)
		view(t, s, func(tx *store.Tx) error {
			for limit, want := range map[int]int{0: 100, -1: 100, 5000: 1000} {
				p, err := audit.List(tx, audit.Query{Limit: limit})
				if len(p.Entries) != want || !p.More || p.Next != uint64(want) || err != nil {
					t.Errorf("limit %d gave %d, %v, %d, %v", limit, len(p.Entries), p.More, p.Next, err)
				}
			}
			return nil
		})
	})
}
