package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) cardsCmd() *cobra.Command {
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		cards, err := c.Cards(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(cards)
		}
		return a.printCards(cards)
	}
	return group(&cobra.Command{
		Use:   "cards",
		Short: "List the cards that hold accounts; unlock, protect and reset them",
		Long: `List the cards that are in a reader and can hold accounts, or change one. Many
security keys are such a card, and need no reader. A card is named by its id, or
by its reader's name.`,
		Example: "  fob cards\n  fob cards unlock --remember\n  fob cards password",
	}, list,
		&cobra.Command{Use: "list", Short: "List the cards", Args: noArgument, RunE: list},
		a.unlockCardCmd(), a.forgetCardCmd(), a.cardPasswordCmd(), a.resetCardCmd(), a.watchCardsCmd())
}

func (a *app) printCards(cards []api.Card) error {
	if len(cards) == 0 {
		_, err := fmt.Fprintln(a.out, "There is no card in a reader, and no key that is one.")
		return err
	}
	rows := make([][]string, len(cards))
	for i, card := range cards {
		accounts := ""
		if card.Open {
			accounts = fmt.Sprintf("%d of %d", card.Accounts, card.Slots)
		}
		rows[i] = []string{card.ID, card.Reader, card.Version, accounts, cardState(card)}
	}
	return table(a.out, []string{"ID", "READER", "VERSION", "ACCOUNTS", "STATE"}, rows)
}

func cardState(card api.Card) string {
	switch {
	case card.Problem != nil && card.Problem.Code == api.CodeCardLocked && card.Remembered:
		return "locked: its password is remembered in the vault, which opens with fob vault unlock"
	case card.Problem != nil && card.Problem.Code == api.CodeCardLocked:
		return "locked: open it with fob cards unlock"
	case card.Problem != nil:
		return card.Problem.Message
	case card.Remembered:
		return "open, its password is remembered"
	case card.Password:
		return "open until fobd ends"
	}
	return "open, without password"
}

// pickCard finds the card that args name, by id or reader; where they name none, the only one.
func (a *app) pickCard(ctx context.Context, args []string) (*client.Client, api.Card, error) {
	c, err := a.client()
	if err != nil {
		return nil, api.Card{}, err
	}
	cards, err := c.Cards(ctx)
	if err != nil {
		return nil, api.Card{}, err
	}
	var all []named
	none := api.Errorf(api.CodeNoCard, "there is no card in a reader: put one in, or plug in a key that is one")
	for _, card := range cards {
		if card.ID == "" {
			none = api.Errorf(card.Problem.Code, "%s: %s", client.Show(card.Reader), client.Show(card.Problem.Message))
			continue
		}
		all = append(all, named{card.ID, card.Reader})
	}
	var id string
	if len(args) > 0 {
		id, err = choose("card", "fob cards", args[0], all)
	} else {
		id, err = only("card", none, all)
	}
	for _, card := range cards {
		if err == nil && card.ID == id {
			return c, card, nil
		}
	}
	return nil, api.Card{}, err
}

func (a *app) unlockCardCmd() *cobra.Command {
	var remember bool
	var password string
	cmd := &cobra.Command{
		Use:   "unlock [CARD]",
		Short: "Open a card by its password",
		Long: `Open a card by its password, until fobd ends. With --remember what opens it is
kept in the vault, and the card opens by itself from now on, while the vault is
open.`,
		Args:              atMostOne("card"),
		ValidArgsFunction: a.completeCards,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromInput("password", "a password", password); err != nil {
				return err
			}
			c, card, err := a.pickCard(cmd.Context(), args)
			if err != nil {
				return err
			}
			if !card.Password {
				return usagef("this card has no password, and is open")
			}
			by, err := a.secretLine(password, "password", "Password of the card "+card.ID)
			if err != nil {
				return err
			}
			defer clear(by)
			if err := c.UnlockCard(cmd.Context(), card.ID, api.CardUnlock{Password: by, Remember: remember}); err != nil {
				return err
			}
			text := "The card is open until fobd ends."
			if remember {
				text = "The card is open, and will be from now on while the vault is: what opens it is kept there."
			}
			return a.said(text)
		},
	}
	cmd.Flags().BoolVar(&remember, "remember", false, "keep what opens the card in the vault")
	cardPasswordFlag(cmd, &password)
	return cmd
}

func cardPasswordFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "password", "", "read the password from standard input: `-` is the only value")
}

// said prints what was done; with --json nothing is left to say.
func (a *app) said(text string) error {
	if a.json {
		return a.printJSON(struct{}{})
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}

func (a *app) forgetCardCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "forget [CARD]",
		Short:             "Forget what opens a card, so that it asks for its password again",
		Args:              atMostOne("card"),
		ValidArgsFunction: a.completeCards,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, card, err := a.pickCard(cmd.Context(), args)
			if err != nil {
				return err
			}
			if err := c.ForgetCard(cmd.Context(), card.ID); err != nil {
				return err
			}
			return a.said(forgotten(card))
		},
	}
}

// forgotten says what became of what opened a card, as that was before.
func forgotten(card api.Card) string {
	switch {
	case card.Open && !card.Password && card.Remembered:
		return "Forgotten: the card has no password any more, and is open."
	case card.Open && !card.Password:
		return "Nothing was remembered: the card has no password, and is open."
	case card.Problem != nil && card.Problem.Code == api.CodeCardLocked && !card.Remembered:
		return "Nothing was remembered: the card asks for its password as before."
	}
	return "Forgotten: the card asks for its password again."
}

func (a *app) cardPasswordCmd() *cobra.Command {
	var remove bool
	var password string
	cmd := &cobra.Command{
		Use:   "password [CARD]",
		Short: "Set or change a card's password, or take it away",
		Long: `Set or change the password of a card that is open. Whoever has the card then
needs it to see any code. A password that is forgotten can be mended by a reset
alone, which removes every account.`,
		Args:              atMostOne("card"),
		ValidArgsFunction: a.completeCards,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromInput("password", "a password", password); err != nil {
				return err
			}
			if remove && password != "" {
				return usagef("either --remove or --password -")
			}
			c, card, err := a.pickCard(cmd.Context(), args)
			if err != nil {
				return err
			}
			if card.Problem != nil {
				return card.Problem
			}
			var next []byte
			if !remove {
				if next, err = a.newSecret(password, "password", "the card "+card.ID, minCardPassword); err != nil {
					return err
				}
			}
			defer clear(next)
			if err := c.SetCardPassword(cmd.Context(), card.ID, next); err != nil {
				return err
			}
			if remove {
				return a.said("The card has no password any more.")
			}
			return a.said("The card has this password now.")
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "take the password away")
	cardPasswordFlag(cmd, &password)
	return cmd
}

// minCardPassword is the shortest new password of a card, in characters.
const minCardPassword = 4

func (a *app) resetCardCmd() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "reset [CARD]",
		Short: "Remove every account and the password from a card",
		Long: `Remove every account and the password from a card, for good. It does not need
the password, and changes nothing else of a key: not its PIN, and not what it
signs in with.`,
		Args:              atMostOne("card"),
		ValidArgsFunction: a.completeCards,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, card, err := a.pickCard(cmd.Context(), args)
			if err != nil {
				return err
			}
			what := "its accounts, whatever they are, are"
			if card.Open {
				what = plural(card.Accounts, "account is", "accounts are")
			}
			if err := a.confirmed(yes, fmt.Sprintf("All is removed from the card in %s: %s lost for good.", client.Show(card.Reader), what), "RESET"); err != nil {
				return err
			}
			id, err := c.ResetCard(cmd.Context(), card.ID)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(api.CardReset{ID: id})
			}
			_, err = fmt.Fprintf(a.out, "The card is empty. Its id is %s now.\n", client.Show(id))
			return err
		},
	}
	yesFlag(cmd, &yes)
	return cmd
}

func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do it without asking, for scripts")
}

// confirmed asks for a word, in capitals, before what cannot be undone.
func (a *app) confirmed(yes bool, what, word string) error {
	if yes {
		return nil
	}
	defer a.askedAll()
	line, err := a.ask(what+" Type "+word+" to go on", true)
	if err != nil {
		return noTerminal(err, "confirmation", "say --yes")
	}
	if string(line) != word {
		return unconfirmed(word)
	}
	return nil
}

// unconfirmed is errStopped where this word was not typed.
type unconfirmed string

func (w unconfirmed) Error() string      { return "nothing was changed: " + string(w) + " was not typed" }
func (unconfirmed) Is(target error) bool { return target == errStopped }
