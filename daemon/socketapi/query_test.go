package socketapi

import (
	"net/url"
	"slices"
	"strconv"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/api"
)

// FuzzQuery reads query strings as they stand behind GET /v1/log.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"", "after=3&limit=10", "newest=true&request=r1", "limit=0", "limit=1001", "limit=+5", "after=-1",
		"after=18446744073709551615", "after=18446744073709551616", "after=1&after=2", "user=0", "request=%0a", "request=%ff",
		"request=%", "a;b=1", "newest=TRUE", "request=%E2%80%AEx", "limit=", "%6cimit=7", "=", "&&&",
	} {
		f.Add(s)
	}
	allowed := []string{"after", "limit", "newest", "request"}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw, allowed)
		if err != nil {
			if err.Code != api.CodeBadRequest || q != nil {
				t.Fatalf("got %v and %v", q, err)
			}
			return
		}
		standard, bad := url.ParseQuery(raw)
		if bad != nil {
			t.Fatalf("took what the standard library does not: %v", bad)
		}
		for name, values := range standard {
			if !slices.Contains(allowed, name) || len(values) != 1 || q[name] != values[0] {
				t.Fatalf("read %q as %q", values, q[name])
			}
			for _, r := range q[name] {
				if !unicode.IsPrint(r) || !utf8.ValidString(q[name]) {
					t.Fatalf("took %q", q[name])
				}
			}
		}
		log, err := parseLogQuery(q)
		if err != nil {
			if err.Code != api.CodeBadRequest {
				t.Fatalf("got %v", err)
			}
			return
		}
		if log.Request != q["request"] || log.Limit < 0 || log.Limit > maxLogPage || (q["limit"] == "") != (log.Limit == 0) {
			t.Fatalf("read %q as %+v", q, log)
		}
		if n, _ := strconv.ParseUint(q["after"], 10, 64); n != log.After || log.Newest && q["newest"] == "" {
			t.Fatalf("read %q as %+v", q, log)
		}
	})
}
