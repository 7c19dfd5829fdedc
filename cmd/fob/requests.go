package main

import (
	"fmt"
	"slices"
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
		Short: "List pending requests; approve, deny or report one",
		Long: `List the requests that wait for you: who asks, and from where. Approve one, deny
it, or, if you did not begin it, report it. A request is named by its id or the
beginning of it.

"Claimed" is what whoever asks says, and nobody has checked.`,
		Example: "  fob requests\n  fob requests approve 3kx\n  fob requests report 3kx",
	}, list,
		&cobra.Command{Use: "list", Short: "List the pending requests", Args: noArgument, RunE: list},
		a.approveCmd(), a.tapCmd(), a.denyCmd(), a.reportCmd(),
		a.watchCmd())
}

func (a *app) printRequests(requests []api.RequestState) error {
	if len(requests) == 0 {
		_, err := fmt.Fprintln(a.out, "Nothing is pending.")
		return err
	}
	rows := make([][]string, len(requests))
	for i, r := range requests {
		rows[i] = []string{r.ID, kindName(r.Kind), r.User, r.Service, r.Place, said(r, "origin", r.Claimed.Origin), standing(r), left(r.Deadline)}
	}
	return table(a.out, []string{"ID", "KIND", "USER", "SERVICE", "PLACE", "FROM", "STATE", "LEFT"}, rows)
}

// said is what is known of a request by that name, marked where it is only claimed.
func said(r api.RequestState, name, text string) string {
	if text = client.Show(text); text == "" || slices.Contains(r.Vouched, name) {
		return text
	}
	return text + " (claimed)"
}

// standing says in a word or two what a pending request waits for.
func standing(r api.RequestState) string {
	for _, p := range r.Prompts {
		switch p.Type {
		case api.PromptNumber:
			return "number asked"
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
	switch {
	case hasPrompt(r, api.PromptApprove):
		return "yes asked"
	case hasPrompt(r, api.PromptCode):
		return "code asked"
	}
	return "waiting"
}

func (a *app) watchCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "Show requests as they come and go, until Ctrl-C",
		Long: `Show requests as they come and go, until Ctrl-C. With --json each line is one
event of the daemon, the first one a snapshot.`,
		Example: "  fob requests watch\n  fob requests watch --json",
		Args:    noArgument,
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

// Where a request, or who calls, comes from, in the daemon's words.
const (
	placeLocal   = "local"
	placeUnknown = "unknown"
	placeRemote  = "remote"
)

// whence says from where a request comes, unless that is here.
func whence(r api.RequestState) string {
	text := ""
	switch r.Place {
	case placeRemote:
		text = ", from elsewhere"
	case placeUnknown:
		text = ", perhaps from your desk"
	}
	if origin := said(r, "origin", r.Claimed.Origin); origin != "" {
		text += ", " + origin
	}
	return text
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
		fmt.Fprintf(a.out, "%s  %s  %s%s: %s\n", time.Now().Format(time.TimeOnly), client.Show(r.ID), subject(r), whence(r), client.Show(now))
	}
	return a.out.Flush()
}
