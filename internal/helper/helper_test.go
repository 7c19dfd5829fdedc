package helper

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// childArg as the first argument makes this test binary a helper process.
const childArg = "be-a-helper"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == childArg {
		os.Exit(child(os.Args[2]))
	}
	os.Exit(m.Run())
}

// child is what the test binary does as a helper process.
func child(behaviour string) int {
	raw := func(s string) {
		var h [4]byte
		binary.BigEndian.PutUint32(h[:], uint32(len(s)))
		os.Stdout.Write(append(h[:], s...))
	}
	skip := func() { // reads the call
		if _, err := readFrame(os.Stdin); err != nil {
			os.Exit(9)
		}
	}
	switch behaviour {
	case "serve":
		if err := Harden(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := Serve(os.Stdin, os.Stdout, testHandlers()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "parent":
		return parent()
	case "exit-at-once":
		fmt.Fprintln(os.Stderr, "cannot load \x1b[31mlibfoo\x1b[0m")
		return 3
	case "crash":
		raw(`{"state":"ready"}`)
		skip()
		raw(`{"state":"begun"}`)
		panic("what the device sent was too much")
	case "crash-before-begun":
		raw(`{"state":"ready"}`)
		skip()
		return 4
	case "deaf":
		raw(`{"state":"ready"}`)
		time.Sleep(time.Hour)
	case "hang":
		raw(`{"state":"ready"}`)
		skip()
		raw(`{"state":"begun"}`)
		time.Sleep(time.Hour)
	case "hang-after-answer":
		raw(`{"state":"ready"}`)
		skip()
		raw(`{"state":"begun"}`)
		raw(`{"state":"done","result":"hung afterwards"}`)
		time.Sleep(time.Hour)
	case "garbage":
		raw(`{"state":"ready"}`)
		skip()
		raw("\x00\xff{]")
		time.Sleep(time.Hour)
	case "noise":
		fmt.Println("hello, this is not a message at all")
		time.Sleep(time.Hour)
	case "huge":
		raw(`{"state":"ready"}`)
		skip()
		os.Stdout.Write([]byte{0xff, 0xff, 0xff, 0xff})
		time.Sleep(time.Hour)
	case "half":
		raw(`{"state":"ready"}`)
		skip()
		os.Stdout.Write([]byte{0, 0, 0, 50, '{'})
	case "unknown-field":
		raw(`{"state":"ready"}`)
		skip()
		raw(`{"state":"done","result":1,"extra":2}`)
	case "no-begun":
		raw(`{"state":"ready"}`)
		raw(`{"state":"ready"}`)
		time.Sleep(time.Hour)
	case "writes-after-answer":
		raw(`{"state":"ready"}`)
		skip()
		raw(`{"state":"begun"}`)
		raw(`{"state":"done","result":"the answer"}`)
		for {
			if _, err := os.Stdout.Write(make([]byte, 4096)); err != nil {
				return 1
			}
		}
	case "watch":
		err := ServeWatch(os.Stdin, os.Stdout, func(ctx context.Context, tell func(any) error) error {
			for i := range 3 {
				if err := tell(i); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if err != nil || os.Args[3] != WatchArg {
			return 1
		}
	case "watch-too-much":
		err := ServeWatch(os.Stdin, os.Stdout, func(_ context.Context, tell func(any) error) error { return tell(make([]byte, maxNews)) })
		fmt.Fprintln(os.Stderr, err)
		return 7
	case "watch-stubborn":
		raw(`{"state":"ready"}`)
		for {
			raw(`{"state":"news","result":1}`)
		}
	case "watch-garbage":
		raw(`{"state":"ready"}`)
		raw(`{"state":"news","result":1}`)
		raw(`{"state":"news","re`)
		time.Sleep(time.Hour)
	case "watch-long":
		raw(`{"state":"ready"}`)
		raw(`{"state":"news","result":"` + strings.Repeat("x", maxNews) + `"}`)
		time.Sleep(time.Hour)
	case "watch-done":
		raw(`{"state":"ready"}`)
		raw(`{"state":"done","result":1}`)
		time.Sleep(time.Hour)
	case "watch-crash":
		raw(`{"state":"ready"}`)
		raw(`{"state":"news","result":1}`)
		return 5
	case "ignores-cancel":
		raw(`{"state":"ready"}`)
		skip()
		raw(`{"state":"begun"}`)
		skip()
		raw(`{"state":"done","result":"won the race"}`)
	default:
		return 8
	}
	return 0
}

// parent runs an operation that never ends, in a pool of its own, until it is killed itself. It
// prints the process ids of its helpers.
func parent() int {
	p := NewPool(Options{Path: os.Args[0], Args: []string{childArg, "serve"}})
	if err := p.Ready(context.Background()); err != nil {
		return 1
	}
	p.mu.Lock()
	first := p.spare.cmd.Process.Pid
	p.mu.Unlock()
	go p.Run(context.Background(), Call{Op: os.Args[3], Device: "key", Timeout: time.Hour}, nil)
	for {
		p.mu.Lock()
		second := p.spare
		p.mu.Unlock()
		if second != nil && second.cmd.Process.Pid != first {
			fmt.Println(first, second.cmd.Process.Pid)
			select {}
		}
		time.Sleep(time.Millisecond)
	}
}

type echo struct {
	Text string `json:"text"`
	PIN  []byte `json:"pin,omitempty"`
}

// testHandlers are the operations of the "serve" child.
func testHandlers() map[string]Handler {
	return map[string]Handler{
		"echo": Handle(func(_ context.Context, a echo) (echo, error) { return a, nil }),
		"pid":  Handle(func(context.Context, struct{}) (int, error) { return os.Getpid(), nil }),
		"wait": Handle(func(ctx context.Context, _ struct{}) (string, error) {
			<-ctx.Done()
			return "", &OpError{Code: 0x2d, Name: "FIDO_ERR_KEEPALIVE_CANCEL"}
		}),
		"stubborn": Handle(func(context.Context, struct{}) (string, error) { select {} }),
		"fail": Handle(func(context.Context, struct{}) (string, error) {
			return "", fmt.Errorf("cannot go on: %w", &OpError{Code: 0x31, Name: "FIDO_ERR_PIN_INVALID", Text: "a\x1b[31mb", Cause: "pin"})
		}),
		"plain": Handle(func(context.Context, struct{}) (string, error) { return "", errors.New("cannot go on") }),
		"large": Handle(func(context.Context, struct{}) ([]byte, error) { return make([]byte, MaxMessage), nil }),
		"look": Handle(func(context.Context, struct{}) (look, error) {
			return lookAround()
		}),
	}
}

// look is what a helper sees of its own process.
type look struct {
	Dir   string   `json:"dir"`
	Env   []string `json:"env"`
	Files []string `json:"files"`
	Group int      `json:"group"`
	PID   int      `json:"pid"`
	// Session is the process id of the session's leader.
	Session int  `json:"session"`
	Dumps   bool `json:"dumps"`
}

// call runs one operation on a child of its own and gives what came of it.
func call(t *testing.T, behaviour, op string, timeout time.Duration) (json.RawMessage, error) {
	t.Helper()
	p := pool(t, behaviour)
	var result json.RawMessage
	err := p.Run(t.Context(), Call{Op: op, Device: "Blue Key", Args: struct{}{}, Timeout: timeout}, &result)
	return result, err
}

func pool(t *testing.T, behaviour string) *Pool {
	t.Helper()
	p := NewPool(Options{Path: os.Args[0], Args: []string{childArg, behaviour}, Grace: 200 * time.Millisecond})
	t.Cleanup(func() { p.Close() })
	return p
}

func readLine(r io.Reader) (string, error) {
	var out []byte
	for b := make([]byte, 1); ; {
		if _, err := r.Read(b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			return string(out), nil
		}
		out = append(out, b[0])
	}
}
