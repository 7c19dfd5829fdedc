package main

import (
	"context"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// logOptions are what the command line says of the log.
type logOptions struct {
	number         int
	follow, verify bool
	everybody      bool
	head           string
	user, request  string
	service        string
	decision, kind string
	method         string
	sinceText      string
	untilText      string
	since, until   time.Time
}

func (o *logOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVarP(&o.number, "number", "n", 20, "show the last `N` decisions")
	flags.BoolVar(&o.follow, "follow", false, "go on showing decisions as they are made")
	flags.StringVar(&o.request, "request", "", "show the decisions of the request with this `id` only")
	flags.StringVar(&o.service, "service", "", "those of this `service` only, such as pam:sshd or mailer")
	flags.StringVar(&o.decision, "decision", "", "those that ended in this `word` only, such as denied")
	flags.StringVar(&o.kind, "kind", "", "those of this `kind` of request only, such as sign-in")
	flags.StringVar(&o.method, "method", "", "those by this sign-in `method` only, by its id or name")
	flags.StringVar(&o.sinceText, "since", "", "those from this `time` on")
	flags.StringVar(&o.untilText, "until", "", "those up to this `time`")
	flags.StringVar(&o.user, "user", "", "for root: those of the user with this login `name`")
	flags.BoolVar(&o.everybody, "all", false, "for administrators: those of all users")
	flags.BoolVar(&o.verify, "verify", false, "check the whole log instead of showing it")
	flags.StringVar(&o.head, "head", "", "with --verify: a `head` that was noted elsewhere, as hash or number:hash")
	complete(cmd, "decision", decisions...)
	complete(cmd, "kind", slices.Sorted(maps.Keys(kindNames))...)
}

// decisions are the log's words for how something ended.
var decisions = []string{api.Approved, api.Denied, api.Reported, api.Expired, api.Cancelled, wrongCode, possibleClone}

// query checks what was said, and makes a query of it.
func (o *logOptions) query(cmd *cobra.Command, now time.Time) (client.LogQuery, error) {
	none := client.LogQuery{}
	if o.number < 1 || o.number > maxLogNumber {
		return none, usagef("-n is 1 to %d", maxLogNumber)
	}
	filtered := ""
	for _, name := range []string{"request", "service", "decision", "kind", "method", "since", "until", "user", "all", "number", "follow"} {
		if cmd.Flags().Changed(name) {
			filtered = name
		}
	}
	switch {
	case o.verify && filtered != "":
		return none, usagef("--verify checks the whole log: leave --%s out", filtered)
	case o.head != "" && !o.verify:
		return none, usagef("--head is checked by --verify: say that too")
	case o.follow && o.request != "":
		return none, usagef("--follow shows every request: leave --request out")
	case o.follow && o.untilText != "":
		return none, usagef("--follow has no end: leave --until out")
	case o.everybody && o.user != "":
		return none, usagef("--all shows every user's: leave --user out")
	}
	if o.decision != "" {
		decision, ok := wordOf(o.decision, decisions, decisionName)
		if !ok {
			return none, usagef("%q is no decision: --decision is one of %s", client.Show(o.decision), strings.Join(decisions, ", "))
		}
		o.decision = decision
	}
	if o.kind != "" {
		known := slices.Sorted(maps.Keys(kindNames))
		kind, ok := wordOf(o.kind, known, kindName)
		if !ok {
			return none, usagef("%q is no kind: --kind is one of %s", client.Show(o.kind), strings.Join(known, ", "))
		}
		o.kind = kind
	}
	var err error
	if o.since, err = parseTime("since", o.sinceText, now, 0); err != nil {
		return none, err
	}
	if o.until, err = parseTime("until", o.untilText, now, 1); err != nil {
		return none, err
	}
	if !o.until.IsZero() && !o.since.Before(o.until) {
		return none, usagef("--since is not before --until: nothing is between them")
	}
	return client.LogQuery{
		User: o.user, Everybody: o.everybody, Request: o.request, Service: o.service, Decision: o.decision, Kind: o.kind, Method: o.method,
		Since: o.since, Until: o.until,
	}, nil
}

// wordOf finds the log's word that text is, or that is shown as text.
func wordOf(text string, words []string, shown func(string) string) (string, bool) {
	if slices.Contains(words, text) {
		return text, true
	}
	at := slices.IndexFunc(words, func(word string) bool { return shown(word) == text })
	if at < 0 {
		return "", false
	}
	return words[at], true
}

// logMethod is the id of the method that arg names. What could be the whole id of one that was removed is
// passed on: the log goes back further than the methods do.
func (a *app) logMethod(ctx context.Context, user, arg string) (string, error) {
	method, err := a.pickMethod(ctx, user, []string{arg})
	if isCode(err, api.CodeNotFound) && wholeID.MatchString(arg) {
		return arg, nil
	}
	return method.ID, err
}

// wholeID is the form of ids.
var wholeID = regexp.MustCompile(`^[0-9a-z]{10}$`)

// parseTime reads a span up to now, a date, at which so many days are added, or a time.
func parseTime(flag, text string, now time.Time, add int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return t.AddDate(0, 0, add), nil
	}
	if n, found := strings.CutSuffix(text, "d"); found {
		if n, err := strconv.Atoi(n); err == nil && n >= 0 && n <= maxLogDays {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usagef("--%s is a span such as 24h or 7d, a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z", flag)
}

// maxLogDays bounds how far back a span of days goes: a hundred years.
const maxLogDays = 36500

// lastEntries reads the newest entries that a query asks for, and gives them oldest first.
func lastEntries(ctx context.Context, c *client.Client, query client.LogQuery, number int) iter.Seq2[api.LogEntry, error] {
	return func(yield func(api.LogEntry, error) bool) {
		var newest []api.LogEntry // newest first
		query.Newest = true
		for more := true; more && len(newest) < number; {
			query.Limit = min(number-len(newest), logPage)
			page, err := c.Log(ctx, query)
			if err != nil {
				yield(api.LogEntry{}, err)
				return
			}
			slices.SortFunc(page.Entries, func(a, b api.LogEntry) int { return bySeq(b, a) })
			newest = append(newest, page.Entries...)
			// A daemon that does not get on is left.
			more = page.More && page.Next > 0 && (query.Before == 0 || page.Next < query.Before)
			query.Before = page.Next
		}
		for _, e := range slices.Backward(newest[:min(number, len(newest))]) {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// entriesAfter reads everything that a query asks for after query.After, oldest first.
func entriesAfter(ctx context.Context, c *client.Client, query client.LogQuery) iter.Seq2[api.LogEntry, error] {
	return func(yield func(api.LogEntry, error) bool) {
		query.Limit = logPage
		for {
			page, err := c.Log(ctx, query)
			if err != nil {
				yield(api.LogEntry{}, err)
				return
			}
			slices.SortFunc(page.Entries, bySeq)
			for _, e := range page.Entries {
				if !yield(e, nil) {
					return
				}
			}
			if !page.More || page.Next <= query.After {
				return
			}
			query.After = page.Next
		}
	}
}

func bySeq(a, b api.LogEntry) int {
	switch {
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	}
	return 0
}
