package socketapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkCall is one call of the door, with a body to check, beside a bare HTTP server that does
// nothing on the same kind of socket.
func BenchmarkCall(b *testing.B) {
	const body = `{"service":"mailer","claimed":{"origin":"10.0.0.1"},"timeout_ms":5000}`
	call := func(b *testing.B, c *http.Client) {
		b.ReportAllocs()
		for b.Loop() {
			answer, err := c.Post("http://fob/v1/requests", "application/json", strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	}
	b.Run("door", func(b *testing.B) { call(b, serve(b).client) })
	b.Run("bare", func(b *testing.B) {
		path := filepath.Join(shortDir(b), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			b.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusNotFound)
		})}
		go func() { _ = server.Serve(l) }()
		defer server.Close()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}
		defer transport.CloseIdleConnections()
		call(b, &http.Client{Transport: transport})
	})
}
