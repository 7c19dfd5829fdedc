package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fobproject/fob/internal/client"
)

// noArgument wants none.
func noArgument(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, and %q is one", cmd.CommandPath(), client.Show(args[0]))
	}
	return nil
}

// flagError puts what the parser of flags says of a value in words for people.
func flagError(cmd *cobra.Command, err error) error {
	// The flag is named in the text alone: invalid argument "x" for "-n, --number" flag: …
	text := err.Error()
	names, _, _ := strings.Cut(text[max(0, strings.LastIndex(text, ` for "`)):], `" flag: `)
	_, name, _ := strings.Cut(names, "--")
	flag := cmd.Flags().Lookup(name)
	if flag == nil {
		return err
	}
	switch flag.Value.Type() {
	case "duration":
		return usagef("--%s is a time such as 30s or 2m", flag.Name)
	case "int":
		return usagef("--%s is a whole number", flag.Name)
	}
	return err
}

// noneEmpty refuses flags with an empty value, which would pass for flags that were left out: a script's
// variable was not set. Claims may be empty.
func noneEmpty(cmd *cobra.Command) error {
	var empty error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && !slices.Contains(claims, f.Name) {
			empty = usagef("--%s is empty: give it a value, or leave it out", f.Name)
		}
	})
	return empty
}

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
