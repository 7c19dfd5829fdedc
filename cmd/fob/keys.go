package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) keysCmd() *cobra.Command {
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		keys, err := c.Keys(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(notNil(keys))
		}
		return a.printKeys(keys)
	}
	return group(&cobra.Command{
		Use:   "keys",
		Short: "List the plugged security keys, set their PINs, reset them",
		Long: `List the security keys that are plugged in now. A key is named by its id, the
beginning of its id, or its name; where only one is plugged in, info, set-pin
and change-pin need no name.`,
		Example: "  fob keys\n  fob keys info\n  fob keys set-pin",
	}, list,
		&cobra.Command{Use: "list", Short: "List the plugged keys", Args: noArgument, RunE: list},
		a.keyInfoCmd(), a.setPINCmd(), a.changePINCmd(), a.resetCmd())
}

func (a *app) printKeys(keys []api.Key) error {
	if len(keys) == 0 {
		_, err := fmt.Fprintln(a.out, "No security key is plugged in.")
		return err
	}
	rows := make([][]string, len(keys))
	for i, k := range keys {
		rows[i] = []string{k.ID, k.Name, k.Serial, strings.Join(k.Methods, " ")}
	}
	if err := table(a.out, []string{"ID", "NAME", "SERIAL", "METHODS"}, rows); err != nil {
		return err
	}
	for _, k := range keys {
		if k.Problem != "" {
			fmt.Fprintf(a.out, "%s: %s\n", quoted(k.Name, k.ID), client.Show(k.Problem))
		}
	}
	return nil
}

func (a *app) keyInfoCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "info [KEY]",
		Short:             "Ask a key what it is and what it can do",
		Args:              atMostOne("key"),
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			key, err := pickKey(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			info, err := c.KeyInfo(cmd.Context(), key.ID)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(info)
			}
			return a.printKeyInfo(info)
		},
	}
}

func (a *app) printKeyInfo(k api.KeyInfo) error {
	fmt.Fprintln(a.out, quoted(k.Name, k.ID))
	standard := "FIDO2"
	if !k.FIDO2 {
		standard = "U2F only: no PIN, and it cannot be registered as verified"
	}
	pin := "this key has none"
	switch {
	case k.PINSet && k.PINRetries != nil:
		pin = "set, " + plural(*k.PINRetries, "try", "tries") + " left"
	case k.PINSet:
		pin = "set"
	case k.PINSupported:
		pin = "not set; set one with: fob keys set-pin " + k.ID
	}
	if k.PINMustChange {
		pin += ", must be changed before the key works: fob keys change-pin " + k.ID
	}
	usb := ""
	if k.VendorID != 0 {
		usb = fmt.Sprintf("%04x:%04x", k.VendorID, k.ProductID)
	}
	firmware := ""
	if k.FirmwareNumber != 0 {
		firmware = fmt.Sprint(k.FirmwareNumber)
	}
	options := make([]string, 0, len(k.Options))
	for _, name := range slices.Sorted(maps.Keys(k.Options)) {
		options = append(options, name+"="+yesNo(k.Options[name]))
	}
	return facts(a.out,
		[2]string{"id", k.ID},
		[2]string{"USB", usb},
		[2]string{"serial", k.Serial},
		[2]string{"standard", standard},
		[2]string{"versions", strings.Join(k.Versions, ", ")},
		[2]string{"PIN", pin},
		[2]string{"algorithms", strings.Join(k.Algorithms, ", ")},
		[2]string{"extensions", strings.Join(k.Extensions, ", ")},
		[2]string{"options", strings.Join(options, ", ")},
		[2]string{"AAGUID", k.AAGUID},
		[2]string{"firmware", firmware},
		[2]string{"methods", strings.Join(k.Methods, ", ")},
		[2]string{"problem", k.Problem},
	)
}

func (a *app) setPINCmd() *cobra.Command {
	return a.pinCmd("set-pin [KEY]", "Set the first PIN of a key", false,
		`Set the first PIN of a key. It is asked for at the terminal, twice, and is not
shown. The PIN belongs to the key: it is the same for every program that uses
the key, and after 8 wrong ones in all the key must be reset.

With --pin - it is the first line of standard input.`)
}

func (a *app) changePINCmd() *cobra.Command {
	return a.pinCmd("change-pin [KEY]", "Change the PIN of a key", true,
		`Change the PIN of a key. The old PIN is asked for at the terminal, then the
new one, twice. With --pin - they are the first and the second line of standard
input.`)
}

func (a *app) pinCmd(use, short string, change bool, long string) *cobra.Command {
	var pin string
	cmd := &cobra.Command{
		Use:               use,
		Short:             short,
		Long:              long,
		Args:              atMostOne("key"),
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromInput("pin", "a PIN", pin); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			key, err := pickKey(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			info, err := c.KeyInfo(cmd.Context(), key.ID)
			switch {
			case err != nil:
				return err
			case !info.PINSupported:
				return api.Errorf(api.CodeUnsupported, "%s cannot have a PIN", quoted(key.Name, key.ID))
			case change && !info.PINSet:
				return api.Errorf(api.CodePINNotSet, "%s has no PIN yet: set one with fob keys set-pin", quoted(key.Name, key.ID))
			case !change && info.PINSet:
				return usagef("%s has a PIN already: change it with fob keys change-pin", quoted(key.Name, key.ID))
			}
			if pin == "" && !haveTerminal() {
				return usagef("there is no terminal to ask for the PIN at: run this in one, or give the PIN on standard input with --pin -")
			}
			request := api.BeginRequest{Kind: api.KindSetPIN, Key: key.ID}
			return a.begin(cmd.Context(), request, given{pin: pin}, func(api.RequestState, string) error {
				verb := "set"
				if change {
					verb = "changed"
				}
				_, err := fmt.Fprintf(a.out, "The PIN of %s is %s.\n", quoted(key.Name, key.ID), verb)
				return err
			})
		},
	}
	pinFlag(cmd, &pin)
	return cmd
}

func (a *app) resetCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "reset KEY",
		Short: "Erase a key: all its credentials, for every site, and its PIN",
		Long: `Erase a key. Everything on it is lost for good: its PIN and the credentials of
every site and program that it was registered with, not only Fob's. The key has
to be named, and the reset confirmed by typing.

Keys allow a reset only in the first 10 seconds after they were plugged in:
unplug the key, plug it in again, and touch it within 10 seconds.`,
		Args:              one("key", "fob keys"),
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			key, err := pickKey(cmd.Context(), c, args)
			if err != nil {
				return err
			}
			if !haveTerminal() {
				return usagef("erasing a key has to be confirmed at a terminal: run this in one")
			}
			name := quoted(key.Name, key.ID)
			fmt.Fprintf(a.stderr, `This erases the key %s for good:
  - its PIN;
  - its credentials for every site and program, not only Fob's.
When asked: unplug the key, plug it in again, and touch it within 10 seconds.
`, name)
			request := api.BeginRequest{Kind: api.KindReset, Key: key.ID}
			return a.begin(cmd.Context(), request, given{}, func(api.RequestState, string) error {
				_, err := fmt.Fprintf(a.out, "The key %s is erased. It approves nothing until it is registered again: fob methods add key\n", name)
				return err
			})
		},
	}
}

// notNil makes an empty list print as [] and not as null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
