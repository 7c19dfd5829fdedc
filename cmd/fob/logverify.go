package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// verifyLog has the log checked, and says how far it holds.
func (a *app) verifyLog(ctx context.Context, c *client.Client, head string) error {
	screen := newScreen(a.stderr)
	var shown time.Time
	check, err := c.VerifyLog(ctx, head, func(done, total uint64) {
		if now := time.Now(); total > 0 && now.Sub(shown) >= progressEvery {
			shown = now
			screen.progress(fmt.Sprintf("Checking the log: %d of %d entries", done, total), time.Time{})
		}
	})
	screen.clear()
	if err != nil {
		return err
	}
	if check.BrokenAt == 0 && check.Reason == "" && check.Last > 0 && isEmptyHead(head) {
		return usagef("that is the head of an empty log: it says nothing about these entries. Give --head one that you noted later")
	}
	if a.json {
		if err := a.printJSON(check); err != nil {
			return err
		}
	}
	switch {
	case check.BrokenAt > 0:
		return api.Errorf(api.CodeLogBroken, "the log does not hold: entry %d is the first that is wrong: %s", check.BrokenAt, client.Show(check.Reason))
	case check.Reason != "":
		return api.Errorf(api.CodeLogBroken, "the log does not hold: %s", client.Show(check.Reason))
	}
	if a.json {
		return nil
	}
	return a.printVerdict(check, head)
}

// isEmptyHead reports whether a head is that of a log without entries, with which every log begins. With a
// number it is some entry's.
func isEmptyHead(head string) bool { return head != "" && strings.Trim(head, "0") == "" }

// progressEvery is how often progress is shown.
const progressEvery = 100 * time.Millisecond

func (a *app) printVerdict(check api.LogCheck, head string) error {
	if check.Last == 0 {
		_, err := fmt.Fprintln(a.out, "The log is empty.")
		return err
	}
	holds := []string{
		fmt.Sprintf("entries %d to %d", check.First, check.Last),
		plural(int(check.Signatures), "signature", "signatures"),
		plural(int(check.Receipts), "receipt", "receipts"),
		"head " + client.Show(check.Head),
	}
	fmt.Fprintf(a.out, "The log holds: %s.\n", strings.Join(holds, ", "))
	if check.Pruned > 0 {
		fmt.Fprintf(a.out, "%s before them were removed as they grew old.\n", plural(int(check.Pruned), "entry", "entries"))
	}
	if head != "" {
		fmt.Fprintln(a.out, "The head that you noted is in it.")
	}
	if len(check.Key) > 0 {
		fmt.Fprintf(a.out, "Signed with the key %s: compare it with one that you noted elsewhere.\n", base64.StdEncoding.EncodeToString(check.Key))
	}
	if head == "" {
		fmt.Fprintf(a.out, "Note the head elsewhere, and later check it: fob log --verify --head %d:%s\n", check.Last, client.Show(check.Head))
	}
	return nil
}
