package recovery_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/recovery"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/store/storetest"
)

// desk is a database at a time that the test sets.
type desk struct{ *storetest.Desk }

func open(t *testing.T) *desk { t.Helper(); return &desk{storetest.Open(t)} }

func (d *desk) make(uid uint32, random io.Reader) (codes []*secret.Secret) {
	d.T.Helper()
	d.Write(func(tx *store.Tx) (err error) {
		codes, err = recovery.Make(tx, uid, random, d.Now.Wall)
		return err
	})
	if len(codes) != recovery.Count {
		d.T.Fatalf("%d codes are made", len(codes))
	}
	return codes
}

func (d *desk) spend(uid uint32, code *secret.Secret) (left int, err error) {
	err = d.Update(d.T.Context(), func(tx *store.Tx) (err error) {
		left, err = recovery.Spend(tx, uid, code, d.Now.Wall)
		return err
	})
	return left, err
}

func (d *desk) left(uid uint32) (n int) {
	d.T.Helper()
	if err := d.View(func(tx *store.Tx) (err error) {
		n, err = recovery.Left(tx, uid)
		return err
	}); err != nil {
		d.T.Fatal(err)
	}
	return n
}

func TestSpend(t *testing.T) {
	t.Run("takes each code once, in any order", func(t *testing.T) {
		d := open(t)
		codes := d.make(1000, rand.Reader)
		for n, i := range []int{9, 0, 4, 1, 2, 3, 5, 6, 7, 8} {
			if left, err := d.spend(1000, codes[i]); err != nil || left != 9-n || d.left(1000) != left {
				t.Errorf("code %d: %d are left, %v", i+1, left, err)
			}
			if _, err := d.spend(1000, codes[i]); !errors.Is(err, recovery.ErrUsed) || d.left(1000) != 9-n {
				t.Errorf("code %d once more: %v", i+1, err)
			}
		}
	})
	t.Run("rejects a code that was already used, whatever the clock says", func(t *testing.T) {
		d := open(t)
		codes := d.make(1000, rand.Reader)
		for _, now := range []time.Time{{}, d.Now.Wall.AddDate(-9, 0, 0), d.Now.Wall, d.Now.Wall.AddDate(9, 0, 0)} {
			d.Now.Wall = now
			_, err := d.spend(1000, codes[3])
			if want := recovery.ErrUsed; now.IsZero() != (err == nil) || err != nil && !errors.Is(err, want) {
				t.Errorf("at %v: %v", now, err)
			}
		}
	})
	t.Run("a hundred at once who have one code are one", func(t *testing.T) {
		d := open(t)
		code := d.make(1000, rand.Reader)[0]
		var wait sync.WaitGroup
		outcomes := make(chan error, 100)
		for range 100 {
			wait.Go(func() {
				_, err := d.spend(1000, code)
				outcomes <- err
			})
		}
		wait.Wait()
		close(outcomes)
		accepted := 0
		for err := range outcomes {
			if err == nil {
				accepted++
			} else if !errors.Is(err, recovery.ErrUsed) {
				t.Error(err)
			}
		}
		if accepted != 1 || d.left(1000) != 9 {
			t.Errorf("%d are accepted, and %d are left", accepted, d.left(1000))
		}
	})
	t.Run("takes a code as people type it", func(t *testing.T) {
		d := open(t)
		code := d.make(1000, rand.Reader)[0]
		if _, err := d.spend(1000, word(" "+strings.ToUpper(strings.ReplaceAll(string(code.Reveal()), "-", " ")))); err != nil {
			t.Error(err)
		}
	})
	t.Run("rejects other codes", func(t *testing.T) {
		d := open(t)
		former := d.make(1000, rand.Reader)
		hers := d.make(1001, rand.Reader)
		if _, err := d.spend(1000, former[1]); err != nil {
			t.Fatal(err)
		}
		codes := d.make(1000, rand.Reader)
		for name, tt := range map[string]struct {
			uid  uint32
			code *secret.Secret
			want error
		}{
			"another user's":                    {1000, hers[0], recovery.ErrWrong},
			"one of a former set":               {1000, former[0], recovery.ErrWrong},
			"one of a former set that was used": {1000, former[1], recovery.ErrWrong},
			"a made-up one":                     {1000, word("0000-0000-0000-0000"), recovery.ErrWrong},
			"any, of a user without codes":      {7, codes[0], recovery.ErrWrong},
			"something else":                    {1000, word("123456"), recovery.ErrMalformed},
		} {
			if left, err := d.spend(tt.uid, tt.code); !errors.Is(err, tt.want) || left != 0 {
				t.Errorf("%s: %d, %v", name, left, err)
			}
		}
		if d.left(1000) != 10 || d.left(1001) != 10 || d.left(7) != 0 {
			t.Errorf("%d, %d and %d are left", d.left(1000), d.left(1001), d.left(7))
		}
	})
	t.Run("rejects a code whose hash begins as another's does", func(t *testing.T) {
		d := open(t)
		code := d.make(1000, rand.Reader)[0]
		type record struct {
			Hash   []byte `json:"hash"`
			Number int    `json:"number"`
		}
		kept := store.NewBucket[record]("recovery-codes")
		for name, change := range map[string]func([]byte) []byte{
			"but ends otherwise": func(h []byte) []byte { h[31] ^= 1; return h },
			"and ends there":     func(h []byte) []byte { return h[:4] },
			"and goes on":        func(h []byte) []byte { return append(h, 0) },
			"and is gone":        func([]byte) []byte { return nil },
		} {
			err := d.Update(t.Context(), func(tx *store.Tx) error {
				for item, err := range kept.All(tx, nil) {
					if err != nil {
						return err
					}
					item.Value.Hash = change(item.Value.Hash)
					if err := kept.Put(tx, item.Key, item.Value); err != nil {
						return err
					}
				}
				_, err := recovery.Spend(tx, 1000, code, d.Now.Wall)
				return err // rolls the change back
			})
			if !errors.Is(err, recovery.ErrWrong) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("goes on where another code cannot be read", func(t *testing.T) {
		d := open(t)
		codes := d.make(1000, rand.Reader)
		d.Write(func(tx *store.Tx) error {
			return store.NewBucket[any]("recovery-codes").Put(tx, []byte{0, 0, 3, 0xe8, 0, 0, 0, 0}, "nonsense")
		})
		if left, err := d.spend(1000, codes[0]); err != nil || left != 9 {
			t.Errorf("%d are left, %v", left, err)
		}
		d.make(1000, rand.Reader)
		if d.left(1000) != 10 {
			t.Errorf("%d new ones", d.left(1000))
		}
	})
}

func TestDamageShowsNoHash(t *testing.T) {
	d := open(t)
	code := d.make(1000, rand.Reader)[0]
	var hashes []string
	d.Write(func(tx *store.Tx) error {
		kept := store.NewBucket[any]("recovery-codes")
		for item, err := range kept.All(tx, nil) {
			if err != nil {
				return err
			}
			hashes = append(hashes, hex.EncodeToString(item.Key[4:]))
			if err := kept.Put(tx, item.Key, "nonsense"); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := d.spend(1000, code)
	if !errors.Is(err, store.ErrDamaged) || d.left(1000) != 0 {
		t.Fatalf("got %v", err)
	}
	for _, hash := range hashes {
		if strings.Contains(err.Error(), hash) {
			t.Errorf("it shows %s: %v", hash, err)
		}
	}
}

func TestMake(t *testing.T) {
	t.Run("draws again where two codes would be found in one place", func(t *testing.T) {
		d := open(t)
		twice := bytes.Repeat([]byte{7}, 20)
		if codes := d.make(1000, io.MultiReader(bytes.NewReader(twice), rand.Reader)); d.left(1000) != 10 || bytes.Equal(codes[0].Reveal(), codes[1].Reveal()) {
			t.Error("the two are one")
		}
	})
	for name, random := range map[string]io.Reader{
		"repeats itself": repeating{},
		"dries up":       bytes.NewReader([]byte("it lasts for three codes, no longer")),
		"fails":          failing{},
	} {
		t.Run("leaves the former codes where the source "+name, func(t *testing.T) {
			d := open(t)
			former := d.make(1000, rand.Reader)
			var codes []*secret.Secret
			err := d.Update(t.Context(), func(tx *store.Tx) (err error) {
				codes, err = recovery.Make(tx, 1000, random, d.Now.Wall)
				return err
			})
			if err == nil || codes != nil {
				t.Errorf("got %d codes, %v", len(codes), err)
			}
			if _, err := d.spend(1000, former[0]); err != nil {
				t.Error(err)
			}
		})
	}
}

type repeating struct{}

func (repeating) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

func TestDrop(t *testing.T) {
	d := open(t)
	mine, hers := d.make(1000, rand.Reader), d.make(1001, rand.Reader)
	d.Write(func(tx *store.Tx) error { return recovery.Drop(tx, 1000) })
	if _, err := d.spend(1000, mine[0]); !errors.Is(err, recovery.ErrWrong) || d.left(1000) != 0 || d.left(1001) != 10 {
		t.Errorf("a code that was dropped: %v", err)
	}
	issued := d.issue(time.Hour)
	d.Write(func(tx *store.Tx) error {
		n, err := recovery.Clear(tx)
		if n != 11 {
			t.Errorf("%d codes are cleared", n)
		}
		return err
	})
	if _, err := d.spend(1001, hers[0]); !errors.Is(err, recovery.ErrWrong) {
		t.Errorf("a recovery code, all cleared: %v", err)
	}
	if err := d.check("alice", issued); !errors.Is(err, recovery.ErrWrong) {
		t.Errorf("a one-time code, all cleared: %v", err)
	}
}

func TestNothingShowsACode(t *testing.T) {
	d := open(t)
	codes := d.make(1000, rand.Reader)
	codes = append(codes, d.issue(time.Hour))
	var shown strings.Builder
	for i, code := range codes {
		fmt.Fprintf(&shown, "%v %+v %s\n", code, code, code)
		for range 2 {
			_, err := d.spend(1000, code)
			fmt.Fprintf(&shown, "%+v %v %v\n", err, d.check("alice", code), d.check("bob", code))
		}
		if i == 5 { // one that cannot be read
			d.Write(func(tx *store.Tx) error {
				return store.NewBucket[any]("one-time-codes").Put(tx, []byte{0, 0, 3, 0xe9}, "nonsense")
			})
		}
	}
	d.Write(func(tx *store.Tx) error {
		issued, there, err := recovery.IssuedTo(tx, 1000, d.Now)
		fmt.Fprintf(&shown, "%+v %t %v\n", issued, there, err)
		return nil
	})
	file, err := os.ReadFile(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		for _, text := range [][]byte{code.Reveal(), bytes.ReplaceAll(code.Reveal(), []byte("-"), nil)} {
			for form, s := range map[string]string{"as it is": string(text), "in hexadecimal": hex.EncodeToString(text)} {
				if strings.Contains(shown.String(), s) || bytes.Contains(file, []byte(s)) {
					t.Errorf("a code shows %s", form)
				}
			}
		}
	}
}
