package signin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/oath"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
	"github.com/fobproject/fob/internal/token"
)

// TestStepUpSlips: what is begun while a code is the strongest that there is does not get by with a code
// once a key was registered.
func TestStepUpSlips(t *testing.T) {
	for name, ask := range map[string]func(*desk) signin.Ask{
		"export": func(*desk) signin.Ask { return signin.Ask{Kind: signin.KindExportTokens} },
		"backup": func(*desk) signin.Ask { return signin.Ask{Kind: signin.KindBackup} },
		"accounts": func(d *desk) signin.Ask {
			d.shelve(signin.Account{ID: "a", Name: "me"})
			return signin.Ask{Kind: signin.KindExportAccounts}
		},
		"vault": func(*desk) signin.Ask {
			return signin.Ask{Kind: signin.KindChangeVault, Vault: signin.VaultAsk{Action: signin.SlotAdd, Type: "recovery"}}
		},
		"disable": func(*desk) signin.Ask {
			return signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "fob", Action: signin.TokenDisable, Force: true}}
		},
		"remove": func(d *desk) signin.Ask {
			return signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: d.methodOf("fob").ID, Force: true}}
		},
		"resync": func(d *desk) signin.Ask {
			return signin.Ask{Kind: signin.KindResync, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFakeKey("k1")
			sit(t, func(t *testing.T, d *desk) {
				f := d.carry("fob", oath.HOTP, nil)
				a := ask(d)
				a.Timeout = 5 * time.Minute
				r := d.ask(a)
				add := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "key", Name: "Key"}})
				d.types(add, f.press())
				d.touch(k)
				d.touch(k)
				d.wants(add, signin.Approved)
				d.types(r, f.press())
				if a.Kind == signin.KindResync {
					d.types(r, f.press())
				}
				if v := d.end(r); v.Decision == signin.Approved || !errors.Is(v.Err, signin.ErrMethodsChanged) {
					t.Errorf("it ended %s, %v", v.Decision, v.Err)
				}
				if y := r.Yield(); y.Tokens != nil || y.Accounts != nil || y.Backup != nil || y.RecoveryKey != nil {
					t.Error("it gave something away")
				}
			}, k)
		})
	}
}

// TestTimeOfATapIsSeen: the clock that a tap was given at does not go back for codes.
func TestTimeOfATapIsSeen(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		f := d.carry("fob", oath.TOTP, func(*signin.Request) { d.touch(k) })
		time.Sleep(24 * time.Hour)
		old := f.show() // read off the display, never typed
		time.Sleep(180 * 24 * time.Hour)
		r := d.ask(signin.Ask{})
		d.touch(k)
		d.wants(r, signin.Approved)
		d.mu.Lock()
		d.jump -= 180 * 24 * time.Hour
		d.mu.Unlock()
		if _, err := d.verify(old); err == nil {
			t.Error("an old code is accepted by a clock that went back")
		}
	}, k)
}

// TestHostileBackups: each would leave a state that nobody can use, nor replace.
func TestHostileBackups(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		d.buy("one", oath.HOTP)
		d.buy("two", oath.HOTP)
		r := d.ask(signin.Ask{Kind: signin.KindBackup})
		d.touch(k)
		d.wants(r, signin.Approved)
		b := r.Yield().Backup
		for name, change := range map[string]func(*signin.Backup, *desk){
			"seeds that were exchanged": func(b *signin.Backup, _ *desk) {
				var at []int
				for i, rec := range b.Records {
					if rec.Bucket == "token-seeds" {
						at = append(at, i)
					}
				}
				b.Records[at[0]].Value, b.Records[at[1]].Value = b.Records[at[1]].Value, b.Records[at[0]].Value
			},
			"another user's methods": func(_ *signin.Backup, d *desk) { d.config.Owner.UID++; d.me.UID++; d.rename("bob") },
			"a key that is none": func(b *signin.Backup, _ *desk) {
				for i, rec := range b.Records {
					if rec.Bucket == "methods" {
						b.Records[i].Value = []byte(strings.Replace(string(rec.Value), `"key":{`, `"keys":{`, 1))
					}
				}
			},
			"a log with a gap": func(b *signin.Backup, _ *desk) {
				for i, rec := range b.Records {
					if rec.Bucket == "audit" {
						b.Records = append(b.Records[:i], b.Records[i+1:]...)
						return
					}
				}
			},
			"a time that has not come": func(b *signin.Backup, _ *desk) { b.Made = b.Made.Add(time.Hour) },
		} {
			other := d.another(t)
			bad := copyOf(b)
			change(bad, other)
			if _, err := other.Restore(t.Context(), other.me, bad); err == nil {
				t.Errorf("%s: restored", name)
			}
			if s, err := other.Status(t.Context(), other.me); err != nil || s.Tokens+s.Methods != 0 {
				t.Errorf("%s: something was left: %+v, %v", name, s, err)
			}
		}
	}, k)
}

// TestRemovedMeanwhile: a token that went while a request is pending stands in nobody's way.
func TestRemovedMeanwhile(t *testing.T) {
	k := newFakeKey("k1")
	sit(t, func(t *testing.T, d *desk) {
		d.enrol(k, nil)
		f := d.carry("fob", oath.HOTP, func(*signin.Request) { d.touch(k) })
		r := d.ask(signin.Ask{Timeout: 5 * time.Minute})
		<-k.blinks
		gone := d.ask(signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: d.methodOf("fob").ID}})
		synctest.Wait()
		if err := d.Pick(d.me, gone.ID()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(gone, signin.Approved)
		d.types(r, f.press())
		if err := d.Pick(d.me, r.ID()); err != nil {
			t.Fatal(err)
		}
		d.touch(k)
		d.wants(r, signin.Approved)
	}, k)
}

