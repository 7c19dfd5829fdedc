package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
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

// serveBare is a process of its own: net/http on a Unix socket, with one synced commit of bbolt's a
// call. It ends with its standard input.
func serveBare(dir string) error {
	raw, err := openRaw(filepath.Join(dir, "bare.db"), codeSize)
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", filepath.Join(dir, "bare.sock"))
	if err != nil {
		return errors.Join(err, raw.db.Close())
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call api.BeginRequest
		err := json.NewDecoder(r.Body).Decode(&call)
		if err == nil {
			err = raw.commit()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		b, _ := json.Marshal(bareAnswer) // package api's types always marshal
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b) // the client may have left
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	fmt.Println("ready")
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, raw.db.Close())
	}
	return raw.db.Close()
}

// bare is the bare server with a client.
type bare struct {
	cmd  *exec.Cmd
	in   io.Closer
	http *http.Client
}

func startBare(ctx context.Context, dir string) (*bare, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot start the server of the limit: %w", err)
	}
	b := &bare{cmd: exec.CommandContext(ctx, self, "-bare", dir)}
	b.cmd.Stderr = os.Stderr
	in, err := b.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot start the server of the limit: %w", err)
	}
	b.in = in
	out, err := b.cmd.StdoutPipe()
	if err == nil {
		err = b.cmd.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start the server of the limit: %w", err)
	}
	b.http = clientOf(filepath.Join(dir, "bare.sock"))
	return b, nil
}

func (b *bare) stop() error { return errors.Join(b.in.Close(), b.cmd.Wait()) }

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
