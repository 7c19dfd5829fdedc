package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) vaultCmd() *cobra.Command {
	status := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		v, err := c.Vault(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(v)
		}
		return a.printVault(v)
	}
	return group(&cobra.Command{
		Use:   "vault",
		Short: "Lock and unlock the tokens' seeds; backups",
		Long: `The vault seals the tokens' seeds on disk. Slots are the ways to open it: one that opens
it by itself (the desktop's keyring, or a key file), and a passphrase and a recovery key
of yours.`,
		Example: "  fob vault slots add recovery\n  fob vault backup --out fob.age",
	}, status,
		&cobra.Command{Use: "status", Short: "Show whether the vault is open, and what opens it", Args: cobra.NoArgs, RunE: status},
		a.lockCmd(), a.unlockCmd(), a.slotsCmd(), a.backupCmd(), a.restoreCmd())
}

func (a *app) printVault(v api.Vault) error {
	fmt.Fprintf(a.out, "The vault is %s.\n", vaultWords(v))
	if err := a.printSlots(v.Slots); err != nil {
		return err
	}
	if !v.Recovery && v.State != api.VaultNone {
		fmt.Fprintln(a.out, "\nThere is no recovery key: make one, for the day what opens the vault is lost: fob vault slots add recovery")
	}
	return nil
}

// vaultWords say how the vault is: "open, by the secret service".
func vaultWords(v api.Vault) string {
	switch {
	case v.State == api.VaultOpen && v.Where != "":
		return "open; it opens by itself with the key in " + client.Show(v.Where)
	case v.State == api.VaultOpen:
		return "open; by itself it does not open"
	case v.State == api.VaultSealed && v.Problem != "":
		return "sealed: " + client.Show(v.Problem)
	case v.State == api.VaultSealed:
		return "sealed: open it with fob vault unlock"
	case v.State == api.VaultNone:
		return "not there yet"
	default:
		return client.Show(v.State)
	}
}

func (a *app) printSlots(slots []api.Slot) error {
	if len(slots) == 0 {
		return nil
	}
	rows := make([][]string, len(slots))
	for i, s := range slots {
		rows[i] = []string{s.ID, slotName(s.Type), s.Name, when(s.Added)}
	}
	return table(a.out, []string{"ID", "OPENED BY", "NAME", "ADDED"}, rows)
}

// slotName is a type of slot for people.
func slotName(kind string) string {
	switch kind {
	case "key-file":
		return "key file"
	case "secret-service":
		return "keyring"
	case "recovery":
		return "recovery key"
	}
	return kind
}

func (a *app) lockCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "lock",
		Short: "Seal the vault",
		Long:  "Seal the vault: until it is unlocked no code is accepted. Security keys go on working.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err == nil {
				err = c.LockVault(cmd.Context())
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, "The vault is sealed.")
			return err
		},
	}
}

