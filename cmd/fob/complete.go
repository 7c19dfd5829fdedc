package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/client"
)

// completeTimeout bounds what a press of the Tab key may cost.
const completeTimeout = 500 * time.Millisecond

// completeKeys offers the plugged keys.
func (a *app) completeKeys(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completions(cmd, args, func(ctx context.Context, c *client.Client) ([]named, error) {
		keys, err := c.Keys(ctx)
		var all []named
		for _, k := range keys {
			if k.ID == "" {
				continue
			}
			all = append(all, named{k.ID, k.Name})
		}
		return all, err
	})
}

// completeMethods offers the user's methods.
func (a *app) completeMethods(user *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.completions(cmd, args, func(ctx context.Context, c *client.Client) ([]named, error) {
			methods, err := c.Methods(ctx, *user)
			var all []named
			for _, m := range methods {
				all = append(all, named{m.ID, m.Name})
			}
			return all, err
		})
	}
}

// completeRequests offers the pending requests.
func (a *app) completeRequests(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completions(cmd, args, func(ctx context.Context, c *client.Client) ([]named, error) {
		requests, err := c.Requests(ctx)
		var all []named
		for _, r := range requests {
			all = append(all, named{r.ID, subject(r)})
		}
		return all, err
	})
}

// completeGrants offers the user's remembered approvals.
func (a *app) completeGrants(user *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.completions(cmd, nil, func(ctx context.Context, c *client.Client) ([]named, error) { // any number of them
			grants, err := c.Grants(ctx, *user)
			var all []named
			for _, g := range grants {
				all = append(all, named{g.ID, grantTitle(g)})
			}
			return all, err
		})
	}
}

// completeCards offers the cards that are in a reader.
func (a *app) completeCards(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completions(cmd, args, func(ctx context.Context, c *client.Client) ([]named, error) {
		cards, err := c.Cards(ctx)
		var all []named
		for _, card := range cards {
			if card.ID != "" {
				all = append(all, named{card.ID, card.Reader})
			}
		}
		return all, err
	})
}

// completeAccounts offers the accounts.
func (a *app) completeAccounts(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completions(cmd, args, func(ctx context.Context, c *client.Client) ([]named, error) {
		found, err := c.Accounts(ctx, "")
		var all []named
		for _, account := range found.Accounts {
			all = append(all, named{account.ID, title(account)})
		}
		return all, err
	})
}

// completeWaits offers the origins that have to wait or are blocked.
func (a *app) completeWaits(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completions(cmd, args, func(ctx context.Context, c *client.Client) ([]named, error) {
		status, err := c.Status(ctx)
		var all []named
		for _, w := range status.Waits {
			if w.Origin != "" {
				all = append(all, named{w.Origin, waitText(w)})
			}
		}
		return all, err
	})
}

// completions offers ids for the first argument. What goes wrong here is nobody's concern: there is
// then nothing to offer.
func (a *app) completions(cmd *cobra.Command, args []string, list func(context.Context, *client.Client) ([]named, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	a.own = a.own || isOwn(cmd)
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, err := list(ctx, c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, each := range all {
		out = append(out, cobra.CompletionWithDesc(client.Show(each.id), client.Show(each.name)))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values ...cobra.Completion) {
	completeFunc(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeFunc panics where the flag does not exist, which every run of the command would show.
func completeFunc(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}
