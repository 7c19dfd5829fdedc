package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/recovery/sheet"
	"github.com/fobproject/fob/internal/secret"
)

// recoveryCodes is how many a user is given at a time.
const recoveryCodes = 10

func (a *app) addRecoveryCmd(user *string) *cobra.Command {
	var g given
	var helpdesk helpdeskSource
	var path string
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "Make new recovery codes, to be printed and put away",
		Long: `Make ten recovery codes, for when your keys and tokens are lost or broken.
Each approves once that a lost method goes, or that a new one is registered;
and where policy lets it, it signs you in. They are shown once, here: print the
page or write the codes down, and keep them elsewhere. New codes make the former
ones worthless.

--out FILE writes the page to a new file that only you can read, and shows it
nowhere else. With --json the codes are printed as an array of strings.`,
		Example: "  fob methods add recovery\n  fob methods add recovery --out /media/stick/codes.txt",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var file *newFile
			if path != "" {
				var err error
				if file, err = createNew(path); err != nil {
					return err
				}
				defer file.discard()
			}
			request := api.BeginRequest{Kind: api.KindAddMethod, User: *user, Method: api.MethodSpec{Type: "recovery"}}
			return a.add(cmd.Context(), request, g, helpdesk, func(s api.RequestState, won string) error {
				if len(s.RecoveryCodes) == 0 {
					return errors.New("the recovery codes were made, and did not arrive: make new ones")
				}
				return a.giveCodes(s, file)
			})
		},
	}
	cmd.Flags().StringVar(&path, "out", "", "write the page to this new `file`")
	helpdeskFlag(cmd, &helpdesk)
	g.flags(cmd)
	return cmd
}

// giveCodes passes new recovery codes on: to the file, if there is one, else to the results. Codes that the
// file does not take are shown all the same: they are told once, and the former ones are worthless.
func (a *app) giveCodes(s api.RequestState, file *newFile) error {
	if file != nil {
		err := writeCodes(file, s)
		if err == nil {
			err = file.commit()
		}
		if err == nil {
			return a.codesWritten(file.path)
		}
		fmt.Fprintln(a.stderr, "fob: the file was not written. The codes follow here instead.")
		return errors.Join(err, a.showCodes(s))
	}
	return a.showCodes(s)
}

func (a *app) codesWritten(path string) error {
	if a.json {
		return a.printJSON(map[string]string{"file": path})
	}
	_, err := fmt.Fprintf(a.out, "The recovery codes are in %s. Print it, and do not leave it on this computer: each code works once.\n", path)
	return err
}

func (a *app) showCodes(s api.RequestState) error {
	if a.json {
		return a.printJSON(s.RecoveryCodes)
	}
	if err := writeCodes(a.out, s); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.out, "\nWrite them down, or print this page: each works once, and they are not shown again.")
	return err
}

// writeCodes writes the page of recovery codes.
func writeCodes(w io.Writer, s api.RequestState) error {
	host, err := os.Hostname()
	if err != nil {
		host = "this computer"
	}
	info := sheet.Info{User: s.User, Host: host, Made: time.Now()}
	for _, code := range s.RecoveryCodes {
		info.Codes = append(info.Codes, secret.New(code))
	}
	return sheet.Write(w, info)
}
