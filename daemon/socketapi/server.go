// Package socketapi is the Unix-socket door: HTTP/1.1 with JSON under /v1/, and streams of JSON lines.
//
// A caller is who the kernel says it is when the connection is accepted. Each route declares who may
// use it; one that declares nothing lets nobody in.
package socketapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/card"
	"github.com/fobproject/fob/internal/codes"
	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/signin"
)

// Bounds of what a client may send, and how slowly.
const (
	maxBody       = 64 << 10
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	writeTimeout  = 10 * time.Second
)

// Config is what a Server needs. All fields but Codes, Cards, Tickets, Status and Policy are required.
type Config struct {
	Engine *signin.Engine
	// Codes is the user's accounts and cards; nil at the machine's instance, which has none.
	Codes *codes.Book
	// Cards sees readers and cards come and go; nil at the machine's instance.
	Cards *card.Watch
	// Instance says whom the daemon serves.
	Instance caller.Instance
	// Tickets redeems what the D-Bus door gave to who was authorized there; nil where there is none.
	Tickets Tickets
	Errors  *wire.Errors
	Log     *slog.Logger
	// Status adds to a status what the engine does not know: the bus, the helper.
	Status func(ctx context.Context, s *api.Status)
	// Policy adds to a policy where it comes from; nil if nobody knows.
	Policy func(p *api.Policy)
}

// Tickets tells whether a user was authorized to register their first method. A ticket is good once.
type Tickets interface {
	RedeemFirstMethod(uid uint32, ticket *secret.Secret) error
}

// Server serves the door. Its methods are safe for concurrent use.
type Server struct {
	Config
	http  http.Server
	bulky sync.Mutex // held while a long body comes in
}

// New makes a Server.
func New(c Config) *Server {
	s := &Server{Config: c}
	s.http = http.Server{
		Handler:           s.handler(s.routes()),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on l until Shutdown or until l is closed, which is no error.
func (s *Server) Serve(l *net.UnixListener) error {
	err := s.http.Serve(&listener{UnixListener: l, log: s.Log, shared: s.Instance.System})
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("cannot serve the socket: %w", err)
}

// Shutdown stops listening and waits for the answers that are under way; what is left when ctx ends
// is cut off.
func (s *Server) Shutdown(ctx context.Context) {
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
}
