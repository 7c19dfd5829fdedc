package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/fobproject/fob/internal/store"
)

// sample is the bytes of a database with branches, leaves, long values, free pages and two buckets.
func sample(t testing.TB, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fob.db")
	s, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			for i := range n {
				if err := things.Put(tx, fmt.Appendf(nil, "%06d", i), thing{N: round, Name: strings.Repeat("x", i%300)}); err != nil {
					return err
				}
			}
			if err := numbers.Put(tx, []byte("inline"), round); err != nil {
				return err
			}
			return blobs.Put(tx, []byte("long"), make([]byte, 9000))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDamaged(t *testing.T) {
	good := sample(t, 500)
	page := os.Getpagesize()
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"an empty file", func([]byte) []byte { return nil }},
		{"one byte", func(b []byte) []byte { return b[:1] }},
		{"half a meta page", func(b []byte) []byte { return b[:40] }},
		{"one page", func(b []byte) []byte { return b[:page] }},
		{"one page and a half", func(b []byte) []byte { return b[:page+page/2] }},
		{"two pages", func(b []byte) []byte { return b[:2*page] }},
		{"half the file", func(b []byte) []byte { return b[:len(b)/2] }},
		{"a tail of zeros", func(b []byte) []byte { clear(b[len(b)/4:]); return b }},
		{"zeros", func(b []byte) []byte { clear(b); return b }},
		{"text", func([]byte) []byte { return bytes.Repeat([]byte("not a database\n"), 5000) }},
		{"a first meta page of zeros", func(b []byte) []byte { clear(b[:page]); return b }},
		{"a second meta page of zeros", func(b []byte) []byte { clear(b[page : 2*page]); return b }},
		{"both meta pages of zeros", func(b []byte) []byte { clear(b[:2*page]); return b }},
		{"a flipped bit in the first meta page", func(b []byte) []byte { b[16+48] ^= 1; return b }},
		{"a flipped bit in the second meta page", func(b []byte) []byte { b[page+16+48] ^= 1; return b }},
		{"a flipped bit in both meta pages", func(b []byte) []byte { b[16+32] ^= 1; b[page+16+32] ^= 1; return b }},
		{"another byte order", func(b []byte) []byte { b[16], b[17], b[18], b[19] = b[19], b[18], b[17], b[16]; return b }},
		{"a page size of 0", meta(8, 0)},
		{"a page size of 3", meta(8, 3)},
		{"a huge page size", meta(8, 1<<31)},
		{"a root beyond the end", meta(16, 1<<20)},
		{"a root that is a meta page", meta(16, 0)},
		{"a free list beyond the end", meta(32, 1<<20)},
		{"no free list", meta(32, 1<<64-1)},
		{"more pages than the file has", meta(40, 1<<40)},
		{"fewer pages than there are", meta(40, 5)},
	} {
		t.Run("reports "+c.name+" and leaves it alone", func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "fob.db")
			bad := c.damage(bytes.Clone(good))
			backup := path + ".backup-v1-20260101T000000Z"
			for name, content := range map[string][]byte{path: bad, backup: nil} {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := store.Open(path, store.Options{})
			if !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("got %v", err)
			}
			for _, want := range []string{path + ":", "move it away", "the sign-in methods and the log", backup} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not said in: %v", want, err)
				}
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, bad) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}

	t.Run("survives a flipped byte anywhere", func(t *testing.T) {
		small := sample(t, 60)
		for at := 0; at < len(small); at += 307 {
			bad := bytes.Clone(small)
			bad[at] ^= 0xff
			openAndUse(t, bad)
		}
	})
	t.Run("survives a page in another's place", func(t *testing.T) {
		small := sample(t, 60)
		n := len(small) / page
		for from := 0; from < n; from += 3 {
			for to := range n {
				bad := bytes.Clone(small)
				copy(bad[to*page:(to+1)*page], small[from*page:(from+1)*page])
				openAndUse(t, bad)
				// The same with its own number, so that it looks right from above.
				if to > 1 {
					binary.NativeEndian.PutUint64(bad[to*page:], uint64(to))
					openAndUse(t, bad)
				}
			}
		}
	})
	t.Run("names the bucket and the key of a value that cannot be read", func(t *testing.T) {
		s := fresh(t)
		for _, bad := range []any{"text", []int{1}} {
			err := s.Update(t.Context(), func(tx *store.Tx) error {
				return store.NewBucket[any]("things").Put(tx, []byte{0xab, 1}, bad)
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = get(s, "\xab\x01")
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "things at ab01") {
				t.Error(err)
			}
		}
	})
	t.Run("reports bbolt's files that are not Fob's", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(path, store.Options{}); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "not one of Fob's") {
			t.Error(err)
		}
	})
	t.Run("goes on with errors when the file is cut short while it is open", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fob.db")
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		err := s.View(func(tx *store.Tx) error {
			if err := os.Truncate(path, 0); err != nil {
				return err
			}
			_, err := things.Get(tx, []byte("000100"))
			return err
		})
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("the open View gave %v", err)
		}
		if _, err := get(s, "000100"); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("View gave %v", err)
		}
		if err := put(s, "a", 1); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("Update gave %v", err)
		}
	})
	t.Run("says what a directory, a missing directory and a closed door are", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := store.Open(dir, store.Options{}); err == nil {
			t.Error("opened a directory")
		}
		if _, err := store.Open(filepath.Join(dir, "none", "fob.db"), store.Options{}); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
}

