package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) requestsCmd() *cobra.Command {
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		requests, err := c.Requests(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(notNil(requests))
		}
		return a.printRequests(requests)
	}
	return group(&cobra.Command{
		Use:   "requests",
		Short: "List pending requests; tap, deny or report one",
		Long: `List the requests that wait for you. Tap a key or type a code for one, deny it, or, if
you did not begin it, report it. A request is named by its id or the beginning of it.`,
		Example: "  fob requests\n  fob requests tap 3kx\n  fob requests report 3kx",
	}, list,
		&cobra.Command{Use: "list", Short: "List the pending requests", Args: cobra.NoArgs, RunE: list},
		a.tapCmd(),
		a.decideCmd("deny", "Deny a request", "Denied.", (*client.Client).Deny),
		a.decideCmd("report", "Deny a request that you did not begin, and report it", "Denied and reported.", (*client.Client).Report),
		a.watchCmd())
}

func (a *app) printRequests(requests []api.RequestState) error {
	if len(requests) == 0 {
		_, err := fmt.Fprintln(a.out, "Nothing is pending.")
		return err
	}
	rows := make([][]string, len(requests))
	for i, r := range requests {
		rows[i] = []string{r.ID, r.Kind, r.User, r.Service, r.Place, standing(r), left(r.Deadline)}
	}
	return table(a.out, []string{"ID", "KIND", "USER", "SERVICE", "PLACE", "STATE", "LEFT"}, rows)
}

// standing says in a word or two what a pending request waits for.
func standing(r api.RequestState) string {
	for _, p := range r.Prompts {
		switch p.Type {
		case api.PromptPIN:
			return "PIN asked"
		case api.PromptConfirm:
			return "to confirm"
		}
	}
	words := map[string]string{"touch": "key blinks", "pick": "to pick", "paused": "paused"}
	for _, state := range []string{"touch", "pick", "paused"} {
		if hasOffer(r, state) {
			return words[state]
		}
	}
	if hasPrompt(r, api.PromptCode) {
		return "code asked"
	}
	return "waiting"
}

func (a *app) tapCmd() *cobra.Command {
	var g given
	cmd := &cobra.Command{
		Use:   "tap REQUEST",
		Short: "Pick a request: its key blinks, and a tap or a code approves it",
		Long: `Show a request and make its keys blink for it and for no other. If the key wants its
PIN, or a token's code would do too, it is asked for here. Ctrl-C stops waiting; the
request goes on.`,
		Args:              one("request", "fob requests"),
		ValidArgsFunction: a.completeRequests,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			id, err := pickRequest(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return a.watch(cmd.Context(), c, id, g, a.introduce)
		},
	}
	g.flags(cmd)
	return cmd
}

// introduce shows on stderr all that is known of a request, before anyone taps.
func (a *app) introduce(r api.RequestState) {
	fmt.Fprintf(a.stderr, "%s\n", subject(r))
	claimed := func(s string) string {
		if s == "" {
			return ""
		}
		return client.Show(s) + "  (claimed)"
	}
	// What cannot be written to stderr cannot be reported there either.
	_ = facts(a.stderr,
		[2]string{"service", r.Service},
		[2]string{"place", r.Place},
		[2]string{"needs", r.Require},
		[2]string{"begun", when(r.Begun)},
		[2]string{"origin", claimed(r.Claimed.Origin)},
		[2]string{"host", claimed(r.Claimed.Host)},
		[2]string{"command", claimed(r.Claimed.Command)},
	)
}

func (a *app) decideCmd(verb, short, said string, decide func(*client.Client, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " REQUEST",
		Short:             short,
		Args:              one("request", "fob requests"),
		ValidArgsFunction: a.completeRequests,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			id, err := pickRequest(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if err := decide(c, cmd.Context(), id); err != nil {
				return gone(err, id)
			}
			if a.json {
				state, err := c.Request(cmd.Context(), id)
				if err != nil {
					return err
				}
				return a.printJSON(state)
			}
			_, err = fmt.Fprintln(a.out, said)
			return err
		},
	}
}

func (a *app) watchCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "Show requests as they come and go, until Ctrl-C",
		Long: `Show requests as they come and go, until Ctrl-C. With --json each line is one event of
the daemon, the first one a snapshot.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			for again := true; again; {
				again = false
				shown := map[string]string{}
				for event, err := range c.Events(cmd.Context()) {
					if err != nil {
						return err
					}
					again = event.Lagged
					if a.json {
						err = a.printJSONLine(event)
					} else {
						err = a.printEvent(event, shown)
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

// printEvent prints a line for each request whose standing differs from what was shown of it.
func (a *app) printEvent(event api.Event, shown map[string]string) error {
	var states []api.RequestState
	if event.Snapshot != nil {
		states = event.Snapshot.Requests
		if len(states) == 0 {
			fmt.Fprintln(a.out, "Nothing is pending. Waiting for requests; Ctrl-C stops.")
		}
	}
	if event.Request != nil {
		states = append(states, *event.Request)
	}
	for _, r := range states {
		now := r.Decision
		if r.Pending {
			now = standing(r)
		}
		if shown[r.ID] == now {
			continue
		}
		if shown[r.ID] = now; !r.Pending {
			delete(shown, r.ID)
		}
		fmt.Fprintf(a.out, "%s  %s  %s: %s\n", time.Now().Format(time.TimeOnly), client.Show(r.ID), subject(r), client.Show(now))
	}
	return a.out.Flush()
}
