package throttle_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fobproject/fob/internal/clock"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/throttle"
)

func TestAgain(t *testing.T) {
	s, err := store.Open(t.TempDir()+"/fob.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := throttle.Who{UID: 1000, Service: "pam:sshd", Origin: "192.0.2.1"}
	start := clock.Moment{Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Boot: time.Hour, BootID: "a"}
	at := func(after time.Duration) clock.Moment {
		return clock.Moment{Wall: start.Wall.Add(after), Boot: start.Boot + after, BootID: "a"}
	}
	check := func(after time.Duration) (err error) {
		_ = s.View(func(tx *store.Tx) error { err = throttle.Check(tx, w, true, at(after)); return nil })
		return err
	}
	again := func(after time.Duration) {
		if err := s.Update(t.Context(), func(tx *store.Tx) error { return throttle.Again(tx, w, at(after)) }); err != nil {
			t.Fatal(err)
		}
	}
	again(0)
	if err := check(0); err != nil {
		t.Errorf("asking again where nothing was denied begins a wait: %v", err)
	}
	if err := s.Update(t.Context(), func(tx *store.Tx) error { _, err := throttle.Denied(tx, w, at(0)); return err }); err != nil {
		t.Fatal(err)
	}
	again(20 * time.Second)
	if err := check(45 * time.Second); !errors.Is(err, throttle.ErrWaiting) {
		t.Errorf("asking again during the wait does not prolong it: %v", err)
	}
	if err := check(51 * time.Second); err != nil {
		t.Errorf("asking again makes the wait longer than it was: %v", err)
	}
	again(55 * time.Second)
	if err := check(55 * time.Second); err != nil {
		t.Errorf("asking after the wait begins another: %v", err)
	}
}
