package daemon_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/testbus"
	contract "github.com/fobproject/fob/packaging/dbus"
)

// program is a program on the bus that asks Fob.
type program struct {
	conn    *dbus.Conn
	object  dbus.BusObject
	signals chan *dbus.Message // all that reaches it, in order
}

func newProgram(t *testing.T, bus *testbus.Bus) *program {
	t.Helper()
	p := &program{signals: make(chan *dbus.Message, 100)}
	conn, err := dbus.Connect(bus.Address, dbus.WithIncomingInterceptor(func(m *dbus.Message) { p.signals <- m }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p.conn, p.object = conn, conn.Object(contract.Name, contract.Path)
	return p
}

func (p *program) verify(t *testing.T, details map[string]dbus.Variant) string {
	t.Helper()
	return p.verifyFor(t, "mailer", details)
}

func (p *program) verifyFor(t *testing.T, service string, details map[string]dbus.Variant) string {
	t.Helper()
	var id, number string
	if err := p.object.Call(contract.Interface+".Verify", 0, "", service, details).Store(&id, &number); err != nil {
		t.Fatal(err)
	}
	return id
}

// next gives the next signal of Fob's.
func (p *program) next(t *testing.T) (member string, body []any) {
	t.Helper()
	for {
		select {
		case m := <-p.signals:
			if m.Type == dbus.TypeSignal && m.Headers[dbus.FieldInterface].Value() == contract.Interface {
				return m.Headers[dbus.FieldMember].Value().(string), m.Body
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no signal came")
		}
	}
}

// decided waits for the decision, and gives it with its details.
func (p *program) decided(t *testing.T, id string) (decision, strength string, details map[string]dbus.Variant) {
	t.Helper()
	for {
		member, body := p.next(t)
		if body[0] != id {
			t.Fatalf("%s is about %v, not %s", member, body[0], id)
		}
		if member == "Decided" {
			return body[1].(string), body[2].(string), body[3].(map[string]dbus.Variant)
		}
	}
}

func TestBus(t *testing.T) {
	bus := testbus.New(t)
	i := start(t, bus.Address)
	i.enrol(t)
	none := map[string]dbus.Variant{}

	t.Run("a tap approves a sign-in, which its program alone hears of, after the reply", func(t *testing.T) {
		p, other := newProgram(t, bus), newProgram(t, bus)
		if err := other.conn.AddMatchSignal(dbus.WithMatchInterface(contract.Interface)); err != nil {
			t.Fatal(err)
		}
		id := p.verify(t, map[string]dbus.Variant{"origin": dbus.MakeVariant("here"), "timeout_ms": dbus.MakeVariant(uint32(20000))})
		i.tap(t)
		var kinds []dbus.Type
		for {
			m := <-p.signals
			kinds = append(kinds, m.Type)
			if m.Type == dbus.TypeSignal && m.Headers[dbus.FieldMember].Value() == "Decided" {
				if m.Body[0] != id || m.Body[1] != api.Approved || m.Body[2] != "key" {
					t.Fatalf("got %v", m.Body)
				}
				break
			}
		}
		reply := slices.Index(kinds[2:], dbus.TypeMethodReply) // after Hello's reply and NameAcquired
		if first := slices.Index(kinds[2:], dbus.TypeSignal); reply < 0 || first < reply {
			t.Errorf("a signal came before the reply: %v", kinds)
		}
		var receipt map[string]dbus.Variant
		if err := p.object.Call(contract.Interface+".Receipt", 0, id).Store(&receipt); err != nil {
			t.Fatal(err)
		}
		text := func(k string) string { s, _ := receipt[k].Value().(string); return s }
		raw := func(k string) []byte { b, _ := receipt[k].Value().([]byte); return b }
		algorithm, _ := receipt["algorithm"].Value().(int32)
		entry := api.LogEntry{
			Request: text("request"), Kind: text("kind"), Decision: text("decision"), User: text("user"), Service: text("service"),
			Require: text("require"), Strength: text("strength"), Place: text("place"), Origin: "here",
			Receipt: &api.Receipt{
				RPID: text("rp_id"), CredentialID: raw("credential_id"), PublicKey: raw("public_key"), Algorithm: int(algorithm),
				ClientData: raw("client_data"), AuthData: raw("auth_data"), Signature: raw("signature"),
			},
		}
		if page, err := i.Receipts(limit(t), id); err == nil && len(page.Entries) == 1 {
			entry.Hash, entry.Prev, entry.Seq, entry.Time = page.Entries[0].Hash, page.Entries[0].Prev, page.Entries[0].Seq, page.Entries[0].Time
			entry.CallerUID, entry.Host = page.Entries[0].CallerUID, page.Entries[0].Host
		} else {
			t.Fatal(page, err)
		}
		if _, err := client.CheckReceipt(entry); err != nil {
			t.Error(err)
		}
		if err := other.object.Call("org.freedesktop.DBus.Peer.Ping", 0).Err; err != nil {
			t.Fatal(err)
		}
		for len(other.signals) > 0 {
			if m := <-other.signals; m.Headers[dbus.FieldInterface].Value() == contract.Interface {
				t.Errorf("another program heard %v", m.Body)
			}
		}
	})
	t.Run("leaving the bus cancels, and the key stops blinking", func(t *testing.T) {
		p := newProgram(t, bus)
		id := p.verify(t, none)
		i.waiting(t)
		_ = p.conn.Close()
		if e := i.decided(t, id); e.Decision != api.Cancelled {
			t.Errorf("got %+v", e)
		}
		if err := i.key.WaitIdle(limit(t)); err != nil {
			t.Error("the key blinks on")
		}
	})
	t.Run("only who began a request cancels it over the bus", func(t *testing.T) {
		p, other := newProgram(t, bus), newProgram(t, bus)
		id := p.verify(t, none)
		err := other.object.Call(contract.Interface+".Cancel", 0, id).Err
		if e, ok := err.(dbus.Error); !ok || e.Name != contract.Interface+".Error.NotFound" {
			t.Errorf("another program's cancel got %v", err)
		}
		i.waiting(t)
		if err := p.object.Call(contract.Interface+".Cancel", 0, id).Err; err != nil {
			t.Error(err)
		}
		if d, strength, _ := p.decided(t, id); d != api.Cancelled || strength != "" {
			t.Errorf("got %s %s", d, strength)
		}
	})
	t.Run("a denial at the socket is heard on the bus", func(t *testing.T) {
		p := newProgram(t, bus)
		id := p.verifyFor(t, "denied", none)
		i.waiting(t)
		if err := i.Deny(limit(t), id); err != nil {
			t.Fatal(err)
		}
		if d, _, _ := p.decided(t, id); d != api.Denied {
			t.Errorf("got %s", d)
		}
	})
	t.Run("pam: is root's", func(t *testing.T) {
		if os.Getuid() == 0 {
			return // root may
		}
		p := newProgram(t, bus)
		err := p.object.Call(contract.Interface+".Verify", 0, "", "pam:sudo", none).Err
		if e, ok := err.(dbus.Error); !ok || e.Name != contract.Interface+".Error.Forbidden" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a shutdown is told", func(t *testing.T) {
		p := newProgram(t, bus)
		id := p.verify(t, none)
		i.waiting(t)
		i.stop()
		d, _, details := p.decided(t, id)
		if d != api.Cancelled || details["error"].Value() != contract.Interface+".Error.ShuttingDown" {
			t.Errorf("got %s %v", d, details)
		}
	})
}
