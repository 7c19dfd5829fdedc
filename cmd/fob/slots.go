package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// The types of slot that this command treats in ways of their own.
const (
	slotPassphrase = "passphrase"
	slotRecovery   = "recovery"
	slotKey        = "security-key"
)

// slotTypes are what can be added.
var slotTypes = []string{slotPassphrase, slotRecovery, slotKey, "key-file", "secret-service"}

// slotCalled is what a type of slot is called.
func slotCalled(kind string) string {
	switch kind {
	case slotRecovery:
		return "recovery key"
	case slotKey, "key-file", "secret-service":
		return strings.ReplaceAll(kind, "-", " ")
	}
	return client.Show(kind)
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
		return a.printSlots(v)
	}
	return group(&cobra.Command{
		Use:   "slots",
		Short: "List the ways to open the vault, add, change and remove them",
		Long: `List the slots of the vault, each of which is a way to open it, or change them.
A slot is named by its id, the beginning of its id, or its name. Changes need an
approval with a registered method, once there is one.`,
		Example: "  fob vault slots add recovery\n  fob vault slots add passphrase\n  fob vault slots remove 4kq",
	}, list,
		&cobra.Command{Use: "list", Short: "List the slots", Args: noArgument, RunE: list},
		a.addSlotCmd(), a.changeSlotCmd(), a.removeSlotCmd())
}

func (a *app) printSlots(v api.Vault) error {
	if len(v.Slots) == 0 {
		_, err := fmt.Fprintln(a.out, "The vault has no slots.")
		return err
	}
	columns, rows, noted := []string{"ID", "TYPE", "NAME", "ADDED", "NOTES"}, make([][]string, len(v.Slots)), false
	for i, s := range v.Slots {
		rows[i] = []string{s.ID, slotCalled(s.Type), s.Name, when(s.Added), slotNotes(s)}
		noted = noted || slotNotes(s) != ""
	}
	if !noted {
		columns = columns[:4]
		for i := range rows {
			rows[i] = rows[i][:4]
		}
	}
	return table(a.out, columns, rows)
}

// slotNotes is what there is to know of a slot besides.
func slotNotes(s api.Slot) string {
	switch {
	case s.Damaged:
		return "damaged: opens nothing"
	case s.LockAfterS == 0:
		return ""
	case s.Verify:
		return "PIN or fingerprint, locks after " + days(time.Duration(s.LockAfterS)*time.Second)
	}
	return "tap, locks after " + days(time.Duration(s.LockAfterS)*time.Second)
}

