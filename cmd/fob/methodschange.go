package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) renameCmd(user *string) *cobra.Command {
	return &cobra.Command{
		Use:               "rename METHOD NAME",
		Short:             "Give a sign-in method another name",
		Args:              oneAndName("sign-in method", "fob methods", "fob methods rename METHOD NAME"),
		ValidArgsFunction: a.completeMethods(user),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.patch(cmd.Context(), *user, args[0], api.MethodPatch{Name: &args[1]}, "is the name now")
		},
	}
}

func (a *app) defaultCmd(user *string) *cobra.Command {
	return &cobra.Command{
		Use:               "default METHOD",
		Short:             "Make a sign-in method the one that is offered first",
		Args:              one("sign-in method", "fob methods"),
		ValidArgsFunction: a.completeMethods(user),
		RunE: func(cmd *cobra.Command, args []string) error {
			yes := true
			return a.patch(cmd.Context(), *user, args[0], api.MethodPatch{Default: &yes}, "is the default now")
		},
	}
}

func (a *app) patch(ctx context.Context, user, arg string, patch api.MethodPatch, said string) error {
	method, err := a.pickMethod(ctx, user, []string{arg})
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	patch.User = user
	method, err = c.PatchMethod(ctx, method.ID, patch)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(method)
	}
	_, err = fmt.Fprintf(a.out, "%s %s.\n", quoted(method.Name, method.ID), said)
	return err
}

func (a *app) removeCmd(user *string) *cobra.Command {
	var force bool
	var g given
	cmd := &cobra.Command{
		Use:   "remove METHOD",
		Short: "Remove a sign-in method",
		Long: `Remove a sign-in method. A registered method has to approve. The last one is
removed only with --force: without any method nothing can be approved. A token
stays assigned to you.`,
		Args:              one("sign-in method", "fob methods"),
		ValidArgsFunction: a.completeMethods(user),
		RunE: func(cmd *cobra.Command, args []string) error {
			method, err := a.pickMethod(cmd.Context(), *user, args)
			if err != nil {
				return err
			}
			request := api.BeginRequest{Kind: api.KindRemoveMethod, User: *user, Method: api.MethodSpec{ID: method.ID, Force: force}}
			return a.begin(cmd.Context(), request, g, func(api.RequestState, string) error {
				_, err := fmt.Fprintf(a.out, "Removed: %s\n", quoted(method.Name, method.ID))
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "remove it even if it is the last one")
	g.flags(cmd)
	return cmd
}

func (a *app) testCmd(user *string) *cobra.Command {
	var g given
	cmd := &cobra.Command{
		Use:   "test [METHOD]",
		Short: "Check that a sign-in method works",
		Long: `Check that a sign-in method works: touch the key, or type the code that the
token shows.`,
		Args:              atMostOne("sign-in method"),
		ValidArgsFunction: a.completeMethods(user),
		RunE: func(cmd *cobra.Command, args []string) error {
			method, err := a.pickMethod(cmd.Context(), *user, args)
			if err != nil {
				return err
			}
			request := api.BeginRequest{Kind: api.KindTest, User: *user, Method: api.MethodSpec{ID: method.ID}}
			return a.begin(cmd.Context(), request, g, func(s api.RequestState, _ string) error {
				_, err := fmt.Fprintf(a.out, "%s works (strength: %s).\n", quoted(method.Name, method.ID), client.Show(s.Strength))
				return err
			})
		},
	}
	g.flags(cmd)
	return cmd
}

func (a *app) resyncCmd(user *string) *cobra.Command {
	var g given
	cmd := &cobra.Command{
		Use:   "resync METHOD",
		Short: "Bring a token back into step by two codes in a row",
		Long: `Bring a token whose codes are not accepted any more back into step: type two
codes in a row. That is needed where its clock is off by minutes, where its
button was pressed very often, and for tokens that count presses after a backup
was restored.`,
		Args:              one("sign-in method", "fob methods"),
		ValidArgsFunction: a.completeMethods(user),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.canAskCodes(); err != nil {
				return err
			}
			method, err := a.pickMethod(cmd.Context(), *user, args)
			if err != nil {
				return err
			}
			if method.Type != "token" {
				return usagef("%s is no token: only tokens get out of step", quoted(method.Name, method.ID))
			}
			request := api.BeginRequest{Kind: api.KindResync, User: *user, Method: api.MethodSpec{ID: method.ID}}
			return a.begin(cmd.Context(), request, g, func(api.RequestState, string) error {
				_, err := fmt.Fprintf(a.out, "%s is back in step.\n", quoted(method.Name, method.ID))
				return err
			})
		},
	}
	g.flags(cmd)
	return cmd
}
