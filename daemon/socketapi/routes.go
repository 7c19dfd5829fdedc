package socketapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/signin"
)

// route is one method of the door. An access that is not declared denies.
type route struct {
	method  string
	pattern string // below /v1
	access  caller.Access
	handle  func(*call)
}

// routes is the whole door.
func (s *Server) routes() []route {
	const owner, admin, root, user = caller.AccessOwner, caller.AccessAdmin, caller.AccessRoot, caller.AccessUser
	return []route{
		{"POST", "/requests", owner, s.begin},
		{"GET", "/requests", owner, s.requests},
		{"GET", "/requests/{id}", owner, s.request},
		{"POST", "/requests/{id}/answer", owner, s.answer},
		{"POST", "/requests/{id}/pick", owner, s.pick},
		{"POST", "/requests/{id}/remember", owner, s.remember},
		{"POST", "/requests/{id}/deny", owner, s.deny},
		{"POST", "/requests/{id}/report", owner, s.report},
		{"POST", "/requests/{id}/cancel", owner, s.cancel},
		{"GET", "/keys", owner, s.keys},
		{"GET", "/keys/{id}", owner, s.key},
		{"GET", "/methods", owner, s.methods},
		{"PATCH", "/methods/{id}", owner, s.patchMethod},
		{"POST", "/confirm-name", root, s.confirmName},
		{"GET", "/grants", owner, s.grants},
		{"POST", "/grants/revoke", owner, s.revokeGrants},
		{"POST", "/grants/{id}/revoke", owner, s.revokeGrant},
		{"POST", "/helpdesk", root, s.helpdesk},
		{"GET", "/policy", owner, s.policy},
		{"GET", "/policy/check", owner, s.checkPolicy},
		{"GET", "/tokens", owner, s.tokens},
		{"POST", "/tokens", admin, s.importTokens},
		{"GET", "/tokens/{id}", owner, s.token},
		{"PATCH", "/tokens/{id}", admin, s.patchToken},
		{"GET", "/vault", admin, s.vault},
		{"POST", "/vault/lock", admin, s.lockVault},
		{"POST", "/vault/unlock", admin, s.unlockVault},
		{"POST", "/vault/restore", admin, s.restore},
		{"GET", "/cards", user, s.cards},
		{"POST", "/cards/{id}/unlock", user, s.unlockCard},
		{"POST", "/cards/{id}/forget", user, s.forgetCard},
		{"POST", "/cards/{id}/password", user, s.cardPassword},
		{"POST", "/cards/{id}/reset", user, s.resetCard},
		{"GET", "/accounts", user, s.accounts},
		{"POST", "/accounts", user, s.addAccount},
		{"PATCH", "/accounts/{id}", user, s.patchAccount},
		{"POST", "/accounts/{id}/delete", user, s.deleteAccount},
		{"POST", "/codes", user, s.codes},
		{"POST", "/codes/{id}", user, s.code},
		{"GET", "/log", owner, s.logPage},
		{"GET", "/log/verify", admin, s.verifyLog},
		{"GET", "/receipts/{id}", owner, s.receipts},
		{"GET", "/status", owner, s.status},
		{"GET", "/events", owner, s.events},
	}
}

// call is one call of a route.
type call struct {
	s   *Server
	w   http.ResponseWriter
	r   *http.Request
	who caller.Caller
}

