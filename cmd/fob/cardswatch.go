package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
)

func (a *app) watchCardsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "Show readers and cards as they come and go, until Ctrl-C",
		Long: `Show readers and cards as they come and go, until Ctrl-C. No card is asked
anything. With --json each line is all readers as they are now.`,
		Example: "  fob cards watch\n  fob cards watch --json",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			var before *api.Readers
			for now, err := range c.WatchCards(cmd.Context()) {
				if err != nil {
					return err
				}
				if a.json {
					err = a.printJSONLine(now)
				} else {
					for _, line := range readerNews(before, now) {
						fmt.Fprintf(a.out, "%s  %s\n", time.Now().Format(time.TimeOnly), line)
					}
					err = a.out.Flush()
				}
				if err != nil {
					return err
				}
				before = &now
			}
			return nil
		},
	}
}

// readerNews says in sentences what is different; before is nil at first.
func readerNews(before *api.Readers, now api.Readers) []string {
	switch {
	case now.Problem != nil && now.Problem.Code == api.CodeNoCardService:
		return []string{"No card service is running: install pcscd, and start it with “systemctl start pcscd.socket”. It is tried again; Ctrl-C stops."}
	case now.Problem != nil:
		return []string{sentence(now.Problem.Message)}
	}
	var known []api.Reader // what was said of each
	if before != nil {
		known = before.Readers
	}
	var lines []string
	if before != nil && before.Problem != nil {
		lines = append(lines, "Cards can be seen again.")
	}
	for _, was := range known {
		if readerIn(now.Readers, was) == nil {
			lines = append(lines, "The reader "+quoted(was.Reader, "")+" was unplugged.")
		}
	}
	for _, r := range now.Readers {
		was := readerIn(known, r)
		lines = append(lines, readerChange(was, r, before != nil && before.Problem == nil)...)
	}
	if len(now.Readers) == 0 {
		lines = append(lines, "There is no reader, and no key that is one. Waiting for one; Ctrl-C stops.")
	}
	return lines
}

func readerIn(all []api.Reader, r api.Reader) *api.Reader {
	if i := slices.IndexFunc(all, func(o api.Reader) bool { return o.Reader == r.Reader }); i >= 0 {
		return &all[i]
	}
	return nil
}

// readerChange says what is different of one reader; was is nil if it is new, and fresh says that it came just now.
func readerChange(was *api.Reader, r api.Reader, fresh bool) []string {
	name := quoted(r.Reader, "")
	var lines []string
	if was == nil && fresh {
		lines = append(lines, "The reader "+name+" was plugged in.")
	}
	had := was != nil && was.Card
	switch {
	case r.Card && r.Mute && !(had && was.Mute):
		lines = append(lines, "The card in the reader "+name+" does not answer: take it out, and put it in the other way round.")
	case r.Card && !r.Mute && !(had && !was.Mute):
		lines = append(lines, "A card is in the reader "+name+".")
	case !r.Card && had:
		lines = append(lines, "The card was taken out of the reader "+name+".")
	case !r.Card && was == nil && !fresh:
		lines = append(lines, "The reader "+name+" is empty.")
	}
	switch used := was != nil && was.Exclusive; {
	case r.Exclusive && !used:
		lines = append(lines, "Another program has the card in the reader "+name+" for itself: close it to use the card.")
	case !r.Exclusive && used && r.Card:
		lines = append(lines, "The card in the reader "+name+" can be used again.")
	}
	return lines
}
