package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// logPage is how many entries are asked for at once.
const logPage = 100

func (a *app) logCmd() *cobra.Command {
	var number int
	var follow bool
	var request string
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show what was decided",
		Long: `Show the newest decisions, oldest first. Each has its number in the log's chain; the
receipt of an approval can be checked with fob log receipt.`,
		Example: "  fob log -n 5\n  fob log --follow\n  fob log receipt 3kx9v2ab",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if number < 1 || number > 10000 {
				return usagef("-n is 1 to 10000")
			}
			if follow && request != "" {
				return usagef("--follow shows every request: leave --request out")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if follow {
				return a.followLog(cmd.Context(), c, number)
			}
			entries, err := lastEntries(cmd.Context(), c, number, request)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(notNil(entries))
			}
			return a.printLog(entries)
		},
	}
	cmd.Flags().IntVarP(&number, "number", "n", 20, "show the last `N` decisions")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on showing decisions as they are made")
	cmd.Flags().StringVar(&request, "request", "", "show the decisions of the request with this `id` only")
	cmd.AddCommand(a.receiptCmd())
	return cmd
}

// lastEntries reads the newest entries of the log, or of one request, oldest first.
func lastEntries(ctx context.Context, c *client.Client, number int, request string) ([]api.LogEntry, error) {
	if number <= logPage {
		page, err := c.Log(ctx, client.LogQuery{Limit: number, Request: request, Newest: true})
		return oldestFirst(page.Entries), err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	var after uint64
	if request == "" && status.LogSeq > uint64(number) {
		after = status.LogSeq - uint64(number)
	}
	entries, err := entriesAfter(ctx, c, after, request)
	if len(entries) > number {
		entries = entries[len(entries)-number:]
	}
	return entries, err
}

// entriesAfter reads everything after an entry.
func entriesAfter(ctx context.Context, c *client.Client, after uint64, request string) ([]api.LogEntry, error) {
	var all []api.LogEntry
	for {
		page, err := c.Log(ctx, client.LogQuery{After: after, Limit: logPage, Request: request})
		if err != nil {
			return nil, err
		}
		entries := oldestFirst(page.Entries)
		all = append(all, entries...)
		if !page.More || len(entries) == 0 {
			return all, nil
		}
		after = entries[len(entries)-1].Seq
	}
}

func oldestFirst(entries []api.LogEntry) []api.LogEntry {
	slices.SortFunc(entries, func(a, b api.LogEntry) int { return cmp.Compare(a.Seq, b.Seq) })
	return entries
}

// followLog prints the last entries, and then each new one. Events only say that there may be some:
// the log itself is read.
func (a *app) followLog(ctx context.Context, c *client.Client, number int) error {
	var last uint64
	started := false
	for again := true; again; {
		again = false
		for event, err := range c.Events(ctx) {
			if err != nil {
				return err
			}
			again = event.Lagged
			if event.Request != nil && event.Request.Pending {
				continue
			}
			var entries []api.LogEntry
			if started {
				entries, err = entriesAfter(ctx, c, last, "")
			} else {
				entries, err = lastEntries(ctx, c, number, "")
			}
			if err != nil {
				return err
			}
			started = true
			for _, e := range entries {
				last = e.Seq
				if err := a.printLogLine(e); err != nil {
					return err
				}
			}
			if err := a.out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) printLogLine(e api.LogEntry) error {
	if a.json {
		return a.printJSONLine(e)
	}
	row := logRow(e)
	line := fmt.Sprintf("%5s  %-16s  %-10s  %-20s  %-10s  %-22s  %-16s  %-10s",
		row[0], row[1], client.Show(row[2]), client.Show(row[3]), client.Show(row[4]), client.Show(row[5]), client.Show(row[6]), client.Show(row[7]))
	if why := client.Show(row[8]); why != "" {
		line += "  " + fit(why, a.room(utf8.RuneCountInString(line)+2))
	}
	_, err := fmt.Fprintln(a.out, strings.TrimRight(line, " "))
	return err
}

func (a *app) printLog(entries []api.LogEntry) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(a.out, "Nothing was decided yet.")
		return err
	}
	rows := make([][]string, len(entries))
	header := []string{"NO", "TIME", "DECISION", "KIND", "USER", "SERVICE", "BY", "REQUEST", "WHY"}
	why := len(header) - 1
	width := make([]int, why)
	for i, e := range entries {
		rows[i] = logRow(e)
		for j := range width {
			width[j] = max(width[j], len(header[j]), utf8.RuneCountInString(client.Show(rows[i][j])))
		}
	}
	used := 2 * why // the gaps
	for _, w := range width {
		used += w
	}
	for _, row := range rows {
		row[why] = fit(row[why], a.room(used))
	}
	return table(a.out, header, rows)
}

// minWhy is how many columns a reason gets on the narrowest terminal.
const minWhy = 30

// room is how many columns of the terminal are left beside used ones, but not less than minWhy; 0,
// which is no bound, where the results do not go to a terminal.
func (a *app) room(used int) int {
	if a.width <= 0 {
		return 0
	}
	return max(minWhy, a.width-used)
}

func logRow(e api.LogEntry) []string {
	by := e.MethodName
	if e.Strength != "" && e.Strength != "none" {
		if by != "" {
			by += " "
		}
		by += "(" + e.Strength + ")"
	}
	why := e.Reason
	if why == e.Decision {
		why = "" // it says nothing more
	}
	return []string{strconv.FormatUint(e.Seq, 10), when(e.Time), decisionName(e.Decision), kindName(e.Kind), e.User, e.Service, by, e.Request, why}
}

// wrongCode is the log's word for a typed code that was not accepted. Such an entry decides nothing by
// itself.
const wrongCode = "wrong-code"

func decisionName(decision string) string {
	if decision == wrongCode {
		return "wrong code"
	}
	return decision
}
