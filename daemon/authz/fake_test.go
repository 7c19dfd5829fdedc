package authz_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/daemon/authz"
	"github.com/fobproject/fob/internal/testbus"
)

const (
	polkitName = "org.freedesktop.PolicyKit1"
	polkitPath = "/org/freedesktop/PolicyKit1/Authority"
	own        = "org.freedesktop.PolicyKit1.Authority"
)

// patience is how long a test waits for what must come; at once is how long for what needs nobody.
const (
	patience = 10 * time.Second
	atOnce   = time.Second
)

// me is the user as whom the tests' programs are on the bus.
func me() uint32 { return uint32(os.Getuid()) }

// polkit is an authority that hears each question raw and answers what it is told, or nothing. Its
// fields are read only.
type polkit struct {
	conn      *dbus.Conn
	asked     chan *dbus.Message // the calls of CheckAuthorization
	cancelled chan string        // the ids that CancelCheckAuthorization came with
}

// servePolkit puts an authority on the bus. A nil answer leaves the questions to the test.
func servePolkit(t testing.TB, address string, answer func(p *polkit, question *dbus.Message)) *polkit {
	t.Helper()
	p, err := newPolkit(address, answer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.conn.Close() })
	return p
}

func newPolkit(address string, answer func(p *polkit, question *dbus.Message)) (*polkit, error) {
	p := &polkit{asked: make(chan *dbus.Message, 1024), cancelled: make(chan string, 1024)}
	var err error
	p.conn, err = dbus.Connect(address, dbus.WithIncomingInterceptor(func(m *dbus.Message) {
		path, _ := m.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
		iface, _ := m.Headers[dbus.FieldInterface].Value().(string)
		if m.Type != dbus.TypeMethodCall || path != polkitPath || iface != own {
			return
		}
		m.Type = 0 // godbus drops it: it is answered here
		switch m.Headers[dbus.FieldMember].Value() {
		case "CheckAuthorization":
			p.asked <- m
			if answer != nil {
				answer(p, m)
			}
		case "CancelCheckAuthorization":
			p.cancelled <- m.Body[0].(string)
		}
	}))
	if err == nil {
		_, err = p.conn.RequestName(polkitName, 0)
	}
	return p, err
}

// reply answers a question with values of any type.
func (p *polkit) reply(question *dbus.Message, values ...any) {
	m := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: question.Headers[dbus.FieldSender],
		dbus.FieldReplySerial: dbus.MakeVariant(question.Serial()),
	}, Body: values}
	if len(values) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(values...))
	}
	p.conn.Send(m, nil)
}

// fail answers a question with an error.
func (p *polkit) fail(question *dbus.Message, name string) {
	p.conn.Send(&dbus.Message{Type: dbus.TypeError, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: question.Headers[dbus.FieldSender],
		dbus.FieldReplySerial: dbus.MakeVariant(question.Serial()),
		dbus.FieldErrorName:   dbus.MakeVariant(name),
		dbus.FieldSignature:   dbus.MakeVariant(dbus.ParseSignatureMust("s")),
	}, Body: []any{"said \x1b[31mpolkit\u202e"}}, nil)
}

// result is polkit's AuthorizationResult.
type result struct {
	Authorized, Challenge bool
	Details               map[string]string
}

var (
	yes       = result{Authorized: true, Details: map[string]string{}}
	no        = result{Details: map[string]string{}}
	dismissed = result{Details: map[string]string{"polkit.dismissed": "true"}}
	nobody    = result{Challenge: true, Details: map[string]string{"polkit.result": "auth_self"}}
)

// always answers every question with one value.
func always(v any) func(*polkit, *dbus.Message) {
	return func(p *polkit, question *dbus.Message) { p.reply(question, v) }
}

// next waits for what a channel must give.
func next[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// bench is a bus with a program on it that wants something, and Fob's view of polkit.
type bench struct {
	bus       *testbus.Bus
	authority *authz.Authority
	program   *dbus.Conn
	subject   string
}

func newBench(t *testing.T, o authz.Options) *bench {
	t.Helper()
	b := &bench{bus: testbus.New(t)}
	b.authority = open(t, b.bus.Address, o)
	b.program, b.subject = program(t, b.bus.Address)
	return b
}

// open gives an authority for which the test's own user is polkit's.
func open(t *testing.T, address string, o authz.Options) *authz.Authority {
	t.Helper()
	if o.Owners == nil {
		o.Owners = []uint32{uint32(os.Getuid())}
	}
	a := authz.Open(address, o)
	t.Cleanup(a.Close)
	return a
}

// program connects one more program to the bus.
func program(t *testing.T, address string) (*dbus.Conn, string) {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, conn.Names()[0]
}

// check asks for the first method's action.
func (b *bench) check(t *testing.T) error {
	t.Helper()
	return b.authority.Check(t.Context(), b.subject, me(), authz.ActionFirstMethod, nil)
}

// asPolkit is the argument with which a bus daemon starts the test's program as polkit.
const asPolkit = "as-polkit"

func TestMain(m *testing.M) {
	if len(os.Args) != 2 || os.Args[1] != asPolkit {
		os.Exit(m.Run())
	}
	p, err := newPolkit(os.Getenv("DBUS_STARTER_ADDRESS"), always(yes))
	if err != nil {
		os.Exit(1)
	}
	<-p.conn.Context().Done()
}

// mute gives the address of a bus that takes connections and never says a word.
func mute(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob-bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "unix:path=" + dir + "/bus"
}
