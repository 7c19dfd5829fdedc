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

// strengths are what --require may ask for, weakest first.
var strengths = []string{"click", "match", "code", "key", "verified"}

// claims are the flags of what is claimed, and only shown.
var claims = []string{"origin", "host", "command", "ssh-key"}

func (a *app) verifyCmd() *cobra.Command {
	var request api.BeginRequest
	var timeout time.Duration
	var g given
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Ask whether it is really this user, right now, who wants this",
		Long: `Begin a sign-in request and wait until it is decided. The plugged keys that are
registered blink; a tap approves, and so does a code of a registered token, or a
recovery code where policy lets it. Ctrl-C takes the request back.

Where the one who asks is not at the user's desk a number is shown: the user
types it there, at fob requests approve, before any key blinks. An approval may
also be one that is remembered (fob remember): then nobody is asked.

--code - takes the code, or a recovery code, from standard input and asks
nobody: no key blinks, and the answer comes at once.

Exit code 0 means approved, and nothing else does. --origin, --host, --command
and --ssh-key are shown to the person as claimed, and are signed with the
approval.`,
		Example: `  fob verify --service mailer
  fob verify --service backup --require verified --timeout 30s && restic backup /home
  fob verify --service deploy --command "deploy to production" --json
  fob verify --service mailer --code - <code`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("timeout") {
				if timeout < time.Second || timeout > 10*time.Minute {
					return usagef("--timeout is 1s to 10m")
				}
				request.TimeoutMS = timeout.Milliseconds()
			}
			if require := request.Require; require != "" && !slices.Contains(strengths, require) {
				return usagef("%q is no strength: --require is one of %s", client.Show(require), strings.Join(strengths, ", "))
			}
			if err := g.check(); err != nil {
				return err
			}
			if g.code == "-" {
				if g.pin != "" {
					return usagef("--code asks no key, so there is no PIN to give: leave --pin out")
				}
				code, err := a.readInput("code")
				if err != nil {
					return err
				}
				defer clear(code)
				request.Code, g.code = code, ""
			}
			request.Kind = api.KindSignIn
			return a.begin(cmd.Context(), request, g, func(s api.RequestState, won string) error {
				if _, err := fmt.Fprintln(a.out, outcome(s, won)); err != nil {
					return err
				}
				next := "Receipt: fob log receipt"
				if s.Strength != "key" && s.Strength != "verified" { // no key has signed
					next = "In the log: fob log --request"
				}
				_, err := fmt.Fprintf(a.out, "%s %s\n", next, client.Show(s.ID))
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.User, "user", "", "login `name` of the person asked (default: yourself)")
	flags.StringVar(&request.Service, "service", "", "`name` of the program that asks, shown as app:UID:NAME (default: fob)")
	flags.StringVar(&request.Require, "require", "", "`strength` that is needed, such as key or verified (default: the policy's)")
	flags.DurationVar(&timeout, "timeout", 0, "`time` until the request expires, such as 30s (default: the policy's)")
	flags.StringVar(&request.Claimed.Origin, "origin", "", "`address` from where the user comes, as claimed")
	flags.StringVar(&request.Claimed.Host, "host", "", "`name` of the machine that is signed in to, as claimed")
	flags.StringVar(&request.Claimed.Command, "command", "", "`text` of what will be done, as claimed")
	flags.StringVar(&request.Claimed.SSHKey, "ssh-key", "", "`fingerprint` of the SSH key that the user came in with, as claimed")
	g.flags(cmd)
	complete(cmd, "require", strengths...)
	return cmd
}
