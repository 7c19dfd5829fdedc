package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

func (a *app) receiptCmd() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "receipt REQUEST",
		Short: "Check the receipt of an approval, and show what was approved",
		Long: `Fetch the receipt of an approved request and check it here, without the daemon's
help: that the key signed it, that it was touched, and that what it signed is
what the log says.

--out DIR writes the receipt's files so that anyone can check it with tools that
do not come from Fob: fido2-assert (Debian package fido2-tools) and openssl.`,
		Example: "  fob log receipt 3kx9v2ab\n  fob log receipt 3kx9v2ab --out receipt",
		Args:    one("request", "fob log"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			page, err := c.Receipts(cmd.Context(), args[0])
			if isCode(err, api.CodeNotFound) {
				return noSuchEntry(args[0])
			}
			if err != nil {
				return err
			}
			approvals, err := approvalsIn(page, args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.receiptsJSON(out, approvals)
			}
			for i, each := range approvals {
				if i > 0 {
					fmt.Fprintln(a.out)
				}
				if err := a.printReceipt(each); err != nil {
					return err
				}
			}
			return a.exportReceipts(out, approvals)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the receipt's files to this new `folder`")
	return cmd
}

// checked is an approval whose receipt holds.
type checked struct {
	entry    api.LogEntry
	approval client.Approval
}

// approvalsIn finds the approvals among a request's log entries, and checks every one: a request in
// which a method is registered holds the approval that allowed it, and the new key's own.
func approvalsIn(page api.LogPage, id string) ([]checked, error) {
	none := noSuchEntry(id)
	var all []checked
	for _, entry := range page.Entries {
		switch {
		case entry.Request != id:
			return nil, fmt.Errorf("%w: it is for the request %q", client.ErrReceipt, entry.Request)
		case entry.Decision == wrongCode:
			none = fmt.Errorf("%w: a code was typed that was not accepted", client.ErrNoReceipt)
			continue
		case entry.Decision != api.Approved:
			none = fmt.Errorf("%w: the request was %s", client.ErrNoReceipt, entry.Decision)
			continue
		case entry.Receipt == nil && entry.Strength == "code":
			none = fmt.Errorf("%w: this was approved by a token's code", client.ErrNoReceipt)
			continue
		case entry.Receipt == nil:
			none = fmt.Errorf("%w: no key approved this", client.ErrNoReceipt)
			continue
		}
		approval, err := client.CheckReceipt(entry)
		if err != nil {
			return nil, err
		}
		all = append(all, checked{entry, approval})
	}
	if len(all) == 0 {
		return nil, none
	}
	return all, nil
}

func noSuchEntry(id string) error {
	return api.Errorf(api.CodeNotFound, "the log has no request %q: see fob log", client.Show(id))
}

func (a *app) printReceipt(c checked) error {
	e, s := c.entry, c.approval.Signed
	how := "touched"
	if c.approval.Proof.UserVerified {
		how = "touched, and its user verified by PIN or fingerprint"
	}
	claimed := func(name, v string) string {
		if v == "" || slices.Contains(e.Vouched, name) {
			return v
		}
		return v + "  (claimed)"
	}
	trust := ""
	if e.SelfAsserted {
		trust = "self-asserted: the log is kept by a daemon of the same user"
	}
	fmt.Fprintln(a.out, "Signature valid. A key approved this:")
	return facts(a.out,
		[2]string{"what", kindName(s.Kind)},
		[2]string{"request", s.Request},
		[2]string{"user", fmt.Sprintf("%s (uid %d)", s.User, s.UID)},
		[2]string{"service", s.Service},
		[2]string{"place", s.Place},
		[2]string{"origin", claimed("origin", s.Origin)},
		[2]string{"host", claimed("host", s.Host)},
		[2]string{"program", claimed("command", s.Executable)},
		[2]string{"SSH key", claimed("ssh_key", s.SSHKey)},
		[2]string{"command's hash", s.CommandHash},
		[2]string{"needed", s.Require},
		[2]string{"method", quoted(e.MethodName, e.Method)},
		[2]string{"the key was", how},
		[2]string{"asked at", s.Time.Local().Format("2006-01-02 15:04:05")},
		[2]string{"decided at", e.Time.Local().Format("2006-01-02 15:04:05")},
		[2]string{"log entry", fmt.Sprintf("%d, %s", e.Seq, e.Hash)},
		[2]string{"note", trust},
	)
}

// exportReceipts writes the files of each approval; of several, each into a folder of its own below
// dir. It says how they are checked.
func (a *app) exportReceipts(dir string, approvals []checked) error {
	if dir == "" {
		return nil
	}
	for i, c := range approvals {
		files, err := export(dir, c, len(approvals))
		if err != nil {
			return err
		}
		if i == 0 {
			fmt.Fprint(a.out, "\nCheck it without Fob: the signature, and that the first line of the assertion is the\nhash of what was shown.\n")
		}
		verified := ""
		if c.approval.Proof.UserVerified {
			verified = " -v"
		}
		fmt.Fprintf(a.out, "  fido2-assert -V -p%s -i %s %s %s && echo signature valid\n", verified, files.Assertion, files.PublicKey, files.Type)
		fmt.Fprintf(a.out, "  openssl dgst -sha256 -binary %s | base64; head -n 1 %s\n", files.ClientData, files.Assertion)
	}
	return nil
}

// receiptsJSON prints the log entries as they came, all of which have been checked.
func (a *app) receiptsJSON(dir string, approvals []checked) error {
	entries := []api.LogEntry{}
	for _, c := range approvals {
		entries = append(entries, c.entry)
		if dir == "" {
			continue
		}
		if _, err := export(dir, c, len(approvals)); err != nil {
			return err
		}
	}
	return a.printJSON(entries)
}

func export(dir string, c checked, of int) (client.Exported, error) {
	if of > 1 {
		dir = filepath.Join(dir, strconv.FormatUint(c.entry.Seq, 10))
	}
	files, err := client.ExportReceipt(dir, *c.entry.Receipt)
	if errors.Is(err, fs.ErrExist) {
		return files, usagef("%s holds a receipt already: name another folder", dir)
	}
	return files, err
}

func kindName(kind string) string {
	if name, ok := kindNames[kind]; ok {
		return name
	}
	return kind
}
