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
accounts are listed without a code. An account that is in several places, such
as a card and its backup, is one: a place that takes no touch is asked first,
and for HOTP always the first that fob accounts lists.

With --copy that code goes into the clipboard instead, which is cleared after
30 s if it still holds it. Where that account is in the vault alone, and the
vault is sealed and opens by a tap, it waits for the tap.`,
		Example:           "  fob codes\n  fob codes github\n  fob codes --copy contoso alice",
		ValidArgsFunction: a.completeAccounts,
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
			if query != "" && oneAccount(found.Accounts) {
				if err := a.onlyOne(cmd, c, &found); err != nil {
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
	found, err := c.Accounts(cmd.Context(), query)
	if err != nil {
		return err
	}
	places := found.Accounts
	switch exact := exactly(places, query); {
	case len(exact) == 1:
		places = exact
	case len(places) == 0:
		return a.nothingFound(found, query)
	case !oneAccount(places):
		return ambiguous(query, places)
	}
	account, err := a.anyCode(cmd, c, places)
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

// oneAccount reports whether all are one account, in one or several places.
func oneAccount(all []api.Account) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(one api.Account) bool {
		return one.Issuer != all[0].Issuer || one.Name != all[0].Name || one.Kind != all[0].Kind || one.Period != all[0].Period
	})
}

// onlyOne leaves of the one account that was found the places that gave its code. Where none did, it asks one.
func (a *app) onlyOne(cmd *cobra.Command, c *client.Client, found *api.Accounts) error {
	coded := slices.Clone(found.Accounts)
	coded = slices.DeleteFunc(coded, func(one api.Account) bool { return len(one.Code) == 0 })
	if len(coded) == 0 {
		one, err := a.anyCode(cmd, c, found.Accounts)
		if err != nil {
			return err
		}
		coded = append(coded, one)
	}
	found.Accounts = coded
	found.Problems = slices.DeleteFunc(found.Problems, func(p api.Error) bool { return p.Code == api.CodeSealed }) // it took no part, or is open now
	return nil
}

func wipeCodes(all []api.Account) {
	for _, account := range all {
		account.Code.Wipe()
	}
}

// anyCode fetches an account's code from one of its places: from one that takes no touch rather than one that does, and
// from a sealed vault only where it is nowhere else, for which it waits for a tap. A code that counts is always the
// first place's, as each counts by itself.
func (a *app) anyCode(cmd *cobra.Command, c *client.Client, places []api.Account) (account api.Account, err error) {
	if places[0].Kind == "hotp" {
		places = places[:1]
	}
	places = slices.Clone(places)
	slices.SortStableFunc(places, func(x, y api.Account) int { return rank(x.Touch) - rank(y.Touch) })
	for _, place := range places {
		what := title(place)
		if len(places) > 1 {
			what += ", on " + client.Show(whereText(place))
		}
		account, err = a.codeOf(cmd, c, place, what)
		if !isCode(err, api.CodeSealed) {
			return account, err
		}
	}
	if opened, tapErr := a.unlockByTap(cmd.Context(), c, given{}); opened {
		return a.oneCode(cmd, c, places[0])
	} else if tapErr != nil && !isCode(tapErr, api.CodeNoKey) {
		return api.Account{}, tapErr
	}
	return api.Account{}, err
}

func rank(touch bool) int {
	if touch {
		return 1
	}
	return 0
}

// oneCode fetches an account's code, and says when the key has to be touched.
func (a *app) oneCode(cmd *cobra.Command, c *client.Client, account api.Account) (api.Account, error) {
	return a.codeOf(cmd, c, account, title(account))
}

// codeOf is oneCode where the account is called what.
func (a *app) codeOf(cmd *cobra.Command, c *client.Client, account api.Account, what string) (api.Account, error) {
	s := newScreen(a.stderr)
	defer s.clear()
	pinned := account.Pinned
	account, err := c.Code(cmd.Context(), account.ID, func() {
		s.progress("Touch the key for the code of "+what, time.Time{})
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
	if len(found.Accounts) == 0 {
		return a.nothingFound(found, query)
	}
	a.printProblems(found.Problems)
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
// It says why the others could not.
func (a *app) nothingFound(found api.Accounts, query string) error {
	if len(found.Accounts) > 0 {
		return nil
	}
	// That no card can be asked does not tell where the account is: it is said beside the rest.
	hint := ""
	var problems []api.Error
	for _, p := range found.Problems {
		if p.Code == api.CodeNoCardService {
			hint = sentence(p.Message)
		} else {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 && !a.json {
		a.printProblems(problems[1:])
	}
	if hint != "" && (query != "" || len(problems) > 0) && !a.json {
		fmt.Fprintln(a.stderr, hint)
	}
	switch {
	case len(problems) > 0:
		return &problems[0]
	case query != "":
		return api.Errorf(api.CodeNotFound, "no account has %q in its issuer or name: see fob accounts", client.Show(query))
	case a.json:
		return nil
	}
	fmt.Fprintln(a.out, "There are no accounts, on a card that is in a reader or in the vault: add one with “fob accounts add”.")
	if hint != "" {
		fmt.Fprintln(a.out, hint)
	}
	return nil
}
