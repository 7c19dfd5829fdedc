package account_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/provision/account"
)

func TestParseList(t *testing.T) {
	data := "\ufeff# exported\r\n\r\n" +
		"otpauth://totp/Example:anna@example.com?secret=JBSWY3DPEHPK3PXP&issuer=Example\r\n" +
		"otpauth://steam/Steam:x?secret=JBSWY3DPEHPK3PXP\n" +
		"JBSWY3DPEHPK3PXP\n" +
		"otpauth://totp/a%E2%80%AE?secret=JBSWY3DPEHPK3PXP\n" +
		"  otpauth://hotp/x?secret=JBSWY3DPEHPK3PXP&counter=5"
	accounts, skipped, err := account.ParseList([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	check(t, accounts, skipped)
	if diff := cmp.Diff([]plain{totp("Example", "anna@example.com", hello), hotp("", "x", hello, 5)}, reveal(accounts...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]account.Skipped{
		{Name: "line 4", Reason: "it is one of Steam's, whose codes are of Steam's own kind: keep it in the app that it was made for"},
		{Name: "line 5", Reason: "it is no link of an account, which begins with otpauth://: copy the whole link"},
		{Name: "line 6", Reason: "its name has characters that cannot be shown: type the secret instead, with a name of your own"},
	}, skipped); diff != "" {
		t.Error(diff)
	}
}

func TestParseListTakesAWholeExport(t *testing.T) {
	data := vector(t, "migration.txt")
	accounts, skipped, err := account.ParseList(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(moved, reveal(accounts...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(notMoved, skipped); diff != "" {
		t.Error(diff)
	}

	first := data[:bytes.IndexByte(data, '\n')+1]
	mixed := string(first) + migration(field(1, field(1, "12345")+field(2, "x"))) + "\notpauth-migration://x\notpauth://totp/x?secret=JBSWY3DPEHPK3PXP\n"
	accounts, skipped, err = account.ParseList([]byte(mixed))
	if err != nil {
		t.Fatal(err)
	}
	check(t, accounts, skipped)
	if len(accounts) != 1 || len(skipped) != 3 || skipped[0].Name != "line 2" || !strings.Contains(skipped[0].Reason, "another export") ||
		skipped[1].Name != "line 3" || skipped[2].Name != "line 3" || !strings.Contains(skipped[2].Reason, "1 of 3 scanned: parts 2 and 3 are missing") {
		t.Errorf("took %d, and skipped %+v", len(accounts), skipped)
	}
}

func TestParseListRefuses(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"nothing said":     []byte("# a\n\n \n"),
		"more than 32 MiB": make([]byte, 32<<20+1),
	} {
		t.Run(name, func(t *testing.T) {
			accounts, skipped, err := account.ParseList(data)
			if !errors.Is(err, provision.ErrFile) || accounts != nil || skipped != nil {
				t.Errorf("got %v, %v, %v", accounts, skipped, err)
			}
			checkWords(t, err.Error())
		})
	}
}
