package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) tokensCmd() *cobra.Command {
	var user string
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		if a.json {
			return a.streamTokens(cmd.Context(), c, user)
		}
		return a.printTokens(cmd.Context(), c, user)
	}
	cmd := group(&cobra.Command{
		Use:   "tokens",
		Short: "List hardware tokens; import, assign, disable and remove them",
		Long: `List the hardware tokens whose codes Fob verifies, or change them. A token is
named by the serial number that is printed on it.

A token comes in with its seed, which its maker delivers in a file: import it,
assign the token, and register it as a sign-in method with fob methods add
token.`,
		Example: "  fob tokens import tokens.xml\n  fob tokens assign 73159\n  fob methods add token 73159",
	}, list, a.listTokensCmd(&user, list),
		a.importCmd(), a.exportCmd(), a.assignCmd(),
		a.changeTokenCmd(api.TokenUnassign, "Take a token from its user",
			"Take a token from its user. Where it is a sign-in method that ends, and a\nregistered method has to approve it.", "The token %s belongs to nobody now.\n"),
		a.changeTokenCmd(api.TokenDisable, "Refuse a token's codes, as when it is lost",
			"Refuse a token's codes until it is enabled again. Where it is a sign-in method,\na registered method has to approve that.", "The token %s is disabled: its codes are refused.\n"),
		a.changeTokenCmd(api.TokenEnable, "Accept a disabled token's codes again",
			"Accept a disabled token's codes again. Where it is a sign-in method, a\nregistered method has to approve that.", "The token %s is enabled.\n"),
		a.changeTokenCmd(api.TokenRemove, "Remove a token that was never used",
			"Remove a token that was never used, as one whose seed was typed wrongly: import\nit again afterwards. One of which a code was ever accepted stays: disable it\ninstead. One that is a sign-in method is removed as that first, with fob methods\nremove.", "Removed: %s\n"),
		a.renameTokenCmd())
	userFlag(cmd, &user)
	return cmd
}

func (a *app) listTokensCmd(user *string, list func(*cobra.Command, []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the tokens", Args: noArgument, RunE: list}
	userFlag(cmd, user)
	return cmd
}

func userFlag(cmd *cobra.Command, user *string) {
	cmd.Flags().StringVar(user, "user", "", "login `name` of the user whose tokens are listed (default: everybody's)")
}

// streamTokens prints an array whose elements come as the daemon gives them.
func (a *app) streamTokens(ctx context.Context, c *client.Client, user string) error {
	n := 0
	for t, err := range c.Tokens(ctx, user) {
		if err != nil {
			return err
		}
		data, err := json.MarshalIndent(t, "  ", "  ")
		if err != nil {
			return fmt.Errorf("cannot write JSON: %w", err)
		}
		before := ",\n  "
		if n == 0 {
			before = "[\n  "
		}
		n++
		if _, err := fmt.Fprint(a.out, before, escapeJSON(data)); err != nil {
			return err
		}
	}
	end := "\n]\n"
	if n == 0 {
		end = "[]\n"
	}
	_, err := fmt.Fprint(a.out, end)
	return err
}

func (a *app) printTokens(ctx context.Context, c *client.Client, user string) error {
	var rows [][]string
	for t, err := range c.Tokens(ctx, user) {
		if err != nil {
			return err
		}
		rows = append(rows, []string{t.Serial, t.Name, t.Kind, t.User, t.State, when(t.Added)})
	}
	if len(rows) == 0 {
		text := "There are no tokens: import them with “fob tokens import FILE”."
		if user != "" {
			text = client.Show(user) + " has no tokens."
		}
		_, err := fmt.Fprintln(a.out, text)
		return err
	}
	return table(a.out, []string{"SERIAL", "NAME", "TYPE", "USER", "STATE", "ADDED"}, rows)
}

func (a *app) assignCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "assign SERIAL [USER]",
		Short: "Give a token to a user",
		Long: `Give a token to a user, by login name; to yourself if none is named. A token
that is another user's has to be taken from them first.`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return usagef("name the token by its serial number: see fob tokens")
			case len(args) > 2:
				return usagef("name one token and one user only; a serial number with spaces is put in quotation marks")
			}
			return nil
		},
		ValidArgsFunction: a.completeTokens,
		RunE: func(cmd *cobra.Command, args []string) error {
			user := ""
			if len(args) > 1 {
				user = args[1]
			}
			return a.patchToken(cmd.Context(), args[0], api.TokenPatch{User: &user}, func(t api.Token) string {
				text := fmt.Sprintf("The token %s is %s's now.", client.Show(t.Serial), client.Show(t.User))
				if user == "" {
					text += " Register it: fob methods add token " + client.Show(t.Serial)
				}
				return text
			})
		},
	}
}

