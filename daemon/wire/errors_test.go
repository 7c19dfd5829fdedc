package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
)

func TestErrors(t *testing.T) {
	var logged bytes.Buffer
	e := NewErrors(slog.New(slog.NewTextHandler(&logged, nil)))

	for _, c := range []struct {
		name string
		err  error
		code api.Code
		text string
	}{
		{"lets the engine's own words through", fmt.Errorf("%w: it says so", signin.ErrBadRequest), api.CodeBadRequest, "it says so"},
		{"knows who may not", fmt.Errorf("no: %w", caller.ErrForbidden), api.CodeForbidden, "forbidden"},
		{"names the key that failed, and says what it was asked for",
			fmt.Errorf("the backup key is not registered: %w", &fido.DeviceError{Key: "Blue key", Kind: fido.ErrPINInvalid, Name: "FIDO_ERR_PIN_INVALID"}),
			api.CodePINWrong, "the backup key is not registered: Blue key: the PIN is wrong (FIDO_ERR_PIN_INVALID)"},
		{"keeps paths of a full disk to itself", fmt.Errorf("%w: %w: /home/x/fob.db", store.ErrStorage, store.ErrFull), api.CodeStorage, "the disk is full"},
		{"shows a storage failure even inside an engine's error", fmt.Errorf("%w: %w", signin.ErrNotFound, store.ErrStorage), api.CodeStorage, "cannot write"},
		{"passes a door's own error on", fmt.Errorf("x: %w", api.Errorf(api.CodeTooLarge, "big")), api.CodeTooLarge, "big"},
		{"says that the caller went", context.Canceled, api.CodeCallerGone, "gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := e.Of(c.err)
			if got.Code != c.code || !strings.Contains(got.Message, c.text) {
				t.Errorf("got %s %q, want %s with %q", got.Code, got.Message, c.code, c.text)
			}
			if strings.Contains(got.Message, "/home") {
				t.Errorf("the message says too much: %q", got.Message)
			}
		})
	}

	t.Run("says nothing of an unknown error but an id that is in the log", func(t *testing.T) {
		logged.Reset()
		got := e.Of(errors.New("dark secret"))
		if got.Code != api.CodeInternal || strings.Contains(got.Message, "dark") {
			t.Fatalf("got %s %q", got.Code, got.Message)
		}
		id := strings.Fields(strings.SplitAfter(got.Message, "look for ")[1])[0]
		if !strings.Contains(logged.String(), id) || !strings.Contains(logged.String(), "dark secret") {
			t.Errorf("the log does not tell what %s was: %s", id, logged.String())
		}
	})
	t.Run("is nil for nil", func(t *testing.T) {
		if got := e.Of(nil); got != nil {
			t.Errorf("got %v", got)
		}
	})
	t.Run("bounds a message and takes control characters out", func(t *testing.T) {
		got := e.Of(fmt.Errorf("%w: \x1b[2J\n%s", signin.ErrBadRequest, strings.Repeat("ü", 1000)))
		if len(got.Message) > maxMessage+4 || strings.ContainsAny(got.Message, "\x1b\n") {
			t.Errorf("got %d bytes: %q", len(got.Message), got.Message[:80])
		}
	})
}

// unmapped are the sentinels that are no outcome of a call at a door.
var unmapped = map[string]string{
	"fido.ErrClientData": "only receipts are checked for it, by the client",
	"store.ErrNotFound":  "the engine turns it into its own",
	"store.ErrInUse":     "only at start",
	"store.ErrReadOnly":  "a mistake inside: internal",
	"store.ErrTxDone":    "a mistake inside: internal",
	"store.ErrPanicked":  "a mistake inside: internal",
}

func TestTable(t *testing.T) {
	text, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"signin", "fido", "method", "store", "nss", "caller", "clock", "lockout", "oath", "token", "vault"} {
		for _, name := range sentinels(t, filepath.Join("../../internal", pkg)) {
			full := pkg + "." + name
			if _, ok := unmapped[full]; !ok && !strings.Contains(string(text), "{"+full+",") {
				t.Errorf("%s has no row in the table: a caller would get “internal”", full)
			}
		}
	}
	for _, r := range table {
		if r.code != api.CodeInternal && r.code.Meaning() == api.CodeInternal.Meaning() {
			t.Errorf("the row of %q has the code %s, which has no meaning", r.is, r.code)
		}
	}
}

// sentinels lists the exported variables of a package that begin with Err.
func sentinels(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s: %v", dir, err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					if strings.HasPrefix(n.Name, "Err") {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}
