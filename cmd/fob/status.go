package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the daemon is doing",
		Long:  "Show which daemon answers, for whom it runs, and what is wrong with it, if anything.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s)
			}
			fmt.Fprintf(a.out, "fobd %s runs: %s instance of %s, since %s\n",
				client.Show(s.Version), client.Show(s.Instance), client.Show(s.User), when(s.Started))
			err = facts(a.out,
				[2]string{"socket", c.Path()},
				[2]string{"place", s.Place},
				[2]string{"keys", plural(s.Keys, "key plugged in", "keys plugged in")},
				[2]string{"methods", plural(s.Methods, "sign-in method", "sign-in methods")},
				[2]string{"tokens", plural(s.Tokens, "token", "tokens")},
				[2]string{"vault", vaultState(s.Vault)},
				[2]string{"requests", fmt.Sprintf("%d pending", s.Pending)},
				[2]string{"log", logState(s)},
				[2]string{"bus", s.Bus},
				[2]string{"helper", s.Helper},
			)
			if err != nil {
				return err
			}
			for _, problem := range s.Problems {
				fmt.Fprintf(a.out, "Problem: %s\n", client.Show(problem))
			}
			switch {
			case s.Methods == 0:
				fmt.Fprintln(a.out, "\nNext, register a key: fob methods add key --name NAME")
			case s.Pending > 0:
				fmt.Fprintln(a.out, "\nSee who asks: fob requests")
			}
			return nil
		},
	}
}

func logState(s api.Status) string {
	if s.LogSeq == 0 {
		return "empty"
	}
	return fmt.Sprintf("%s, head %.16s…", plural(int(s.LogSeq), "entry", "entries"), s.LogHead)
}

// version is set by a release's build; otherwise Go's own build information says it.
var version string

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print this program's version",
		Long:  "Print this program's version. The daemon's own is in fob status.",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := version
			if info, ok := debug.ReadBuildInfo(); v == "" && ok {
				v = info.Main.Version
			}
			if v == "" {
				v = "(devel)"
			}
			if a.json {
				return a.printJSON(map[string]string{"version": v})
			}
			_, err := fmt.Fprintln(a.out, "fob", v)
			return err
		},
	}
}
