package main

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) accountsCmd() *cobra.Command {
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		found, err := c.Accounts(cmd.Context(), "")
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(found)
		}
		return a.printAccounts(found)
	}
	return group(&cobra.Command{
		Use:   "accounts",
		Short: "List the accounts whose codes Fob shows; add, export, rename, pin and delete",
		Long: `List the accounts of other sites whose codes fob codes shows, on the cards that
are in a reader and in the vault, or change them.

An account is named by words of its issuer and name, by both as they are printed
(Contoso: alice), or by its id, which this list shows. Where some accounts have
the words as a whole and others a part of them, the former are meant. Where one
account is in several places, words of the place can be added: those of the
reader, the card's id, or vault.`,
		Example: "  fob accounts\n  fob accounts add\n  fob accounts rename github alice@example.com",
	}, list,
		&cobra.Command{Use: "list", Short: "List the accounts", Args: noArgument, RunE: list},
		a.addAccountCmd(), a.importAccountsCmd(), a.exportAccountsCmd(), a.renameAccountCmd(), a.pinAccountCmd("pin", "Have an account stand before others", true),
		a.pinAccountCmd("unpin", "Have an account stand among the others again", false), a.deleteAccountCmd())
}

func (a *app) printAccounts(found api.Accounts) error {
	if len(found.Accounts) == 0 {
		return a.nothingFound(found, "")
	}
	a.printProblems(found.Problems)
	rows := make([][]string, len(found.Accounts))
	for i, account := range found.Accounts {
		rows[i] = []string{account.Issuer, account.Name, accountType(account), whereText(account), account.ID}
		if account.Pinned {
			rows[i][1] += " (pinned)"
		}
	}
	return table(a.out, []string{"ISSUER", "ACCOUNT", "TYPE", "ON", "ID"}, rows)
}

// accountType says in a few words how an account's codes come about.
func accountType(account api.Account) string {
	switch {
	case account.Kind == "hotp":
		return "counts"
	case account.Touch:
		return fmt.Sprintf("every %d s, with a touch", account.Period)
	}
	return fmt.Sprintf("every %d s", account.Period)
}

// pickAccount finds the one account that arg names: by its id, or by words of its issuer and name and of its place.
func (a *app) pickAccount(ctx context.Context, arg string) (*client.Client, api.Account, error) {
	c, err := a.client()
	if err != nil {
		return nil, api.Account{}, err
	}
	found, err := c.Accounts(ctx, arg)
	if err != nil {
		return nil, api.Account{}, err
	}
	if exact := exactly(found.Accounts, arg); len(exact) == 1 {
		return c, exact[0], nil
	}
	switch len(found.Accounts) {
	case 0:
		return nil, api.Account{}, a.nothingFound(found, arg)
	case 1:
		return c, found.Accounts[0], nil
	}
	return nil, api.Account{}, ambiguous(arg, found.Accounts)
}

// ambiguous is the error where arg names several accounts.
func ambiguous(arg string, all []api.Account) error {
	var each []named
	for _, account := range all {
		each = append(each, named{account.ID, title(account) + ", on " + whereText(account)})
	}
	return usagef("%q can be more than one account: %s", client.Show(arg), candidates(each))
}

// exactly gives the accounts whose name, or issuer and name, is just arg.
func exactly(all []api.Account, arg string) (out []api.Account) {
	for _, account := range all {
		if account.ID == arg || account.Name == arg || title(account) == arg {
			out = append(out, account)
		}
	}
	return out
}

func (a *app) renameAccountCmd() *cobra.Command {
	var issuer string
	cmd := &cobra.Command{
		Use:   "rename ACCOUNT NAME [--issuer ISSUER]",
		Short: "Give an account another name",
		Long: `Give an account another name, and with --issuer another issuer: the site that it
is for. Cards can do this from version 5.3.1 on.`,
		Args:              oneAndName("account", "fob accounts", "fob accounts rename ACCOUNT NAME"),
		ValidArgsFunction: a.completeAccounts,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, account, err := a.pickAccount(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("issuer") {
				issuer = account.Issuer
			}
			id, err := c.PatchAccount(cmd.Context(), account.ID, api.AccountPatch{Issuer: issuer, Name: &args[1]})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(api.Renamed{ID: id})
			}
			account.Issuer, account.Name = issuer, args[1]
			_, err = fmt.Fprintf(a.out, "%s is the name now.\n", quoted(title(account), id))
			return err
		},
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "the `site` that the account is for (default: as it is)")
	return cmd
}

func (a *app) pinAccountCmd(verb, short string, first bool) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " ACCOUNT",
		Short:             short,
		Args:              one("account", "fob accounts"),
		ValidArgsFunction: a.completeAccounts,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, account, err := a.pickAccount(cmd.Context(), args[0])
			if err != nil && !first {
				return a.unpinAway(cmd.Context(), args[0], err)
			}
			if err != nil {
				return err
			}
			if _, err := c.PatchAccount(cmd.Context(), account.ID, api.AccountPatch{Pinned: &first}); err != nil {
				return err
			}
			if first {
				return a.said(quoted(title(account), account.ID) + " stands first now.")
			}
			return a.said(quoted(title(account), account.ID) + " stands among the others now.")
		},
	}
}

// onCardID is the form of the ids of accounts on cards.
var onCardID = regexp.MustCompile(`^[0-9a-f]{16}-[0-9A-Za-z_-]+$`)

// unpinAway unpins an account that was not found, by its id: its card need not be here for that.
func (a *app) unpinAway(ctx context.Context, arg string, why error) error {
	if !onCardID.MatchString(arg) {
		if isCode(why, api.CodeNotFound) {
			return api.Errorf(api.CodeNotFound, "no account that is here has %q in its issuer or name: if it is on a card that is away, put that card into a reader, or name the account by its id", client.Show(arg))
		}
		return why
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	first := false
	if _, err := c.PatchAccount(ctx, arg, api.AccountPatch{Pinned: &first}); err != nil {
		return err
	}
	return a.said(client.Show(arg) + " stands among the others now.")
}

func (a *app) deleteAccountCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete ACCOUNT",
		Short: "Delete an account, for good",
		Long: `Delete an account from the card or the vault that it is on, for good: the site
goes on asking for its codes. Turn the codes off there first, or have the
account elsewhere too.`,
		Args:              one("account", "fob accounts"),
		ValidArgsFunction: a.completeAccounts,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, account, err := a.pickAccount(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%s is deleted from %s, and its codes are gone for good.", quoted(title(account), account.ID), client.Show(whereText(account)))
			if err := a.confirmed(yes, what, "DELETE"); err != nil {
				return err
			}
			if err := c.DeleteAccount(cmd.Context(), account.ID); err != nil {
				return err
			}
			return a.said("Deleted: " + title(account))
		},
	}
	yesFlag(cmd, &yes)
	return cmd
}
