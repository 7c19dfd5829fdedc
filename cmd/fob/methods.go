package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) methodsCmd() *cobra.Command {
	var user string
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		methods, err := c.Methods(cmd.Context(), user)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(notNil(methods))
		}
		return a.printMethods(cmd.Context(), c, methods)
	}
	cmd := group(&cobra.Command{
		Use:   "methods",
		Short: "Register, list, test and remove sign-in methods",
		Long: `List your sign-in methods, or change them. A method is named by its id, the
beginning of its id, or its name.

Adding a second method and removing one need an approval with a method that is
registered already. With a one-time code from an administrator, adding goes
without: --helpdesk.`,
		Example: `  fob methods add key --name Blue
  fob methods add key --name Blue --backup
  fob methods add token 73159
  fob methods add recovery
  fob methods test Blue
  fob methods lost Blue`,
	}, list,
		&cobra.Command{Use: "list", Short: "List the sign-in methods", Args: noArgument, RunE: list},
		group(&cobra.Command{
			Use:     "add",
			Short:   "Register a sign-in method",
			Example: "  fob methods add key --name Blue --backup\n  fob methods add token 73159\n  fob methods add recovery",
		},
			func(cmd *cobra.Command, _ []string) error {
				return usagef("say what to add: fob methods add key, fob methods add token SERIAL, or fob methods add recovery")
			},
			a.addKeyCmd(&user), a.addTokenCmd(&user), a.addRecoveryCmd(&user)),
		a.renameCmd(&user), a.defaultCmd(&user), a.removeCmd(&user), a.lostCmd(&user), a.testCmd(&user), a.resyncCmd(&user), a.confirmNameCmd(&user))
	cmd.PersistentFlags().StringVar(&user, "user", "", "for root: login `name` of the user whose methods these are (default: yourself)")
	return cmd
}

func (a *app) printMethods(ctx context.Context, c *client.Client, methods []api.Method) error {
	if len(methods) == 0 {
		_, err := fmt.Fprintln(a.out, sentence(noMethodText))
		return err
	}
	rows := make([][]string, len(methods))
	for i, m := range methods {
		used := "never"
		if m.LastUsed != nil {
			used = when(*m.LastUsed)
		}
		var notes []string
		if m.Default {
			notes = append(notes, "default")
		}
		if m.Serial != "" {
			// Where it cannot be told it is not said.
			if t, err := c.Token(ctx, m.Serial); err == nil && t.State == api.TokenDisabled {
				notes = append(notes, "disabled")
			}
		}
		if m.Left != nil {
			notes = append(notes, fmt.Sprintf("%d of %d left", *m.Left, recoveryCodes))
		}
		name := m.Name
		if len(notes) > 0 {
			name += " (" + strings.Join(notes, ", ") + ")"
		}
		strength := m.Strength
		if strength == noStrength {
			strength = ""
		}
		rows[i] = []string{m.ID, name, m.Type, strength, when(m.Added), used}
	}
	if err := table(a.out, []string{"ID", "NAME", "TYPE", "STRENGTH", "ADDED", "USED"}, rows); err != nil {
		return err
	}
	for _, m := range methods {
		if m.Suspect {
			fmt.Fprintf(a.out, "%s may have been cloned: its counter went back. Remove it unless you know why.\n", quoted(m.Name, m.ID))
		}
	}
	return nil
}

func (a *app) addKeyCmd(user *string) *cobra.Command {
	var spec api.MethodSpec
	var g given
	var helpdesk helpdeskSource
	var keyArg string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Register a security key",
		Long: `Register a security key: touch it once to register it and once more to test it.
From the second method on, one that is registered already has to approve first.

--backup registers a second, different key right afterwards; if that fails the
first one stays.`,
		Example: "  fob methods add key --name Blue\n  fob methods add key --name Blue --backup --backup-name Drawer",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if spec.BackupName != "" {
				spec.Backup = true
			}
			spec.Type = "key"
			request := api.BeginRequest{Kind: api.KindAddMethod, User: *user, Method: spec}
			if keyArg != "" {
				c, err := a.client()
				if err != nil {
					return err
				}
				key, err := pickKey(cmd.Context(), c, []string{keyArg})
				if err != nil {
					return err
				}
				request.Key = key.ID
			}
			return a.add(cmd.Context(), request, g, helpdesk, a.printAdded)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.Name, "name", "", "`name` of the key, such as Blue")
	flags.BoolVar(&spec.Backup, "backup", false, "register a second, different key afterwards")
	flags.StringVar(&spec.BackupName, "backup-name", "", "`name` of the second key")
	flags.StringVar(&keyArg, "key", "", "register the key with this `id` (default: the one that is touched)")
	helpdeskFlag(cmd, &helpdesk)
	g.flags(cmd)
	completeFunc(cmd, "key", a.completeKeys)
	return cmd
}

func (a *app) addTokenCmd(user *string) *cobra.Command {
	spec := api.MethodSpec{Type: "token"}
	var g given
	var helpdesk helpdeskSource
	cmd := &cobra.Command{
		Use:   "token SERIAL",
		Short: "Register a hardware token that is yours",
		Long: `Register a hardware token that is assigned to you, by the serial number that is
printed on it: type the codes that it shows, which is its test. A token that
counts time is asked for one code, or for two in a row where its clock is off;
one that counts presses always for two. From the second method on, one that is
registered already has to approve first.`,
		Example:           "  fob methods add token 73159 --name Fob\n  fob methods add token 73159 --code - <codes",
		Args:              one("token by its serial number", "fob tokens"),
		ValidArgsFunction: a.completeTokens,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.canAskCodes(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			token, err := c.Token(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if token.State == api.TokenFree {
				return usagef("the token %s is nobody's yet: fob tokens assign %s", client.Show(token.Serial), client.Show(token.Serial))
			}
			spec.Serial = token.Serial
			return a.add(cmd.Context(), api.BeginRequest{Kind: api.KindAddMethod, User: *user, Method: spec}, g, helpdesk, a.printAdded)
		},
	}
	cmd.Flags().StringVar(&spec.Name, "name", "", "`name` of the token, such as Fob")
	helpdeskFlag(cmd, &helpdesk)
	g.flags(cmd)
	return cmd
}

// canAskCodes refuses where codes must be typed and there is nothing to type them at.
func (g given) canAskCodes() error {
	if err := g.check(); err != nil {
		return err
	}
	if g.code == "" && !haveTerminal() {
		return usagef("there is no terminal to type codes at: run this in one, or give the codes on standard input with --code -")
	}
	return nil
}

func (a *app) printAdded(s api.RequestState, won string) error {
	for _, m := range s.Methods {
		details := m.Algorithm
		if m.Attested != "" && m.Attested != "none" {
			details += ", attestation " + m.Attested
		}
		if m.Type == "token" {
			details = "token " + m.Serial
		}
		fmt.Fprintf(a.out, "Registered: %s, id %s (%s)\n", quoted(m.Name, m.ID), client.Show(m.ID), client.Show(details))
	}
	if len(s.Methods) == 0 {
		fmt.Fprintln(a.out, outcome(s, won))
	}
	return nil
}