// TestLastUsableMethodAtOnce: what is left must be able to approve something, also where two requests
// were each checked before the other was approved.
func TestLastUsableMethodAtOnce(t *testing.T) {
	for name, second := range map[string]func(*desk) signin.Ask{
		"disable, then remove": func(d *desk) signin.Ask {
			return signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: d.methodOf("other").ID}}
		},
		"disable both": func(*desk) signin.Ask {
			return signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "other", Action: signin.TokenDisable}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			sit(t, func(t *testing.T, d *desk) {
				f := d.carry("fob", oath.HOTP, nil)
				g := d.carry("other", oath.HOTP, func(r *signin.Request) { d.types(r, f.press()) })
				one := d.ask(signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "fob", Action: signin.TokenDisable}})
				two := d.ask(second(d))
				d.types(one, g.press())
				d.wants(one, signin.Approved)
				d.types(two, g.press())
				if d.end(two).Decision != signin.Approved {
					return
				}
				_, err := d.Begin(t.Context(), d.me, signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "fob", Action: signin.TokenEnable}})
				t.Errorf("no method is left that works, although nothing was forced; enabling one again: %v", err)
			})
		})
	}
}

// TestDenyDuringStepUp: a denial while the code, or the tap, of a step-up is written ends the request.
func TestDenyDuringStepUp(t *testing.T) {
	for _, by := range []string{"code", "tap"} {
		t.Run(by, func(t *testing.T) {
			k := newFakeKey("k1")
			sit(t, func(t *testing.T, d *desk) {
				var f *fob
				if by == "tap" {
					d.enrol(k, nil)
				} else {
					f = d.carry("fob", oath.HOTP, nil)
				}
				d.buy("mine", oath.HOTP)
				r := d.ask(signin.Ask{Kind: signin.KindAddMethod, Method: signin.MethodAsk{Type: "token", Serial: "mine"}})
				synctest.Wait()
				release, held := make(chan struct{}), make(chan struct{})
				go d.config.Store.Update(context.Background(), func(*store.Tx) error { close(held); <-release; return nil })
				<-held
				if by == "tap" {
					d.touch(k)
				} else {
					d.types(r, f.press())
				}
				synctest.Wait()
				denied := make(chan error, 1)
				go func() { denied <- d.Deny(d.me, r.ID()) }()
				synctest.Wait()
				close(release)
				err := <-denied
				time.Sleep(time.Second)
				if v := r.View(); v.Pending() {
					t.Errorf("the denial got %q, and the request goes on: %s", err, v.Progress)
				}
			}, k)
		})
	}
}

// TestNothingUsableIsLeft: methods of which none is of any use any more would have to approve their own
// replacement.
func TestNothingUsableIsLeft(t *testing.T) {
	disable := func(d *desk, f *fob, force bool) (signin.View, error) {
		ask := signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: f.serial, Action: signin.TokenDisable, Force: force}}
		r, err := d.Begin(d.t.Context(), d.me, ask)
		if err != nil {
			return signin.View{}, err
		}
		d.types(r, f.press())
		return d.wants(r, signin.Approved), nil
	}
	sit(t, func(t *testing.T, d *desk) {
		first := d.carry("first", oath.HOTP, nil)
		second := d.carry("second", oath.HOTP, func(r *signin.Request) { d.types(r, first.press()) })
		if _, err := disable(d, first, false); err != nil {
			t.Fatal(err)
		}
		if _, err := disable(d, second, false); !errors.Is(err, method.ErrLast) {
			t.Fatalf("the last usable one is disabled: %v", err)
		}
		if _, err := disable(d, second, true); err != nil {
			t.Fatal(err)
		}
		if ms, err := d.Methods(t.Context(), d.me, ""); err != nil || len(ms) != 0 {
			t.Errorf("methods left: %+v, %v", ms, err)
		}
		gone := 0
		for _, e := range d.log() {
			if strings.Contains(e.Reason, "went too") {
				gone++
			}
		}
		if gone != 2 {
			t.Errorf("the log tells of %d methods that went", gone)
		}
		for _, f := range []*fob{first, second} { // they stay what they are, and can be had back
			r := d.ask(signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: f.serial, Action: signin.TokenEnable}})
			d.wants(r, signin.Approved)
		}
		d.activate(second, nil)
	})
}

// TestRemovedTokenIsForgotten: only what accepted no code may be, or it would accept it again.
func TestRemovedTokenIsForgotten(t *testing.T) {
	sit(t, func(t *testing.T, d *desk) {
		remove := signin.Ask{Kind: signin.KindChangeToken, Token: signin.TokenAsk{Serial: "fob", Action: signin.TokenRemove}}
		f := d.buy("fob", oath.HOTP)
		d.wants(d.ask(remove), signin.Approved)
		if _, err := d.Token(t.Context(), d.me, "fob"); !errors.Is(err, token.ErrNotFound) {
			t.Errorf("after it was removed: %v", err)
		}
		row := f.row()
		row.User = "alice"
		d.imports(signin.ImportOptions{}, row)
		m := d.activate(f, nil)
		if _, err := d.Begin(t.Context(), d.me, remove); !errors.Is(err, token.ErrActive) {
			t.Errorf("a sign-in method is removed: %v", err)
		}
		r := d.ask(signin.Ask{Kind: signin.KindRemoveMethod, Method: signin.MethodAsk{ID: m.ID, Force: true}})
		d.types(r, f.press())
		d.wants(r, signin.Approved)
		if _, err := d.Begin(t.Context(), d.me, remove); !errors.Is(err, token.ErrUsed) {
			t.Errorf("a used one is removed: %v", err)
		}
	})
}
