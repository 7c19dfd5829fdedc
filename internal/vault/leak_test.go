package vault_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

func TestVaultShowsNothing(t *testing.T) {
	r := opened(t)
	_, recovery := r.add(vault.SlotSpec{Type: vault.TypeRecovery})
	r.add(vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)})
	sealer, err := r.Sealer("test")
	if err != nil {
		t.Fatal(err)
	}
	change, err := r.PrepareAdd(t.Context(), vault.SlotSpec{Type: vault.TypeRecovery})
	if err != nil {
		t.Fatal(err)
	}
	spec := vault.SlotSpec{Type: vault.TypePassphrase, Passphrase: word(passphrase)}
	secrets := [][]byte{[]byte(passphrase), recovery.Reveal(), change.Recovery().Reveal(), dataKey(t, r.Vault), r.service.holds()}

	v := r.again()
	out := &r.log
	for _, typed := range []*secret.Secret{word(passphrase + "!"), word(string(recovery.Reveal())[2:]), recovery} {
		fmt.Fprintln(out, v.Unlock(t.Context(), typed))
	}
	for _, x := range []any{r.Vault, sealer, change, spec, r.status(r.Vault)} {
		fmt.Fprintf(out, "%v %+v %#v\n", x, x, x)
		slog.New(slog.NewJSONHandler(out, nil)).Info("a line", "thing", x)
		slog.New(slog.NewTextHandler(out, nil)).Info("a line", "thing", x)
	}
	v.Lock()
	for i, s := range secrets {
		for _, form := range []string{string(s), hex.EncodeToString(s), base64.StdEncoding.EncodeToString(s), strings.Trim(fmt.Sprint(s), "[]"), strings.Trim(fmt.Sprintf("%#v", s), "[]byte{}")} {
			if strings.Contains(out.String(), form) {
				t.Errorf("secret %d shows as %q", i, form)
			}
		}
	}
	if !strings.Contains(out.String(), "the vault is open") || slices.ContainsFunc(secrets, func(s []byte) bool { return len(s) == 0 }) {
		t.Error("nothing was tested")
	}
}
