package main

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"filippo.io/age"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// cheap is a recipient that is quick to open, for tests alone.
func cheap(t testing.TB, phrase string) *age.ScryptRecipient {
	t.Helper()
	r, err := age.NewScryptRecipient(phrase)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(1)
	return r
}

func yields(lines ...api.Yield) iter.Seq2[api.Yield, error] {
	return func(yield func(api.Yield, error) bool) {
		for _, l := range lines {
			if !yield(l, nil) {
				return
			}
		}
	}
}

func headOf(records int) api.Yield {
	return api.Yield{Backup: &api.BackupHead{Format: 1, Instance: "i1", DataKey: bytes.Repeat([]byte{7}, 32), Records: records}}
}

func recordOf(key string) api.Yield {
	return api.Yield{Record: &api.BackupRecord{Bucket: "b", Key: []byte(key), Value: []byte("value")}}
}

func TestWriteBackup(t *testing.T) {
	t.Run("wipes the key once it is written", func(t *testing.T) {
		head := headOf(0)
		var out bytes.Buffer
		if _, err := writeBackup(&out, cheap(t, "phrase"), yields(head)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(head.Backup.DataKey, make([]byte, 32)) {
			t.Error("the key is still there")
		}
	})
	for name, lines := range map[string][]api.Yield{
		"refuses nothing at all":              {},
		"refuses records without a head":      {recordOf("a")},
		"refuses fewer records than promised": {headOf(2), recordOf("a")},
		"refuses more records than promised":  {headOf(1), recordOf("a"), recordOf("b")},
		"refuses two heads":                   {headOf(0), headOf(0)},
		"refuses a token":                     {headOf(1), {Token: &api.TokenSeed{}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := writeBackup(io.Discard, cheap(t, "phrase"), yields(lines...)); !errors.Is(err, client.ErrBadAnswer) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRestore gives back a backup that was damaged in every way that a byte can be: the daemon never
// hears that it is whole.
func TestRestore(t *testing.T) {
	var committed atomic.Int32 // bodies that said that they are whole
	dir, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "commit") {
			committed.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"methods":1,"tokens":2}`)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	c, err := client.New(client.Default(filepath.Join(dir, "s")))
	if err != nil {
		t.Fatal(err)
	}
	give := func(t *testing.T, file []byte, phrase string) (api.Restored, error) {
		t.Helper()
		lines, err := openBackup(bytes.NewReader(file), []byte(phrase))
		if err != nil {
			return api.Restored{}, err
		}
		return restore(t.Context(), c, lines)
	}
	var file bytes.Buffer
	if _, err := writeBackup(&file, cheap(t, "phrase"), yields(headOf(2), recordOf("a"), recordOf("b"))); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()

	t.Run("restores what is whole", func(t *testing.T) {
		if got, err := give(t, whole, "phrase"); err != nil || got.Methods != 1 || got.Tokens != 2 || committed.Load() != 1 {
			t.Errorf("got %+v, %v; %d committed", got, err, committed.Load())
		}
	})
	t.Run("knows a wrong passphrase", func(t *testing.T) {
		if _, err := give(t, whole, "other"); err != errBackupWrongPhrase {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuses a file that is cut anywhere, changed anywhere, or goes on", func(t *testing.T) {
		damaged := [][]byte{append(slices.Clone(whole), 'x')}
		for i := range whole {
			changed := slices.Clone(whole)
			changed[i] ^= 1
			damaged = append(damaged, whole[:i], changed)
		}
		for i, file := range damaged {
			_, err := give(t, file, "phrase")
			if _, ok := errors.AsType[*backupError](err); !ok {
				t.Errorf("file %d: got %v", i, err)
			}
		}
	})
	for name, text := range map[string]string{
		"refuses an empty one":       "",
		"refuses other text":         "no JSON\n",
		"refuses an unknown field":   `{"backup":{"format":1,"records":0,"more":1}}` + "\n" + `{"end":true}` + "\n",
		"refuses another format":     `{"backup":{"format":2,"records":0}}` + "\n" + `{"end":true}` + "\n",
		"refuses one without an end": `{"backup":{"format":1,"records":0}}` + "\n",
		"refuses a missing record":   `{"backup":{"format":1,"records":1}}` + "\n" + `{"end":true}` + "\n",
		"refuses what follows":       `{"backup":{"format":1,"records":0}}` + "\n" + `{"end":true}` + "\n" + `{"end":true}` + "\n",
		"refuses an endless line":    `{"backup":{"format":1,"records":1}}` + "\n" + strings.Repeat(" ", 2*maxBackupLine),
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			w, err := age.Encrypt(&file, cheap(t, "phrase"))
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, text)
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			_, err = give(t, file.Bytes(), "phrase")
			if _, ok := errors.AsType[*backupError](err); !ok {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("refuses a file that asks for too much", func(t *testing.T) {
		greedy := bytes.Replace(whole, []byte(" 1\n"), []byte(" 30\n"), 1)
		if _, err := openBackup(bytes.NewReader(greedy), []byte("phrase")); err == nil {
			t.Error("it was opened")
		}
	})
	s.Close()
	if n := committed.Load(); n != 1 {
		t.Errorf("%d were committed, and one was whole", n)
	}
}
