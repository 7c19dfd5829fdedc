// Command fob asks the daemon and shows what it says: status, keys, sign-in methods, requests, the
// log, and codes for other sites; and it is where PINs, codes and passphrases are typed. It decides nothing by itself.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func main() {
	a := &app{stdin: os.Stdin, out: bufio.NewWriter(os.Stdout), stderr: os.Stderr, config: client.Default, authorize: client.Authorize}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		a.width = width
	}
	os.Exit(a.main(os.Args[1:]))
}

// app is one run of the command: where it reads and writes, and what its global flags said.
type app struct {
	stdin  *os.File
	out    *bufio.Writer // results, and nothing else
	stderr *os.File      // progress, prompts and errors
	width  int           // of the terminal that results go to, in columns; 0 where there is none
	config func(socket string) client.Config
	// authorize lets the person prove by their password who they are.
	authorize func(context.Context) (api.Secret, error)

	socket string
	json   bool
	// own asks for the user's own daemon, also where the machine has one.
	own bool
	// begun is set once the command line was understood: errors before that are usage errors.
	begun  bool
	daemon *client.Client
	tty    *keyboard
	lines  *lineInput
}

// main runs a command line and gives the exit code.
func (a *app) main(args []string) int {
	root := a.root()
	root.SetArgs(joinDash(args))
	cmd, err := root.ExecuteC()
	if a.tty != nil {
		a.tty.close()
	}
	if a.daemon != nil {
		a.daemon.Close()
	}
	if flushErr := a.out.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("cannot write the result: %w", flushErr)
	}
	if err != nil && !a.begun {
		err = usagef("%s", strings.TrimSpace(err.Error()))
	}
	return a.report(cmd, err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fob",
		Short: "Sign in with a security key or a token, and see who asks",
		Long: `fob talks to Fob's daemon, fobd: it shows and registers security keys and
hardware tokens, asks for approval by a tap on a key or a token's code, approves
what is asked from elsewhere, lists what was decided, and shows the codes that
other sites ask for.

The daemon is the one that --socket names, or else FOB_SOCKET (not for root);
else the system's where one is installed, else your own. Codes, accounts, cards
and, but for root, the vault are your own daemon's; so is all else with --own.

Exit codes: 0 approved or done, 1 denied, reported or expired, 2 wrong usage, 3
no daemon, 4 locked out, throttled or sealed, 5 not found, 6 a key's, card's or
token's trouble, 7 internal, 8 forbidden.`,
		Example: `  fob methods add key --name Blue
  fob verify --service mailer --timeout 30s
  fob requests
  fob codes`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.begun, a.own = true, a.own || isOwn(cmd)
			return noneEmpty(cmd)
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	root.SetOut(a.out)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().StringVar(&a.socket, "socket", "", "`path` of the daemon's socket")
	root.PersistentFlags().BoolVar(&a.own, "own", false, "ask your own daemon, also where the system has one")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the result as JSON")
	root.AddCommand(a.statusCmd(), a.keysCmd(), a.methodsCmd(), a.tokensCmd(), a.cardsCmd(), a.accountsCmd(), a.codesCmd(), a.vaultCmd(),
		a.verifyCmd(), a.requestsCmd(), a.rememberCmd(), a.unblockCmd(), a.helpdeskCmd(), a.policyCmd(), a.logCmd(), a.versionCmd(), a.clearClipboardCmd())
	return root
}

// isOwn reports whether a command is about what a user's own daemon alone has for them: the vault of the system's is
// root's.
func isOwn(cmd *cobra.Command) bool {
	for ; cmd != nil; cmd = cmd.Parent() {
		switch cmd.Name() {
		case "cards", "accounts", "codes":
			return true
		case "vault":
			return os.Getuid() != 0
		}
	}
	return false
}

// client is the daemon's client, made when it is first needed.
func (a *app) client() (*client.Client, error) {
	if a.daemon == nil {
		config := a.config(a.socket)
		config.Own = a.own
		c, err := client.New(config)
		if err != nil {
			return nil, err
		}
		a.daemon = c
	}
	return a.daemon, nil
}

// group is a command that only holds others and lists when none is named.
func group(cmd *cobra.Command, list func(*cobra.Command, []string) error, more ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = list
	cmd.AddCommand(more...)
	return cmd
}

// kindNames are what the kinds of request, and of the log's other entries, are called in a sentence.
var kindNames = map[string]string{
	api.KindSignIn:       "sign-in",
	api.KindAddMethod:    "new sign-in method",
	api.KindRemoveMethod: "removal of a sign-in method",
	api.KindTest:         "test",
	api.KindResync:       "resync of a token",
	api.KindSetPIN:       "new PIN",
	api.KindReset:        "reset of a key",
	api.KindUnblock:      "unblocking",
	api.KindChangeToken:  "change of a token",
	api.KindExportTokens: "export of all tokens",
	api.KindChangeVault:  "change of the vault",
	api.KindBackup:       "backup",
	api.KindLost:         "removal of a lost sign-in method",
	api.KindUnlock:       "opening of the vault",
	"revoke-grant":       "remembered approval taken back",
	"helpdesk-code":      "one-time code from an administrator",
	"confirm-name":       "confirmation of a user's new name",
	"clock-was-wrong":    "note that the clock was wrong",
	"prune-log":          "removal of old log entries",
	"import-tokens":      "import of tokens",
	"assign-token":       "assignment of a token",
	"rename-token":       "naming of a token",
	"restore":            "restored backup",
	"codes":              "codes shown",
	"add-account":        "new account",
	"rename-account":     "naming of an account",
	"delete-account":     "deletion of an account",
	"card-password":      "password of a card",
	"reset-card":         "reset of a card",

	api.KindExportAccounts: "export of accounts",
}
