package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/fobproject/fob/internal/api"
)

// bareCall is what is sent to the bare server, and bareAnswer what it answers: as large as a sign-in by
// a code.
var (
	bareCall   = api.BeginRequest{Service: service, Code: api.Secret("123456")}
	bareAnswer = api.RequestState{
		ID: "0123456789", Kind: api.KindSignIn, User: "somebody", Service: "app:1000:bench", Place: "local",
		Require: "code", Decision: api.Approved, Strength: "code", SelfAsserted: true, LogSeq: 1000,
	}
)

// The calls of the bare server beside "/", which commits: a bare round trip, and a refusal as fobd words it.
const (
	bareTrip   = "/trip"
	bareRefuse = "/v1/requests"
)

// bareRefusal is as large as what a flood gets from fobd.
const bareRefusal = `{"error":{"code":"too_fast","message":"too many requests in a short time: wait a second"}}` + "\n"

// serveBare is net/http on the socket bare.sock of a folder: "/" makes one synced commit of bbolt's a call.
// Beside it echo.sock sends back what it gets.
func serveBare(args []string) error {
	if len(args) != 1 {
		return errRole
	}
	dir := args[0]
	raw, err := openRaw(filepath.Join(dir, "bare.db"), codeSize)
	if err != nil {
		return err
	}
	l, err := listenForAll(filepath.Join(dir, "bare.sock"))
	if err != nil {
		return errors.Join(err, raw.db.Close())
	}
	echo, err := listenForAll(filepath.Join(dir, "echo.sock"))
	if err != nil {
		return errors.Join(err, l.Close(), raw.db.Close())
	}
	server := http.Server{Handler: bareHandler(raw)}
	go serveEcho(echo)
	go func() {
		untilStdinEnds()
		_ = echo.Close()
		_ = server.Close()
	}()
	fmt.Println("ready")
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, raw.db.Close())
	}
	return raw.db.Close()
}

func bareHandler(raw *rawStore) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var call api.BeginRequest
		err := json.NewDecoder(r.Body).Decode(&call)
		if err == nil && r.URL.Path == "/" {
			err = raw.commit()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == bareRefuse {
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, bareRefusal) // the client may have left
			return
		}
		b, _ := json.Marshal(bareAnswer) // package api's types always marshal
		_, _ = w.Write(b)
	}
}

// serveEcho sends back what comes in, until l is closed.
func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // reads and writes, no splice(2)
			_ = c.Close()
		}()
	}
}

// listenForAll makes a socket that every user can connect to, as far as its folder lets them.
func listenForAll(path string) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// letIn lets every user through a folder and the one above it, which are the benchmark's.
func letIn(dir string) error {
	return errors.Join(os.Chmod(filepath.Dir(dir), 0o711), os.Chmod(dir, 0o711))
}

// bare is the bare server with a client.
type bare struct {
	*child
	http *http.Client
}

func startBare(ctx context.Context, o options, dir string) (*bare, error) {
	c, err := startChild(ctx, o, "bare", dir)
	if err != nil {
		return nil, err
	}
	return &bare{c, clientOf(filepath.Join(dir, "bare.sock"))}, nil
}

// call is one round trip.
func (b *bare) call(ctx context.Context) error {
	_, err := post(ctx, b.http, "http://bare/", bareCall)
	return err
}

// clientOf is net/http's client on a Unix socket.
func clientOf(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

// post asks a server for a state.
func post(ctx context.Context, c *http.Client, url string, call api.BeginRequest) (answer api.RequestState, err error) {
	body, err := json.Marshal(call)
	if err != nil {
		return answer, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	if err == nil {
		err = json.Unmarshal(b, &answer)
	}
	return answer, err
}
