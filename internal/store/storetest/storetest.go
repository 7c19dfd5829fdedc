// Package storetest gives the tests of a domain package a database, at a time that they set.
package storetest

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
)

// Desk is a database and the moment at which it is used. Whatever fails fails the test.
type Desk struct {
	*store.Store
	T    *testing.T
	Path string
	Now  clock.Moment
}

// Noon is when a desk begins.
var Noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Open makes an empty database, which is closed with the test, an hour into a boot.
func Open(t *testing.T) *Desk {
	t.Helper()
	d := &Desk{T: t, Path: filepath.Join(t.TempDir(), "fob.db")}
	d.Now = clock.Moment{Wall: Noon, Boot: time.Hour, BootID: "one"}
	d.open()
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func (d *Desk) open() {
	d.T.Helper()
	var err error
	if d.Store, err = store.Open(d.Path, store.Options{}); err != nil {
		d.T.Fatal(err)
	}
}

// Reopen closes the database and opens it again, as a restart does.
func (d *Desk) Reopen() {
	d.T.Helper()
	if err := d.Close(); err != nil {
		d.T.Fatal(err)
	}
	d.open()
}

// Pass lets time pass on both clocks.
func (d *Desk) Pass(by time.Duration) {
	d.Now.Wall, d.Now.Boot = d.Now.Wall.Add(by), d.Now.Boot+by
}

// Reboot starts the machine anew, with its clock so much further on.
func (d *Desk) Reboot(wall time.Duration) {
	d.Now = clock.Moment{Wall: d.Now.Wall.Add(wall), Boot: time.Second, BootID: "two"}
}

// Write runs fn in a transaction of its own.
func (d *Desk) Write(fn func(*store.Tx) error) {
	d.T.Helper()
	if err := d.Update(d.T.Context(), fn); err != nil {
		d.T.Fatal(err)
	}
}
