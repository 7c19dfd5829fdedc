package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) policyCmd() *cobra.Command {
	show := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		p, err := c.Policy(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(p)
		}
		return a.printPolicy(p)
	}
	return group(&cobra.Command{
		Use:   "policy",
		Short: "Show which approval each service needs, and why",
		Long: `Show the policy in force: which strength a service needs, from where, and what
may be remembered. It is read from files by fobd, which refuses a set with a
mistake in it and keeps the one before.`,
		Example: "  fob policy\n  fob policy check pam:sudo",
	}, show,
		&cobra.Command{Use: "show", Short: "Show the policy in force, with the line of each rule", Args: noArgument, RunE: show},
		a.checkPolicyCmd())
}

func (a *app) printPolicy(p api.Policy) error {
	fmt.Fprintf(a.out, "The policy in force comes from %s.\n", client.Show(p.Source))
	if p.Problem != "" {
		fmt.Fprintf(a.out, "Problem: a newer set was refused: %s\n", client.Show(p.Problem))
	}
	if len(p.Tables) == 0 {
		_, err := fmt.Fprintln(a.out, "It has no rules: Fob's own defaults hold. See what they are: fob policy check SERVICE")
		return err
	}
	for _, t := range p.Tables {
		fmt.Fprintf(a.out, "\n%s  (%s)\n", client.Show(t.Name), client.Show(t.Where))
		for _, field := range t.Fields {
			fmt.Fprintf(a.out, "  %s\n", client.Show(field))
		}
	}
	return nil
}

func (a *app) checkPolicyCmd() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "check SERVICE",
		Short: "Show what holds for a service and a user, and why",
		Long: `Show what holds when a service asks a user: which strength it needs, what may
stand in, where it may begin, and which rules make it so, in the order in which
they count. A service is named as in fob requests, such as pam:sudo or
app:1000:mailer; a name alone is your own program's.`,
		Example: "  fob policy check pam:sshd\n  fob policy check mailer",
		Args:    one("service", "fob log"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usagef("name the service, such as pam:sudo")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			check, err := c.CheckPolicy(cmd.Context(), args[0], user)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(check)
			}
			return a.printPolicyCheck(check)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "for root: login `name` of the user who is asked (default: yourself)")
	return cmd
}

func (a *app) printPolicyCheck(p api.PolicyCheck) error {
	fmt.Fprintf(a.out, "%s for %s\n", client.Show(p.Service), client.Show(p.User))
	instead := "nothing weaker"
	if len(p.Fallback) > 0 {
		instead = strings.Join(p.Fallback, ", ")
	}
	remembered := "never"
	if p.RememberS > 0 {
		remembered = "for " + policyTime(time.Duration(p.RememberS)*time.Second) + " at most"
	}
	places := "nowhere"
	if len(p.Places) > 0 {
		places = strings.Join(p.Places, ", ")
	}
	methods := ""
	if p.MinMethods > 0 {
		methods = fmt.Sprintf("%d at least", p.MinMethods)
	}
	err := facts(a.out,
		[2]string{"needs", p.Require},
		[2]string{"may stand in", instead},
		[2]string{"may begin", places},
		[2]string{"waits", policyTime(time.Duration(p.TimeoutMS) * time.Millisecond)},
		[2]string{"remembered", remembered},
		[2]string{"methods", methods},
	)
	if err != nil || len(p.Reasons) == 0 {
		return err
	}
	fmt.Fprintln(a.out, "Why:")
	for i, r := range p.Reasons {
		where := ""
		if r.Where != "" {
			where = "  (" + client.Show(r.Where) + ")"
		}
		fmt.Fprintf(a.out, "  %d. %s%s\n", i+1, client.Show(r.Text), where)
	}
	return nil
}

// policyTime says how long something lasts as the policy's files and reasons do: "90d", "1m", "90s".
func policyTime(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
