package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) approveCmd() *cobra.Command {
	var g given
	var remember bool
	cmd := &cobra.Command{
		Use:   "approve REQUEST",
		Short: "Approve a request from elsewhere: type the number that its screen shows",
		Long: `Show a request and approve it. Of one from elsewhere the number is asked for
that the screen of whoever asks shows: it makes sure that you approve your own
sign-in, and not another's of the same moment. Then a key is touched or a code
typed as policy wants it, or, where policy wants no more, a plain yes. Ctrl-C
stops; the request goes on.

--remember has the approval remembered as far as policy lets it: the same user,
service, origin and SSH key are not asked again for a while. See fob remember.

The number is asked for at the terminal, or read from standard input with
--number -; it is no argument, so that it is read off the screen and not out of
a message.`,
		Example:           "  fob requests approve 3kx\n  fob requests approve 3kx --remember",
		Args:              one("request", "fob requests"),
		ValidArgsFunction: a.completeRequests,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.attend(cmd.Context(), args[0], g, attendance{approves: true, remember: remember})
		},
	}
	cmd.Flags().BoolVar(&remember, "remember", false, "do not ask again for as long as policy lets it")
	numberFlag(cmd, &g.number)
	g.flags(cmd)
	return cmd
}

func (a *app) tapCmd() *cobra.Command {
	var g given
	cmd := &cobra.Command{
		Use:   "tap REQUEST",
		Short: "Pick a request: its key blinks, and a tap or a code approves it",
		Long: `Show a request and make its keys blink for it and for no other. If the key wants
its PIN, or a token's code would do too, it is asked for here; so is the number
of a request from elsewhere, before any key blinks. Ctrl-C stops waiting; the
request goes on.`,
		Args:              one("request", "fob requests"),
		ValidArgsFunction: a.completeRequests,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.attend(cmd.Context(), args[0], g, attendance{})
		},
	}
	numberFlag(cmd, &g.number)
	g.flags(cmd)
	return cmd
}

// attendance is how a request is accompanied that another program began.
type attendance struct {
	approves bool // a plain yes is asked for where that is enough
	remember bool // the approval is to be remembered
	away     bool // whoever sits here is not at the desk, and is not asked for the number
}

// attend shows a pending request, which arg names, and accompanies it to its end.
func (a *app) attend(ctx context.Context, arg string, g given, how attendance) error {
	if err := g.check(); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	id, err := pickRequest(ctx, c, arg)
	if err != nil {
		return err
	}
	// Without a status the daemon refuses by itself what is not answered from here.
	status, _ := c.Status(ctx)
	how.away = status.Place == placeRemote
	return a.watch(ctx, c, id, g, how, func(r api.RequestState) error {
		if how.away && answeredAtDesk(r, how.approves) {
			return api.Errorf(api.CodePlace, "this is answered at the desk, not from elsewhere: do it in a session at this machine (fob status says where you are taken to be)")
		}
		if how.remember {
			if err := c.Remember(ctx, r.ID, true); isCode(err, api.CodeNotRemembered) {
				return api.Errorf(api.CodeNotRemembered, "policy does not let this approval be remembered: approve it without --remember: fob requests approve %s", r.ID)
			} else if err != nil {
				return err
			}
		}
		a.introduce(r, how.remember)
		return nil
	})
}

// answeredAtDesk reports whether nothing that a request waits for can be given from elsewhere.
func answeredAtDesk(r api.RequestState, approves bool) bool {
	switch {
	case r.Place == placeLocal, r.Place == placeUnknown:
		return true
	case hasPrompt(r, api.PromptNumber), approves && hasPrompt(r, api.PromptApprove):
		return approves || !hasPrompt(r, api.PromptCode)
	}
	return false
}

// introduce shows on stderr all that is known of a request, before anyone approves it; remembers says that the
// approval will be remembered.
func (a *app) introduce(r api.RequestState, remembers bool) {
	fmt.Fprintf(a.stderr, "%s\n", subject(r))
	claimed := func(name, text string) string {
		if text = client.Show(text); text == "" || said(r, name, text) == text {
			return text
		}
		return text + "  (claimed)"
	}
	remember := ""
	switch span := days(time.Duration(r.RememberableS) * time.Second); {
	case remembers:
		remember = "for " + span + " once it is approved with a key or a code"
	case r.RememberableS > 0:
		remember = "possible for " + span + ", with fob requests approve --remember"
	}
	// What cannot be written to stderr cannot be reported there either.
	_ = facts(a.stderr,
		[2]string{"service", r.Service},
		[2]string{"place", r.Place},
		[2]string{"needs", r.Require},
		[2]string{"begun", when(r.Begun)},
		[2]string{"origin", claimed("origin", r.Claimed.Origin)},
		[2]string{"host", claimed("host", r.Claimed.Host)},
		[2]string{"command", claimed("command", r.Claimed.Command)},
		[2]string{"SSH key", claimed("ssh_key", r.Claimed.SSHKey)},
		[2]string{"remembering", remember},
	)
}

func (a *app) denyCmd() *cobra.Command {
	return a.decideCmd(&cobra.Command{
		Use:   "deny REQUEST",
		Short: "Deny a request",
		Long: `Deny a request. The same user, service and origin wait 30 seconds before they
may ask again, and longer each time; see fob status.`,
	}, (*client.Client).Deny, func(api.RequestState) string { return "Denied." })
}

// waits is what a report does beside the rest.
const waits = " The same request has to wait before it may be asked again; a tap lifts that: fob unblock"

func (a *app) reportCmd() *cobra.Command {
	return a.decideCmd(&cobra.Command{
		Use:   "report REQUEST",
		Short: "Deny a request that you did not begin, and report it",
		Long: `Deny a request that you did not begin, and report it: the log and the system's
journal have it as reported. Where it came from elsewhere, and the origin is
more than claimed, nothing from there can ask you for a day, and what was
remembered for it is forgotten. As after a denial, the same user, service and
origin wait before they may ask again. fob unblock lifts both.`,
	}, (*client.Client).Report, func(r api.RequestState) string {
		switch r.Place {
		case placeLocal:
			return "Denied and reported. Nothing was blocked, because it began at this desk." + waits
		case placeUnknown:
			return "Denied and reported. Nothing was blocked, because it may have begun at this desk." + waits
		}
		if r.Place != placeRemote || r.Claimed.Origin == "" || !slices.Contains(r.Vouched, "origin") {
			return "Denied and reported." + waits
		}
		origin := client.Show(r.Claimed.Origin)
		return fmt.Sprintf("Denied and reported. Nothing from %s can ask you for a day; a tap lifts that: fob unblock %s", origin, origin)
	})
}

// decideCmd completes a command that ends the request that it names; said is what there is to say then.
func (a *app) decideCmd(cmd *cobra.Command, decide func(*client.Client, context.Context, string) error, said func(api.RequestState) string) *cobra.Command {
	cmd.Args = one("request", "fob requests")
	cmd.ValidArgsFunction = a.completeRequests
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		id, err := pickRequest(cmd.Context(), c, args[0])
		if err != nil {
			return err
		}
		before, _ := c.Request(cmd.Context(), id) // without it there is only less to say
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
		_, err = fmt.Fprintln(a.out, said(before))
		return err
	}
	return cmd
}
