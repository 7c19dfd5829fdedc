package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// place is where an account goes.
type place struct{ id, name string }

var vaultPlace = place{api.AccountVault, "the vault"}

func placeNames(places []place) (names []string) {
	for _, p := range places {
		names = append(names, p.name)
	}
	return names
}

// places finds where accounts go: to what was named, else onto the only card, else into the vault. It fails where one
// of them can take none now, so that nothing is asked for in vain.
func (a *app) places(ctx context.Context, on []string) (*client.Client, []place, error) {
	c, err := a.client()
	if err != nil {
		return nil, nil, err
	}
	var places []place
	if len(on) == 0 {
		places, err = a.usualPlace(ctx, c)
	} else {
		places, err = namedPlaces(ctx, c, on)
	}
	if err != nil {
		return nil, nil, err
	}
	if slices.Contains(places, vaultPlace) {
		// What else there is to say of the vault it says when something is added.
		if v, err := c.Vault(ctx); err == nil && v.State == api.VaultSealed {
			return nil, nil, api.Errorf(api.CodeSealed, "the vault is %s", vaultState(v))
		}
	}
	return c, places, nil
}

// usualPlace is the only card, or the vault where there is none.
func (a *app) usualPlace(ctx context.Context, c *client.Client) ([]place, error) {
	cards, err := c.Cards(ctx)
	if isCode(err, api.CodeNoCardService) {
		fmt.Fprintf(a.stderr, "%s So this goes into the vault.\n", sentence(err.Error()))
		return []place{vaultPlace}, nil
	}
	if err != nil {
		return nil, err
	}
	all := nameable(cards)
	if len(all) == 0 {
		for _, card := range cards {
			fmt.Fprintf(a.stderr, "This goes into the vault, and not onto the card in %s\n", sentence(unusable(card).Error()))
		}
		return []place{vaultPlace}, nil
	}
	id, err := only("card", nil, all)
	if err != nil {
		return nil, usagef("%s. Name it with --on, or say --on vault", err.Error())
	}
	p, err := onCard(cards, id)
	return []place{p}, err
}

func namedPlaces(ctx context.Context, c *client.Client, on []string) (places []place, err error) {
	var cards []api.Card
	if slices.ContainsFunc(on, func(name string) bool { return name != api.AccountVault }) {
		if cards, err = c.Cards(ctx); err != nil {
			return nil, err
		}
	}
	for _, name := range on {
		p := vaultPlace
		if name != api.AccountVault {
			if i := slices.IndexFunc(cards, func(card api.Card) bool { return card.ID == "" && card.Reader == name }); i >= 0 {
				return nil, unusable(cards[i])
			}
			id, err := choose("card", "fob cards", name, nameable(cards))
			if err != nil {
				return nil, err
			}
			if p, err = onCard(cards, id); err != nil {
				return nil, err
			}
		}
		if slices.Contains(places, p) {
			return nil, usagef("--on names %s twice: once is enough", p.name)
		}
		places = append(places, p)
	}
	return places, nil
}

// onCard is the card of that id as a place, unless it is not open.
func onCard(cards []api.Card, id string) (place, error) {
	card := cards[slices.IndexFunc(cards, func(card api.Card) bool { return card.ID == id })]
	if card.Problem != nil {
		return place{}, unusable(card)
	}
	return place{id, "the card in " + client.Show(card.Reader)}, nil
}

// unusable says why a card cannot be used now.
func unusable(card api.Card) *api.Error {
	return api.Errorf(card.Problem.Code, "%s: %s", client.Show(card.Reader), client.Show(card.Problem.Message))
}

// nameable are the cards that have an id.
func nameable(cards []api.Card) (all []named) {
	for _, card := range cards {
		if card.ID != "" {
			all = append(all, named{card.ID, card.Reader})
		}
	}
	return all
}

// onFlag adds --on.
func (a *app) onFlag(cmd *cobra.Command, on *[]string, what string) {
	cmd.Flags().StringArrayVar(on, "on", nil, "where "+what+": “vault”, or a `card` by its id or reader")
	completeFunc(cmd, "on", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cards, directive := a.completeCards(cmd, nil, "")
		return append(cards, cobra.CompletionWithDesc(api.AccountVault, "the vault")), directive
	})
}
