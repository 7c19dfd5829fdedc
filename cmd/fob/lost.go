package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
)

func (a *app) lostCmd(user *string) *cobra.Command {
	var g given
	cmd := &cobra.Command{
		Use:   "lost METHOD",
		Short: "Remove a sign-in method that you no longer have",
		Long: `Remove a sign-in method that was lost or stolen, with all that was remembered by
it. What goes and what remains is shown first, and is confirmed by typing LOST.
Then another method of the same strength has to approve, or a recovery code.`,
		Example:           "  fob methods lost Blue",
		Args:              one("sign-in method", "fob methods"),
		ValidArgsFunction: a.completeMethods(user),
		RunE: func(cmd *cobra.Command, args []string) error {
			method, err := a.pickMethod(cmd.Context(), *user, args)
			if err != nil {
				return err
			}
			request := api.BeginRequest{Kind: api.KindLost, User: *user, Method: api.MethodSpec{ID: method.ID}}
			return a.begin(cmd.Context(), request, g, func(api.RequestState, string) error {
				_, err := fmt.Fprintf(a.out, "Removed: %s, which was lost. Register another in its place: fob methods add key --name NAME\n", quoted(method.Name, method.ID))
				return err
			})
		},
	}
	g.flags(cmd)
	return cmd
}

func (a *app) confirmNameCmd(user *string) *cobra.Command {
	return &cobra.Command{
		Use:   "confirm-name",
		Short: "For root: let a renamed user's sign-in methods be used again",
		Long: `Sign-in methods are kept by user id, and are refused when that id has another
name than before: it may be another person now. Root says that it is the same
person, with the name that the user has now.`,
		Example: "  fob methods confirm-name --user alice",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if *user == "" {
				return usagef("say whose name it is: fob methods confirm-name --user NAME")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := c.ConfirmName(cmd.Context(), *user); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(api.ForUser{User: *user})
			}
			_, err = fmt.Fprintf(a.out, "Confirmed: the sign-in methods are %s's.\n", *user)
			return err
		},
	}
}
