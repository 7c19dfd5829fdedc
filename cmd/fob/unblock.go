package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) unblockCmd() *cobra.Command {
	var pin, user string
	cmd := &cobra.Command{
		Use:   "unblock [ORIGIN]",
		Short: "Let codes be typed again, and blocked origins ask again",
		Long: `After 10 wrong codes no more are accepted for a while; after a report nothing
from that origin can ask for a day, and after a denial not for a while. A tap on
a registered security key, which works all the time, lifts all of that; or,
where an origin is named as fob status shows it, what holds for that one.`,
		Example:           "  fob unblock\n  fob unblock 192.0.2.7",
		Args:              atMostOne("origin"),
		ValidArgsFunction: a.completeWaits,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := api.BeginRequest{Kind: api.KindUnblock, User: user}
			said := "Codes may be typed again, and nothing waits or is blocked."
			if len(args) > 0 {
				if args[0] == "" {
					return usagef("name the origin as fob status shows it, or leave it out to lift everything")
				}
				request.Unblock = args[0]
				said = client.Show(args[0]) + " may ask again."
			}
			return a.begin(cmd.Context(), request, given{pin: pin}, func(api.RequestState, string) error {
				_, err := fmt.Fprintln(a.out, said)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "for root: login `name` of the user for whom it is lifted (default: yourself)")
	pinFlag(cmd, &pin)
	return cmd
}
