package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) receiptCmd() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "receipt REQUEST",
		Short: "Check the receipt of an approval, and show what was approved",
		Long: `Fetch the receipt of an approved request and check it here, without the daemon's help:
that the key signed it, that it was touched, and that what it signed is what the log
says.

--out DIR writes the receipt's files so that anyone can check it with tools that do not
come from Fob: fido2-assert (Debian package fido2-tools) and openssl.`,
		Example: "  fob log receipt 3kx9v2ab\n  fob log receipt 3kx9v2ab --out receipt",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			page, err := c.Receipts(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			entry, approval, err := approvalIn(page, args[0])
			if err != nil {
				return err
			}
			if a.json {
				err = a.printJSON(entry)
			} else {
				err = a.printReceipt(entry, approval)
			}
			if err != nil || out == "" {
				return err
			}
			return a.exportReceipt(out, entry, approval)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the receipt's files to this new `folder`")
	return cmd
}

// approvalIn finds and checks the approval among a request's log entries.
func approvalIn(page api.LogPage, id string) (api.LogEntry, client.Approval, error) {
	var none error = api.Errorf(api.CodeNotFound, "the log has no request %q: see fob log", client.Show(id))
	for _, entry := range page.Entries {
		approval, err := client.CheckReceipt(entry)
		switch {
		case entry.Request != id:
			return entry, approval, fmt.Errorf("%w: it is for the request %q", client.ErrReceipt, entry.Request)
		case entry.Decision != api.Approved:
			none = fmt.Errorf("%w: the request was %s", client.ErrNoReceipt, entry.Decision)
		case entry.Receipt == nil:
			none = fmt.Errorf("%w: the request was approved without a key", client.ErrNoReceipt)
		default:
			return entry, approval, err
		}
	}
	return api.LogEntry{}, client.Approval{}, none
}

func (a *app) printReceipt(e api.LogEntry, approval client.Approval) error {
	s := approval.Signed
	how := "touched"
	if approval.Proof.UserVerified {
		how = "touched, and its user verified by PIN or fingerprint"
	}
	claimed := func(v string) string {
		if v == "" {
			return ""
		}
		return v + "  (claimed)"
	}
	trust := ""
	if e.SelfAsserted {
		trust = "self-asserted: the log is kept by a daemon of the same user"
	}
	fmt.Fprintf(a.out, "Signature valid: a key approved this %s.\n", client.Show(kindName(s.Kind)))
	return facts(a.out,
		[2]string{"request", s.Request},
		[2]string{"user", fmt.Sprintf("%s (uid %d)", s.User, s.UID)},
		[2]string{"service", s.Service},
		[2]string{"place", s.Place},
		[2]string{"origin", claimed(s.Origin)},
		[2]string{"host", claimed(s.Host)},
		[2]string{"command", claimed(s.Command)},
		[2]string{"needed", s.Require},
		[2]string{"method", quoted(e.MethodName, e.Method)},
		[2]string{"the key was", how},
		[2]string{"asked at", s.Time.Local().Format("2006-01-02 15:04:05")},
		[2]string{"decided at", e.Time.Local().Format("2006-01-02 15:04:05")},
		[2]string{"log entry", fmt.Sprintf("%d, %s", e.Seq, e.Hash)},
		[2]string{"note", trust},
	)
}

func (a *app) exportReceipt(dir string, e api.LogEntry, approval client.Approval) error {
	files, err := client.ExportReceipt(dir, *e.Receipt)
	if err != nil {
		return err
	}
	verified := ""
	if approval.Proof.UserVerified {
		verified = " -v"
	}
	w := a.out
	if a.json {
		return nil
	}
	_, err = fmt.Fprintf(w, `
Check it without Fob: the signature, and that the first line of the assertion is the
hash of what was shown.
  fido2-assert -V -p%s -i %s %s %s && echo signature valid
  openssl dgst -sha256 -binary %s | base64; head -n 1 %s
`, verified, files.Assertion, files.PublicKey, files.Type, files.ClientData, files.Assertion)
	return err
}

func kindName(kind string) string {
	if name, ok := kindNames[kind]; ok {
		return name
	}
	return kind
}
