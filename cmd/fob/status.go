package main

import (
	"encoding/base64"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show how the daemon is doing",
		Long:    "Show which daemon answers, for whom it runs, and what is wrong with it, if\nanything.",
		Example: "  fob status\n  fob status --json",
		Args:    noArgument,
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
			fmt.Fprintf(a.out, "fobd %s runs: %s, since %s\n", client.Show(s.Version), instanceText(s), when(s.Started))
			err = facts(a.out,
				[2]string{"socket", c.Path()},
				[2]string{"place", s.Place},
				[2]string{"keys", plural(s.Keys, "key plugged in", "keys plugged in")},
				[2]string{"methods", methodsState(s)},
				[2]string{"recovery codes", codesState(s)},
				[2]string{"remembered", rememberedState(s)},
				[2]string{"tokens", plural(s.Tokens, "token", "tokens")},
				[2]string{"vault", vaultState(s.Vault)},
				[2]string{"requests", fmt.Sprintf("%d pending", s.Pending)},
				[2]string{"policy", s.Policy},
				[2]string{"places", placesState(s)},
				[2]string{"log", logState(s)},
				[2]string{"log's key", base64.StdEncoding.EncodeToString(s.LogKey)},
				[2]string{"bus", s.Bus},
				[2]string{"helper", s.Helper},
			)
			if err != nil {
				return err
			}
			for _, w := range s.Waits {
				fmt.Fprintln(a.out, waitText(w)+liftText(w))
			}
			if len(s.Short) > 0 {
				fmt.Fprintf(a.out, "Users with fewer sign-in methods than policy wants: %s%s\n", client.Show(strings.Join(s.Short, ", ")), andMore(s.ShortMore))
			}
			for _, problem := range s.Problems {
				fmt.Fprintf(a.out, "Problem: %s\n", client.Show(problem))
			}
			switch {
			case s.Methods == 0 && s.UID == 0 && s.Instance == api.InstanceSystem: // root asks for others
			case s.Methods == 0:
				fmt.Fprintln(a.out, "\nNext, register a key: fob methods add key --name NAME")
			case s.Pending > 0:
				fmt.Fprintln(a.out, "\nSee who asks: fob requests")
			}
			return nil
		},
	}
}

// instanceText says which daemon it is.
func instanceText(s api.Status) string {
	if s.Instance == api.InstanceSystem {
		return "the system's instance, for all users; you are " + client.Show(s.User)
	}
	return client.Show(s.Instance) + " instance of " + client.Show(s.User)
}

// andMore ends a list that was cut short.
func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

func methodsState(s api.Status) string {
	if s.MinMethods > 0 {
		return fmt.Sprintf("%d of %d that policy wants", s.Methods, s.MinMethods)
	}
	return plural(s.Methods, "sign-in method", "sign-in methods")
}

func codesState(s api.Status) string {
	if s.CodesLeft == 0 {
		return "" // there may never have been any
	}
	text := fmt.Sprintf("%d of %d left", s.CodesLeft, recoveryCodes)
	if s.CodesLeft <= fewCodes {
		text += ": make new ones with fob methods add recovery"
	}
	return text
}

// fewCodes is how many recovery codes are so few that new ones should be made.
const fewCodes = 3

func rememberedState(s api.Status) string {
	if s.Grants == 0 {
		return ""
	}
	return plural(s.Grants, "approval", "approvals") + ": see fob remember"
}

// waitText says from where nothing may ask for a while.
func waitText(w api.Wait) string {
	from := client.Show(w.Origin)
	if from == "" {
		from = "this machine"
	}
	service := ""
	if w.Service != "" {
		service = " for " + client.Show(w.Service)
	}
	left := days(time.Duration(w.LeftS) * time.Second)
	if w.Kind == "block" {
		return fmt.Sprintf("Blocked after a report: %s%s, for %s more", from, service, left)
	}
	return fmt.Sprintf("Has to wait after a denial: %s%s, for %s more", from, service, left)
}

// liftText says what lifts a wait.
func liftText(w api.Wait) string {
	if w.Origin == "" {
		return ". To lift it: fob unblock"
	}
	return ". To lift it: fob unblock " + client.Show(w.Origin)
}

// placesState says whether it is learnt where callers sit.
func placesState(s api.Status) string {
	if s.Places == "off" && s.Instance == api.InstanceUser {
		return "not looked for: everybody counts as at the desk"
	}
	return s.Places
}

func logState(s api.Status) string {
	if s.LogSeq == 0 {
		return "empty"
	}
	return fmt.Sprintf("%s, head %s", plural(int(s.LogSeq), "entry", "entries"), s.LogHead)
}

// version is set by a release's build; otherwise Go's own build information says it.
var version string

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print this program's version",
		Long:  "Print this program's version. The daemon's own is in fob status.",
		Args:  noArgument,
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
