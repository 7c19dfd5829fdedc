package libfido_test

import (
	"io"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/fido/libfido"
	"github.com/fobproject/fob/internal/helper"
	"github.com/fobproject/fob/internal/virtual"
)

// BenchmarkAssert compares one assertion, on a key that needs no human: in this process, in the spare
// helper, and in one that is started for it. 20 ms pass between taps.
func BenchmarkAssert(b *testing.B) {
	path := filepath.Join(b.TempDir(), "fob-helper")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/fobproject/fob/cmd/fob-helper").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	key, err := virtual.NewKey(virtual.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer key.Close()
	k := fido.Key{Name: "key", Path: key.Path()}
	pool := helper.NewPool(helper.Options{Path: path})
	defer pool.Close()
	d := fido.NewDevices(pool)
	at, err := d.Make(b.Context(), k, fido.MakeArgs{RPID: "fob:x", UserID: []byte{1}, UserName: "u", ClientDataHash: make([]byte, 32), Algorithm: fido.AlgES256}, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	args := fido.AssertArgs{RPID: "fob:x", ClientDataHash: make([]byte, 32),
		Allow: [][]byte{at.AuthData[55 : 55+int(at.AuthData[53])<<8+int(at.AuthData[54])]}}

	tap := func(f func() error) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				time.Sleep(20 * time.Millisecond)
				b.StartTimer()
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("in-process", tap(func() error {
		a := args
		a.Target = fido.Target{Path: k.Path, TimeoutMS: 60_000}
		_, err := libfido.Assert(b.Context(), a)
		return err
	}))
	b.Run("spare", tap(func() error {
		_, err := d.Assert(b.Context(), k, args, time.Minute)
		return err
	}))
	b.Run("start-to-exit", tap(func() error {
		cmd := exec.Command(path)
		cmd.Stdout = io.Discard
		return cmd.Run()
	}))
}
