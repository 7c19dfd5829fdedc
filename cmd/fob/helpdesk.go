package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// Bounds of how long an administrator's one-time code is valid.
const (
	minHelpdesk = time.Minute
	maxHelpdesk = 24 * time.Hour
)

func (a *app) helpdeskCmd() *cobra.Command {
	return group(&cobra.Command{
		Use:   "helpdesk",
		Short: "For root: help users who have lost all sign-in methods",
		Long: `Help users who have no sign-in method yet, or none any more. It is done by root,
at the system's daemon.`,
		Example: "  fob helpdesk issue --user alice --valid 1h",
	}, func(*cobra.Command, []string) error {
		return usagef("say what to do: fob helpdesk issue --user NAME")
	}, a.issueCmd())
}

func (a *app) issueCmd() *cobra.Command {
	var user string
	var valid time.Duration
	cmd := &cobra.Command{
		Use:   "issue",
		Short: "Make a one-time code with which a user adds a sign-in method",
		Long: `Make a one-time code for a user who has no sign-in method yet, or none any more.
With it the user adds one without any other approval, once, until it expires; it
does nothing else. It is shown once, here. Make sure that it is the user to whom
you give it.`,
		Example: "  fob helpdesk issue --user alice --valid 1h",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case user == "":
				return usagef("say for whom the code is: --user NAME")
			case valid < minHelpdesk || valid > maxHelpdesk:
				return usagef("--valid is 1m to 24h")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			issued, err := c.Helpdesk(cmd.Context(), user, valid)
			if err != nil {
				return err
			}
			defer issued.Code.Wipe()
			if a.json {
				return a.printJSON(issued)
			}
			fmt.Fprintf(a.out, "One-time code for %s, valid until %s:\n\n  %s\n\n", client.Show(issued.User), when(issued.Until), client.Show(string(issued.Code)))
			_, err = fmt.Fprintf(a.out, `Give it to %[1]s in person, or by a way on which you know each other. It is not shown
again. %[1]s runs this, and types the code when asked:

  fob methods add key --helpdesk
`, client.Show(issued.User))
			return err
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "login `name` of the user for whom the code is")
	cmd.Flags().DurationVar(&valid, "valid", time.Hour, "`time` until it expires, 1m to 24h")
	return cmd
}

// askHelpdesk is the value of --helpdesk where none is given: the code is asked for.
const askHelpdesk = "true"

// helpdeskSource is where an administrator's one-time code comes from. In help it looks like the switch that
// it mostly is.
type helpdeskSource string

func (h *helpdeskSource) String() string     { return "" }
func (h *helpdeskSource) Set(s string) error { *h = helpdeskSource(s); return nil }
func (h *helpdeskSource) Type() string       { return "bool" }

// helpdeskFlag is the flag of every command that adds a method.
func helpdeskFlag(cmd *cobra.Command, value *helpdeskSource) {
	cmd.Flags().VarPF(value, "helpdesk", "", "ask for an administrator's one-time code; --helpdesk - reads it from standard input").NoOptDefVal = askHelpdesk
}

// joinDash makes "--helpdesk -" one word: a flag that may stand alone takes no separate value.
func joinDash(args []string) (joined []string) {
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(joined, args[i:]...)
		}
		if args[i] == "--helpdesk" && i+1 < len(args) && args[i+1] == "-" {
			joined = append(joined, "--helpdesk=-")
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}

// add begins to add a method, with an administrator's one-time code where that is asked for.
func (a *app) add(ctx context.Context, request api.BeginRequest, g given, helpdesk helpdeskSource, done func(api.RequestState, string) error) error {
	if helpdesk != "" {
		if helpdesk != askHelpdesk {
			if err := fromInput("helpdesk", "a one-time code", string(helpdesk)); err != nil {
				return err
			}
		}
		code, err := a.secretFrom(string(helpdesk), "one-time code", "One-time code from your administrator", "helpdesk")
		if err != nil {
			return err
		}
		defer clear(code)
		request.Helpdesk = code
	}
	err := a.begin(ctx, request, g, done)
	if !isCode(err, api.CodeNotFirst) || request.Helpdesk != nil {
		return err
	}
	// The machine's daemon wants to know that it is the user: their desktop asks for their password.
	fmt.Fprintln(a.stderr, "This is your first sign-in method here: type your password in the window that opens.")
	ticket, err := a.authorize(ctx)
	if err != nil {
		return api.Errorf(api.CodeNotFirst, "%s (%s)", a.firstMethod(ctx), client.Show(err.Error()))
	}
	defer clear(ticket)
	request.Ticket = ticket
	return a.begin(ctx, request, g, done)
}

// firstMethod says how a user of the system's daemon comes to their first method.
func (a *app) firstMethod(ctx context.Context) string {
	name := "NAME"
	if c, err := a.client(); err == nil {
		if s, err := c.Status(ctx); err == nil && s.User != "" {
			name = client.Show(s.User)
		}
	}
	return fmt.Sprintf("your first sign-in method needs somebody who says that you are %[1]s, and your password could not be asked for. Try it in a desktop session; "+
		"or have an administrator run “fob helpdesk issue --user %[1]s”, and add --helpdesk to this command; or have root run it with --user %[1]s", name)
}