// meta sets a field of both meta pages and mends their checksums: 4 bytes at 8, else 8.
func meta(offset int, value uint64) func([]byte) []byte {
	return func(b []byte) []byte {
		for at := 0; at <= os.Getpagesize(); at += os.Getpagesize() {
			m := b[at+16:]
			if offset == 8 {
				binary.NativeEndian.PutUint32(m[offset:], uint32(value))
			} else {
				binary.NativeEndian.PutUint64(m[offset:], value)
			}
			mend(m)
		}
		return b
	}
}

func mend(m []byte) {
	sum := fnv.New64a()
	sum.Write(m[:56])
	binary.NativeEndian.PutUint64(m[56:], sum.Sum64())
}

// openAndUse opens a file that may be bad. If it is taken for good, it is read whole and written.
// Nothing but an error may come of it.
func openAndUse(t testing.TB, b []byte) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fob-store") // no disk: these are many
	if err != nil {
		dir = t.TempDir()
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "fob.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(path, store.Options{})
	if err != nil {
		if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNewer) {
			t.Fatalf("got %v", err)
		}
		return
	}
	err = s.View(func(tx *store.Tx) error {
		for _, err := range things.All(tx, nil) {
			if err != nil && !errors.Is(err, store.ErrDamaged) {
				return err
			}
		}
		for _, err := range blobs.Backward(tx, nil) {
			if err != nil && !errors.Is(err, store.ErrDamaged) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("reading what was opened: %v", err)
	}
	if err := put(s, "000030", 1); err != nil {
		t.Fatalf("writing what was opened: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzOpen changes bytes of a good database, and mends the checksums of the meta pages so that what
// lies behind them is reached.
func FuzzOpen(f *testing.F) {
	good := sample(f, 60)
	f.Add([]byte{}, uint32(0), true)
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint32(16+16), true)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint32(3*os.Getpagesize()+16), false)
	f.Add([]byte{3, 0, 0, 0, 0, 0, 0, 0, 1, 0}, uint32(3*os.Getpagesize()), false)
	f.Add([]byte{0x10, 0, 0xff, 0xff}, uint32(2*os.Getpagesize()+8), false)
	f.Fuzz(func(t *testing.T, patch []byte, at uint32, sums bool) {
		b := bytes.Clone(good)
		copy(b[int(at)%len(b):], patch)
		if sums {
			mend(b[16:])
			mend(b[os.Getpagesize()+16:])
		}
		openAndUse(t, b)
	})
}
