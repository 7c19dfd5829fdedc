package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
)

// FuzzOwners reads files that say which name is which login name.
func FuzzOwners(f *testing.F) {
	for _, s := range []string{
		"", "a@b,alice\n", "\ufeff\"a, b\" , alice\r\n\n# who\n", "a,b,c\n", "a\n", ",\n", "a,\n", "a,b\na,c\n", "\"\",b\n", "\xff,b\n",
		"a,b", strings.Repeat("x", 70_000) + ",b\n", "\x1b[31m,b\n\x1b[31m,c\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		owners, err := parseOwners(bytes.NewReader(b), "map")
		if usage := (*usageError)(nil); err != nil && (!errors.As(err, &usage) || !strings.HasPrefix(err.Error(), "map:")) {
			t.Fatalf("no line in %v", err)
		}
		for from, login := range owners {
			if from == "" || login == "" || strings.Contains(login, "\n") {
				t.Fatalf("%q is %q", from, login)
			}
		}
	})
}

// FuzzBackup reads the lines of backups: what is taken for a whole one is one.
func FuzzBackup(f *testing.F) {
	const head, record, end = `{"backup":{"format":1,"made":"2026-01-02T03:04:05Z","schema":2,"instance":"i1","data_key":"AQID","records":1}}` + "\n",
		`{"record":{"bucket":"a","key":"aw==","value":"dg=="}}` + "\n", `{"end":true}` + "\n"
	for _, s := range []string{
		head + record + end, head + end, record + end, head + record, head + record + record + end, end, "", "\n", head + head,
		head + record + end + end, head + record + `{"end":true,"record":{}}`, `{"error":{"code":"sealed","message":"x"}}`, `{"token":{}}`,
		strings.Replace(head, `"records":1}`, `"records":0},"end":true`, 1) + end,
		strings.Replace(head, `"format":1`, `"format":2`, 1), strings.Replace(head, `"records":1`, `"records":-1`, 1) + end, head + "{}\n" + end,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		heads, records, promised := 0, 0, 0
		var failed error
		for line, err := range readBackup(bytes.NewReader(b)) {
			switch {
			case err != nil:
				failed = err
			case line.Backup != nil:
				heads++
				promised = line.Backup.Records
			case line.Record != nil:
				records++
			default:
				t.Fatalf("a line that is neither: %+v", line)
			}
		}
		if failed == nil && (heads != 1 || records != promised || !bytes.Contains(b, []byte("end"))) {
			t.Fatalf("%d heads and %d of %d records are a whole backup", heads, records, promised)
		}
		if wrong := (*backupError)(nil); failed != nil && !errors.As(failed, &wrong) {
			t.Fatalf("got %v", failed)
		}
	})
}

// FuzzKey reads keys that decrypt files.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"12345678901234567890123456789012", "12:34 56-78", strings.Repeat("0", 64), "xyz", "", strings.Repeat("0", 47)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := parseKey(b)
		if n := key.Len(); err == nil && n != 16 && n != 24 && n != 32 {
			t.Fatalf("%d bytes", n)
		}
		if err != nil && exitCode(err) != api.ExitUsage {
			t.Fatalf("got %v", err)
		}
	})
}
