package main

import (
	"github.com/spf13/cobra"
)

// one wants a single argument, the name of a what, which lister lists.
func one(what, lister string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("name the %s: see %s", what, lister)
		}
		return atMostOne(what)(nil, args)
	}
}

// atMostOne wants one name of a what, or none.
func atMostOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("name one %s only; a name with spaces is put in quotation marks", what)
		}
		return nil
	}
}

// oneAndName wants the name of a what, which lister lists, and another for it; usage shows how.
func oneAndName(what, lister, usage string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usagef("name the %s: see %s", what, lister)
		case len(args) == 1:
			return usagef("say what the %s is to be called: %s", what, usage)
		case len(args) > 2:
			return usagef("these are more than two names; a name with spaces is put in quotation marks")
		}
		return nil
	}
}