// handler wires routes to net/http and keeps what holds for all: who may come in at all, which
// requests are no client's of this door, and that nothing but JSON leaves.
func (s *Server) handler(routes []route) http.Handler {
	mux := http.NewServeMux()
	allowed := map[string][]string{}
	for _, rt := range routes {
		allowed[rt.pattern] = append(allowed[rt.pattern], rt.method)
		mux.HandleFunc(rt.method+" /"+api.Version+rt.pattern, func(w http.ResponseWriter, r *http.Request) {
			c := &call{s: s, w: w, r: r, who: connOf(r.Context()).who}
			if err := rt.access.Check(c.who, s.Instance); err != nil {
				c.fail(err)
				return
			}
			rt.handle(c)
		})
	}
	for pattern, methods := range allowed {
		mux.HandleFunc("/"+api.Version+pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			writeError(w, http.StatusMethodNotAllowed, api.Errorf(api.CodeBadRequest, "this route takes %s only", strings.Join(methods, ", ")))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, api.Errorf(api.CodeNotFound, "there is no such route"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.survive(w)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := s.admit(r); err != nil {
			w.Header().Set("Connection", "close")
			writeError(w, err.Code.Meaning().HTTP, err)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// admit turns away whom no route lets in: other users, and web pages that reach the socket through
// some proxy (they send an Origin, or a Host that is not this machine).
func (s *Server) admit(r *http.Request) *api.Error {
	c := connOf(r.Context())
	if c == nil {
		return api.Errorf(api.CodeForbidden, "the caller is not identified")
	}
	if !s.Instance.System && c.who.UID != s.Instance.Owner {
		return s.Errors.Of(fmt.Errorf("%w: this is another user's daemon", caller.ErrForbidden))
	}
	if s.Instance.System && c.who.UID != 0 {
		// Whoever has a range of subordinate ids has thousands, and none of them an account.
		if err := s.Engine.Known(r.Context(), c.who); errors.Is(err, signin.ErrUnknownUser) {
			return s.Errors.Of(fmt.Errorf("%w (%w)", caller.ErrForbidden, err))
		}
	}
	if len(r.Header["Origin"]) > 0 {
		return api.Errorf(api.CodeForbidden, "web pages may not call this door")
	}
	switch r.Host {
	case "", "fob", "localhost":
	default:
		return api.Errorf(api.CodeForbidden, "the Host of a request is “fob” or “localhost”")
	}
	if r.URL.Path != path.Clean(r.URL.Path) {
		return api.Errorf(api.CodeNotFound, "there is no such route") // ServeMux would redirect, in HTML
	}
	if r.Method == http.MethodHead {
		return api.Errorf(api.CodeBadRequest, "this door has no HEAD")
	}
	if r.ProtoMajor != 1 || strings.HasPrefix(r.RequestURI, "http") {
		return api.Errorf(api.CodeBadRequest, "this door speaks HTTP/1.1 to paths")
	}
	return nil
}

// survive turns a panic in a handler into an answer and a line in the log.
func (s *Server) survive(w http.ResponseWriter) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	err := s.Errors.Internal(fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
	writeError(w, http.StatusInternalServerError, err)
}

// body reads and decodes the call's JSON body into v, and wipes what it read. It answers and reports
// false where that fails.
func (c *call) body(v any) bool {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		writeError(c.w, http.StatusUnsupportedMediaType, api.Errorf(api.CodeBadRequest, "the body's Content-Type is application/json"))
		return false
	}
	control := http.NewResponseController(c.w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // a socket always can
	buf, err := readAll(http.MaxBytesReader(c.w, c.r.Body, maxBody), c.r.ContentLength)
	defer clear(buf[:cap(buf)])
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			c.refuse(api.Errorf(api.CodeTooLarge, "the body is larger than %d bytes", maxBody))
		} else {
			c.w.Header().Set("Connection", "close")
			c.refuse(api.Errorf(api.CodeBadRequest, "cannot read the body"))
		}
		return false
	}
	_ = control.SetReadDeadline(time.Time{})
	if err := decode(buf, v); err != nil {
		c.refuse(err)
		return false
	}
	return true
}

// noBody refuses a body where none belongs.
func (c *call) noBody() bool {
	if c.r.ContentLength == 0 {
		return true
	}
	c.w.Header().Set("Connection", "close")
	c.refuse(api.Errorf(api.CodeBadRequest, "this route takes no body"))
	return false
}

// readAll reads r into one buffer, so that nothing of it is left elsewhere: it never grows a buffer
// by copying. size is what the client announced, -1 if nothing.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size < 0 || size > maxBody {
		size = maxBody
	}
	buf := make([]byte, size+1)
	n, err := io.ReadFull(r, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return buf[:n], err
}
