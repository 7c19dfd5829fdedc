package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) codesCmd() *cobra.Command {
	var toClipboard bool
	cmd := &cobra.Command{
		Use:   "codes [QUERY]",
		Short: "Show the codes that other sites ask for, from your cards and the vault",
		Long: `Show the codes of your accounts, from every card that is in a reader (a security
key may be one) and from the vault; with QUERY those that its words fit best:
words of the issuer and name, or both as they are printed (Contoso: alice), or
an id, as fob accounts shows it. Words of the place can be added: those of the
reader, the card's id, or vault.

Where QUERY finds one account alone, its code is fetched also where that takes a
touch of the key, or where it counts (HOTP) and is then used up. Otherwise such
accounts are listed without a code. With --copy that code goes into the
clipboard instead, which is cleared after 30 s if it still holds it. Where that
account is in the vault, and the vault is sealed and opens by a tap, it waits
for the tap.`,
		Example: "  fob codes\n  fob codes github\n  fob codes --copy contoso alice",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			query := strings.Join(args, " ")
			if toClipboard {
				return a.copyOne(cmd, c, query)
			}
			found, err := c.Codes(cmd.Context(), query)
			if err != nil {
				return err
			}
			defer func() { wipeCodes(found.Accounts) }()
			if query != "" && sealedOne(found) {
				if opened, err := a.unlockByTap(cmd.Context(), c, given{}); err != nil && !isCode(err, api.CodeNoKey) {
					return err
				} else if opened {
					if found, err = c.Codes(cmd.Context(), query); err != nil {
						return err
					}
				}
			}
			if query != "" && len(found.Accounts) == 1 && len(found.Accounts[0].Code) == 0 && mayAsk(found) {
				if found.Accounts[0], err = a.oneCode(cmd, c, found.Accounts[0]); err != nil {
					return err
				}
			}
			return a.printCodes(found, query)
		},
	}
	cmd.Flags().BoolVar(&toClipboard, "copy", false, "put the one code that QUERY finds into the clipboard")
	return cmd
}

// copyOne puts the code of the one account that query finds into the clipboard.
func (a *app) copyOne(cmd *cobra.Command, c *client.Client, query string) error {
	if query == "" {
		return usagef("say whose code: fob codes --copy QUERY")
	}
	if _, err := findClipboard(); err != nil {
		return err // before a code that counts is used up
	}
	_, account, err := a.pickAccount(cmd.Context(), query)
	if err != nil {
		return err
	}
	picked := account
	account, err = a.oneCode(cmd, c, picked)
	if isCode(err, api.CodeSealed) {
		if opened, tapErr := a.unlockByTap(cmd.Context(), c, given{}); opened {
			account, err = a.oneCode(cmd, c, picked)
		} else if tapErr != nil && !isCode(tapErr, api.CodeNoKey) {
			return tapErr
		}
	}
	if err != nil {
		return err
	}
	defer account.Code.Wipe()
	if err := copyCode(cmd.Context(), account.Code); err != nil {
		return err
	}
	text := "Copied: the code of " + title(account) + ". The clipboard is cleared in 30 s."
	if account.Until != nil {
		text = fmt.Sprintf("Copied: the code of %s, good for %s. The clipboard is cleared in 30 s.", title(account), left(*account.Until))
	}
	return a.said(text)
}

// sealedOne reports whether the one account that was found has no code because the vault is sealed.
func sealedOne(found api.Accounts) bool {
	return len(found.Accounts) == 1 && found.Accounts[0].Where == api.AccountVault && len(found.Accounts[0].Code) == 0 &&
		slices.ContainsFunc(found.Problems, func(p api.Error) bool { return p.Code == api.CodeSealed })
}

// mayAsk reports whether an account without a code can be asked for one: the vault's, while it is sealed, cannot.
func mayAsk(found api.Accounts) bool {
	one := found.Accounts[0]
	return one.Where != api.AccountVault || one.Kind == "hotp"
}

func wipeCodes(all []api.Account) {
	for _, account := range all {
		account.Code.Wipe()
	}
}

// oneCode fetches an account's code, and says when the key has to be touched.
func (a *app) oneCode(cmd *cobra.Command, c *client.Client, account api.Account) (api.Account, error) {
	s := newScreen(a.stderr)
	defer s.clear()
	pinned := account.Pinned
	account, err := c.Code(cmd.Context(), account.ID, func() {
		s.progress("Touch the key for the code of "+title(account), time.Time{})
	})
	account.Pinned = pinned
	return account, err
}

// title is what an account is called in a sentence.
func title(account api.Account) string {
	if account.Issuer == "" {
		return client.Show(account.Name)
	}
	return client.Show(account.Issuer) + ": " + client.Show(account.Name)
}

func (a *app) printCodes(found api.Accounts, query string) error {
	if a.json {
		if found.Accounts == nil {
			found.Accounts = []api.Account{}
		}
		if err := a.printJSON(found); err != nil {
			return err
		}
		return a.nothingFound(found, query)
	}
	a.printProblems(found.Problems)
	if len(found.Accounts) == 0 {
		return a.nothingFound(found, query)
	}
	rows := make([][]string, len(found.Accounts))
	for i, account := range found.Accounts {
		rows[i] = []string{account.Issuer, account.Name, codeText(account), lasting(account), whereText(account)}
	}
	return table(a.out, []string{"ISSUER", "ACCOUNT", "CODE", "LEFT", "ON"}, rows)
}

// codeText is an account's code as people read it, in two halves, or why there is none.
func codeText(account api.Account) string {
	switch n := len(account.Code); {
	case n > 0:
		return string(account.Code[:n/2]) + " " + string(account.Code[n/2:])
	case account.Touch:
		return "(touch)"
	case account.Kind == "hotp":
		return "(counts)"
	}
	return ""
}

func lasting(account api.Account) string {
	if account.Until == nil || len(account.Code) == 0 {
		return ""
	}
	return left(*account.Until)
}

func whereText(account api.Account) string {
	if account.Where == api.AccountVault {
		return "the vault"
	}
	return account.Reader
}

// printProblems says what could not be asked, on stderr.
func (a *app) printProblems(problems []api.Error) {
	for _, p := range problems {
		fmt.Fprintln(a.stderr, sentence(p.Message))
	}
}

// nothingFound is the error where nothing was found: that of the first place that could not be asked, if there is one.
func (a *app) nothingFound(found api.Accounts, query string) error {
	switch {
	case len(found.Accounts) > 0:
		return nil
	case len(found.Problems) > 0:
		return &found.Problems[0]
	case query != "":
		return api.Errorf(api.CodeNotFound, "no account has %q in its issuer or name: see fob accounts", client.Show(query))
	case a.json:
		return nil
	}
	_, err := fmt.Fprintln(a.out, "There are no accounts, on a card that is in a reader or in the vault: add one with “fob accounts add”.")
	return err
}
