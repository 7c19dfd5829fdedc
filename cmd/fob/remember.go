package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) rememberCmd() *cobra.Command {
	var user string
	list := func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		grants, err := c.Grants(cmd.Context(), user)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(notNil(grants))
		}
		return a.printGrants(grants)
	}
	cmd := group(&cobra.Command{
		Use:   "remember",
		Short: "List remembered approvals, and take them back",
		Long: `List the sign-ins for which you are not asked again for a while, because you had
their approval remembered (fob requests approve --remember), or take them back.
Each holds for one service, origin and SSH key.`,
		Example: "  fob remember\n  fob remember revoke 7dk\n  fob remember revoke --all",
	}, list,
		&cobra.Command{Use: "list", Short: "List the remembered approvals", Args: noArgument, RunE: list},
		a.revokeCmd(&user))
	cmd.PersistentFlags().StringVar(&user, "user", "", "for root: login `name` of the user whose approvals these are (default: yourself)")
	return cmd
}

func (a *app) printGrants(grants []api.Grant) error {
	if len(grants) == 0 {
		_, err := fmt.Fprintln(a.out, "Nothing is remembered: every sign-in is asked for.")
		return err
	}
	rows := make([][]string, len(grants))
	for i, g := range grants {
		used := "never"
		if g.LastUsed != nil {
			used = when(*g.LastUsed)
		}
		by := g.MethodName
		if by == "" {
			by = g.Method
		}
		if g.Strength != "" {
			by += " (" + g.Strength + ")"
		}
		rows[i] = []string{g.ID, g.Service, g.Origin, g.SSHKey, by, when(g.Made), when(g.Until), used, strconv.FormatUint(g.Uses, 10)}
	}
	return table(a.out, []string{"ID", "SERVICE", "FROM", "WITH KEY", "BY", "SINCE", "UNTIL", "USED", "USES"}, rows)
}

func (a *app) revokeCmd(user *string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "revoke ID...",
		Short: "Take remembered approvals back: the next sign-in is asked for again",
		Long: `Take remembered approvals back, each named by its id or the beginning of it, or
all of them. The next sign-in is asked for again. That needs no approval.`,
		Example: "  fob remember revoke 7dk\n  fob remember revoke --all",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return usagef("--all takes all of them back: leave the ids out")
			case !all && len(args) == 0:
				return usagef("name the remembered approval: see fob remember; or say --all")
			}
			return nil
		},
		ValidArgsFunction: a.completeGrants(user),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var n int
			if all {
				n, err = c.RevokeGrants(cmd.Context(), *user)
			} else {
				n, err = revoke(cmd.Context(), c, *user, args)
			}
			if err != nil {
				return err
			}
			switch {
			case a.json:
				return a.printJSON(api.Revoked{Grants: n})
			case n == 0:
				_, err = fmt.Fprintln(a.out, "Nothing was remembered.")
				return err
			}
			_, err = fmt.Fprintf(a.out, "Taken back: %s. You will be asked again.\n", plural(n, "remembered approval", "remembered approvals"))
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "take all of them back")
	return cmd
}

// revoke takes back what args name. All of them are looked up before the first is taken back.
func revoke(ctx context.Context, c *client.Client, user string, args []string) (int, error) {
	grants, err := c.Grants(ctx, user)
	if err != nil {
		return 0, err
	}
	known := make([]named, len(grants))
	for i, g := range grants {
		known[i] = named{g.ID, grantTitle(g)}
	}
	chosen := map[string]bool{}
	var ids []string
	for _, arg := range args {
		id, err := choose("remembered approval", "fob remember", arg, known)
		if err != nil {
			return 0, err
		}
		if !chosen[id] {
			chosen[id], ids = true, append(ids, id)
		}
	}
	for _, id := range ids {
		if err := c.RevokeGrant(ctx, user, id); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

func grantTitle(g api.Grant) string { return g.Service + " from " + g.Origin }