func (a *app) unlockCmd() *cobra.Command {
	var passphrase string
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Open the vault",
		Long: `Open the vault. What opens it by itself is tried first; where nothing does, type the
passphrase or the recovery key.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromInput("passphrase", "a passphrase", passphrase); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if passphrase == "" {
				err := c.UnlockVault(cmd.Context(), nil)
				if err == nil {
					_, err = fmt.Fprintln(a.out, "The vault is open.")
					return err
				}
				if !isCode(err, api.CodeSealed) && !isCode(err, api.CodeKeeperAway) {
					return err
				}
				fmt.Fprintf(a.stderr, "It does not open by itself: %s\n", client.Show(err.Error()))
			}
			text, err := a.passphrase(passphrase, "Passphrase or recovery key")
			if err != nil {
				return err
			}
			defer clear(text)
			if err := c.UnlockVault(cmd.Context(), text); err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, "The vault is open.")
			return err
		},
	}
	passphraseFlag(cmd, &passphrase)
	return cmd
}

func (a *app) slotsCmd() *cobra.Command {
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		v, err := c.Vault(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(notNil(v.Slots))
		}
		return a.printSlots(v.Slots)
	}
	return group(&cobra.Command{
		Use:   "slots",
		Short: "List, add, change and remove the ways to open the vault",
		Long: `List, add, change and remove the ways to open the vault. Where you have a sign-in method,
it has to approve each change.`,
		Example: "  fob vault slots add recovery\n  fob vault slots add passphrase --name Mine\n  fob vault slots remove 3kx…",
	}, list,
		&cobra.Command{Use: "list", Short: "List the ways to open the vault", Args: cobra.NoArgs, RunE: list},
		a.addSlotCmd(), a.changeSlotCmd(), a.removeSlotCmd())
}

// slotTypes are what can be added.
var slotTypes = []string{"passphrase", "recovery", "key-file", "secret-service"}

func (a *app) addSlotCmd() *cobra.Command {
	var g given
	var name, passphrase string
	cmd := &cobra.Command{
		Use:       "add passphrase|recovery|key-file|secret-service",
		Short:     "Add a way to open the vault",
		ValidArgs: slotTypes,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(slotTypes, args[0]) {
				return usagef("say what is to open the vault: passphrase, recovery, key-file or secret-service")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			change := api.SlotChange{Action: api.SlotAdd, Type: args[0], Name: name}
			return a.changeSlot(cmd, change, g, passphrase, args[0], "The vault can be opened that way now.\n")
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`name` of this way, such as Safe")
	passphraseFlag(cmd, &passphrase)
	g.flags(cmd)
	return cmd
}

func (a *app) changeSlotCmd() *cobra.Command {
	var g given
	var passphrase string
	cmd := &cobra.Command{
		Use:   "change ID",
		Short: "Put a new passphrase or recovery key in place of one",
		Long:  "Put a new passphrase or recovery key in place of one. The old one works until the new one is on disk.",
		Args:  one("slot by its id", "fob vault slots"),
		RunE: func(cmd *cobra.Command, args []string) error {
			slot, err := a.slot(cmd, args[0])
			if err != nil {
				return err
			}
			change := api.SlotChange{Action: api.SlotModify, ID: slot.ID}
			return a.changeSlot(cmd, change, g, passphrase, slot.Type, "It is changed: the old one opens nothing any more.\n")
		},
	}
	passphraseFlag(cmd, &passphrase)
	g.flags(cmd)
	return cmd
}

func (a *app) removeSlotCmd() *cobra.Command {
	var g given
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Take a way to open the vault away",
		Args:  one("slot by its id", "fob vault slots"),
		RunE: func(cmd *cobra.Command, args []string) error {
			slot, err := a.slot(cmd, args[0])
			if err != nil {
				return err
			}
			if !yes {
				if err := a.confirmRemoval(cmd, slot); err != nil {
					return err
				}
			}
			change := api.SlotChange{Action: api.SlotRemove, ID: slot.ID}
			return a.changeSlot(cmd, change, g, "", "", "It opens the vault no more.\n")
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask whether it is meant")
	g.flags(cmd)
	return cmd
}

// slot finds the one that was named.
func (a *app) slot(cmd *cobra.Command, arg string) (api.Slot, error) {
	c, err := a.client()
	if err != nil {
		return api.Slot{}, err
	}
	v, err := c.Vault(cmd.Context())
	if err != nil {
		return api.Slot{}, err
	}
	all := make([]named, len(v.Slots))
	for i, s := range v.Slots {
		all[i] = named{s.ID, s.Name}
	}
	id, err := choose("slot", "fob vault slots", arg, all)
	if err != nil {
		return api.Slot{}, err
	}
	for _, s := range v.Slots {
		if s.ID == id {
			return s, nil
		}
	}
	return api.Slot{}, api.Errorf(api.CodeNotFound, "there is no slot %q", id)
}

// confirmRemoval says what remains, and waits for the word.
func (a *app) confirmRemoval(cmd *cobra.Command, gone api.Slot) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	v, err := c.Vault(cmd.Context())
	if err != nil {
		return err
	}
	var left []api.Slot
	for _, s := range v.Slots {
		if s.ID != gone.ID {
			left = append(left, s)
		}
	}
	fmt.Fprintf(a.stderr, "The %s %s will not open the vault any more. What remains:\n", slotName(gone.Type), client.Show(gone.ID))
	for _, s := range left {
		fmt.Fprintf(a.stderr, "  %s %s\n", slotName(s.Type), quoted(s.Name, s.ID))
	}
	if len(left) == 0 {
		fmt.Fprintln(a.stderr, "  nothing")
	}
	defer a.askedAll()
	answer, err := a.ask("Type yes to go on", true)
	if err != nil {
		return noTerminal(err, "confirmation", "say --yes")
	}
	if string(answer) != "yes" {
		return api.Errorf(api.CodeNotConfirmed, "it was not confirmed: nothing was changed")
	}
	return nil
}

// changeSlot begins the request, with a new passphrase where the slot has one, and shows a new recovery
// key once.
func (a *app) changeSlot(cmd *cobra.Command, change api.SlotChange, g given, passphrase, kind, said string) error {
	if err := errors.Join(g.check(), fromInput("passphrase", "a passphrase", passphrase)); err != nil {
		return err
	}
	switch {
	case kind == "passphrase":
		text, err := a.newPassphrase(passphrase, "the vault")
		if err != nil {
			return err
		}
		defer clear(text)
		change.Passphrase = text
	case passphrase != "":
		return usagef("this way of opening the vault has no passphrase: leave --passphrase out")
	}
	return a.begin(cmd.Context(), api.BeginRequest{Kind: api.KindChangeVault, Vault: change}, g, func(s api.RequestState, _ string) error {
		if len(s.RecoveryKey) == 0 {
			_, err := fmt.Fprint(a.out, said)
			return err
		}
		_, err := fmt.Fprintf(a.out, `The recovery key. It opens the vault on its own:

    %s

Write it down, or print this, and keep it away from this computer. It is shown only now.
`, client.Show(string(s.RecoveryKey)))
		return err
	})
}