func (a *app) renameTokenCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "rename SERIAL NAME",
		Short:             "Give a token a name",
		Long:              "Give a token a name, beside its serial number. An empty name takes it away.",
		Args:              oneAndName("token by its serial number", "fob tokens", "fob tokens rename SERIAL NAME"),
		ValidArgsFunction: a.completeTokens,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.patchToken(cmd.Context(), args[0], api.TokenPatch{Name: &args[1]}, func(t api.Token) string {
				if t.Name == "" {
					return fmt.Sprintf("The token %s has no name now.", client.Show(t.Serial))
				}
				return fmt.Sprintf("The token %s is called %s now.", client.Show(t.Serial), quoted(t.Name, t.Serial))
			})
		},
	}
}

func (a *app) patchToken(ctx context.Context, serial string, patch api.TokenPatch, said func(api.Token) string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	t, err := c.PatchToken(ctx, serial, patch)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(t)
	}
	_, err = fmt.Fprintln(a.out, said(t))
	return err
}

// changeTokenCmd is a change that may need an approval.
func (a *app) changeTokenCmd(action, short, long, said string) *cobra.Command {
	var g given
	change := api.TokenChange{Action: action}
	cmd := &cobra.Command{
		Use:               action + " SERIAL",
		Short:             short,
		Long:              long,
		Args:              one("token by its serial number", "fob tokens"),
		ValidArgsFunction: a.completeTokens,
		RunE: func(cmd *cobra.Command, args []string) error {
			change.Serial = args[0]
			return a.begin(cmd.Context(), api.BeginRequest{Kind: api.KindChangeToken, Token: change}, g, func(api.RequestState, string) error {
				if _, err := fmt.Fprintf(a.out, said, client.Show(args[0])); err != nil || !change.Force {
					return err
				}
				return a.sayIfNoMethod(cmd.Context())
			})
		},
	}
	if action == api.TokenUnassign || action == api.TokenDisable {
		cmd.Flags().BoolVar(&change.Force, "force", false, "do it even if no usable sign-in method is left: it is removed too")
	}
	g.flags(cmd)
	return cmd
}

// sayIfNoMethod says where nothing is left to sign in with. Where it cannot be told it is not said.
func (a *app) sayIfNoMethod(ctx context.Context) error {
	c, err := a.client()
	if err != nil {
		return nil
	}
	if methods, err := c.Methods(ctx, ""); err != nil || len(methods) > 0 || a.json {
		return nil
	}
	_, err = fmt.Fprintln(a.out, sentence(noMethodText))
	return err
}

// completeTokens offers serial numbers that go on from what was typed.
func (a *app) completeTokens(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completions(cmd, args, func(ctx context.Context, c *client.Client) ([]named, error) {
		page, err := c.TokenPage(ctx, client.TokenQuery{After: typed})
		var all []named
		for _, t := range page.Tokens {
			name := t.Name
			if name == "" {
				name = t.State
			}
			all = append(all, named{t.Serial, name})
		}
		return all, err
	})
}