func (a *app) addSlotCmd() *cobra.Command {
	var g given
	var passphrase, keyArg string
	var lockAfter time.Duration
	change := api.SlotChange{Action: api.SlotAdd}
	cmd := &cobra.Command{
		Use:   "add " + strings.Join(slotTypes, "|"),
		Short: "Add a way to open the vault",
		Long: `Add a way to open the vault. A passphrase is asked for twice, and is not shown.
A recovery key is made here and shown once: write it down, and keep it
elsewhere. A key file and the secret service open the vault by themselves.

A security key opens the vault by a tap, and the vault locks by itself 15
minutes later, or after what --lock-after says. It is tapped twice. With
--verify it wants its PIN or a fingerprint as well, each time; that cannot be
changed later. A key can be lost: there has to be a recovery key first.

With --passphrase - the passphrase is the first line of standard input.`,
		Example:   "  fob vault slots add recovery\n  fob vault slots add security-key --name Blue",
		ValidArgs: slotTypes,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(slotTypes, args[0]) {
				return usagef("say what to add: one of %s", strings.Join(slotTypes, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			change.Type = args[0]
			if change.Type == slotKey {
				return a.addKeySlot(cmd.Context(), change, keyArg, lockAfter, passphrase, g)
			}
			if keyArg != "" || change.Verify || cmd.Flags().Changed("lock-after") {
				return usagef("--key, --verify and --lock-after are for a security key: fob vault slots add security-key")
			}
			return a.changeVault(cmd.Context(), api.BeginRequest{Vault: change}, change.Type, passphrase, g,
				fmt.Sprintf("The vault can be opened by the new %s now.", slotCalled(change.Type)))
		},
	}
	cmd.Flags().StringVar(&change.Name, "name", "", "`name` of the slot (default: what it is)")
	cmd.Flags().StringVar(&keyArg, "key", "", "the security key with this `id` (default: the one that is touched)")
	cmd.Flags().BoolVar(&change.Verify, "verify", false, "the security key wants its PIN or a fingerprint each time")
	cmd.Flags().DurationVar(&lockAfter, "lock-after", 15*time.Minute, "`time` after which the vault locks by itself, 1m to 24h")
	completeFunc(cmd, "key", a.completeKeys)
	passphraseFlag(cmd, &passphrase)
	g.flags(cmd)
	return cmd
}

// addKeySlot lets a security key open the vault, and says what else still does.
func (a *app) addKeySlot(ctx context.Context, change api.SlotChange, keyArg string, lockAfter time.Duration, passphrase string, g given) error {
	switch {
	case lockAfter < time.Minute || lockAfter > 24*time.Hour:
		return usagef("--lock-after is 1m to 24h")
	case lockAfter%time.Second != 0:
		return usagef("--lock-after is in whole seconds")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	request := api.BeginRequest{Vault: change}
	request.Vault.LockAfterS = int64(lockAfter / time.Second)
	if keyArg != "" {
		key, err := pickKey(ctx, c, []string{keyArg})
		if err != nil {
			return err
		}
		request.Key = key.ID
	}
	by := "a tap on this key"
	if change.Verify {
		by += ", with its PIN or a fingerprint"
	}
	said := fmt.Sprintf("The vault opens by %s now, and locks by itself %s later.", by, days(lockAfter))
	before, err := c.Vault(ctx)
	if err != nil {
		return err
	}
	others := automaticSlots(before)
	if len(others) == 0 {
		said += " Try it: fob vault lock, then fob vault unlock"
	}
	for _, s := range others {
		said += fmt.Sprintf("\nThe %s opens it by itself as well, whenever fobd starts. So that only a tap opens it: fob vault slots remove %s", slotCalled(s.Type), s.ID)
	}
	return a.changeVault(ctx, request, slotKey, passphrase, g, said)
}

// automaticSlots are those that open the vault by themselves.
func automaticSlots(v api.Vault) []api.Slot {
	return slices.DeleteFunc(slices.Clone(v.Slots), func(s api.Slot) bool { return s.Type != "key-file" && s.Type != "secret-service" })
}

// opensByTap reports whether a security key opens the vault.
func opensByTap(v api.Vault) bool {
	return slices.ContainsFunc(v.Slots, func(s api.Slot) bool { return s.Type == slotKey && !s.Damaged })
}

func (a *app) changeSlotCmd() *cobra.Command {
	var g given
	var passphrase string
	cmd := &cobra.Command{
		Use:   "change SLOT",
		Short: "Replace a passphrase or the recovery key",
		Long: `Replace the passphrase or the recovery key of a slot. The new passphrase is
asked for twice; a new recovery key is shown once. The old one opens the vault
no more.`,
		Args:              one("slot", "fob vault slots"),
		ValidArgsFunction: a.completeSlots,
		RunE: func(cmd *cobra.Command, args []string) error {
			slot, _, err := a.pickSlot(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			change := api.SlotChange{Action: api.SlotModify, ID: slot.ID}
			return a.changeVault(cmd.Context(), api.BeginRequest{Vault: change}, slot.Type, passphrase, g,
				fmt.Sprintf("%s is changed: what opened the vault before does so no more.", quoted(slot.Name, slot.ID)))
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
		Use:   "remove SLOT",
		Short: "Remove a way to open the vault",
		Long: `Remove a way to open the vault. What remains is shown, and has to be confirmed
at the terminal, or with --yes.`,
		Args:              one("slot", "fob vault slots"),
		ValidArgsFunction: a.completeSlots,
		RunE: func(cmd *cobra.Command, args []string) error {
			slot, others, err := a.pickSlot(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			name := quoted(slot.Name, slot.ID)
			if !yes {
				if err := a.confirmRemoval(name, slot, others); err != nil {
					return err
				}
			}
			change := api.SlotChange{Action: api.SlotRemove, ID: slot.ID}
			return a.changeVault(cmd.Context(), api.BeginRequest{Vault: change}, "", "", g, fmt.Sprintf("Removed: %s", name))
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	g.flags(cmd)
	return cmd
}

// confirmRemoval shows what would be left, and asks.
func (a *app) confirmRemoval(name string, slot api.Slot, others []api.Slot) error {
	remains := "nothing that opens the vault"
	if len(others) > 0 {
		var texts []string
		for _, s := range others {
			texts = append(texts, "the "+slotCalled(s.Type)+" "+quoted(s.Name, s.ID))
		}
		remains = strings.Join(texts, ", ")
	}
	if !haveTerminal() {
		return usagef("the removal has to be confirmed at a terminal: run this in one, or say --yes. What remains: %s", remains)
	}
	fmt.Fprintf(a.stderr, "This removes the %s %s. What remains: %s.\n", slotCalled(slot.Type), name, remains)
	defer a.askedAll()
	for {
		line, err := a.ask("Type yes to go on", true)
		if err != nil {
			return err
		}
		if string(line) == "yes" {
			return nil
		}
		a.tty.say("That was not it. Ctrl-C stops, and nothing happens.")
	}
}

// changeVault begins the request for a change of the slots, with a new passphrase where the slot has one,
// and shows a new recovery key, once.
func (a *app) changeVault(ctx context.Context, request api.BeginRequest, kind, passphrase string, g given, said string) error {
	if err := g.check(); err != nil {
		return err
	}
	if err := fromInput("passphrase", "a passphrase", passphrase); err != nil {
		return err
	}
	switch {
	case kind == slotPassphrase:
		phrase, err := a.newPassphrase(passphrase, "the vault")
		if err != nil {
			return err
		}
		defer clear(phrase)
		request.Vault.Passphrase = phrase
	case passphrase != "":
		return usagef("a %s has no passphrase: leave --passphrase out", slotCalled(kind))
	}
	request.Kind = api.KindChangeVault
	return a.begin(ctx, request, g, func(s api.RequestState, _ string) error {
		if _, err := fmt.Fprintln(a.out, said); err != nil || len(s.RecoveryKey) == 0 {
			return err
		}
		return a.printRecoveryKey(s.RecoveryKey)
	})
}

// printRecoveryKey shows the key so that it can be written down. It is ASCII; anything else would be no
// recovery key.
func (a *app) printRecoveryKey(key api.Secret) error {
	fmt.Fprint(a.out, "\n    ")
	for _, c := range key {
		if c < ' ' || c > '~' {
			return fmt.Errorf("%w (a recovery key that cannot be written down)", client.ErrBadAnswer)
		}
		if err := a.out.WriteByte(c); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(a.out, "\n\nWrite this recovery key down and keep it away from this computer: it opens the vault\nwhere nothing else does. It is shown only now.\n")
	return err
}

// pickSlot finds the slot that arg names, and the others.
func (a *app) pickSlot(ctx context.Context, arg string) (api.Slot, []api.Slot, error) {
	c, err := a.client()
	if err != nil {
		return api.Slot{}, nil, err
	}
	v, err := c.Vault(ctx)
	if err != nil {
		return api.Slot{}, nil, err
	}
	all := make([]named, len(v.Slots))
	for i, s := range v.Slots {
		all[i] = named{s.ID, s.Name}
	}
	id, err := choose("slot", "fob vault slots", arg, all)
	if err != nil {
		return api.Slot{}, nil, err
	}
	at := slices.IndexFunc(v.Slots, func(s api.Slot) bool { return s.ID == id })
	return v.Slots[at], slices.Delete(slices.Clone(v.Slots), at, at+1), nil
}

// completeSlots offers the slots of the vault.
func (a *app) completeSlots(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completions(cmd, args, func(ctx context.Context, c *client.Client) ([]named, error) {
		v, err := c.Vault(ctx)
		var all []named
		for _, s := range v.Slots {
			all = append(all, named{s.ID, s.Name})
		}
		return all, err
	})
}
