package daemon

import (
	"log/slog"
	"time"

	"github.com/fobproject/fob/daemon/journal"
	"github.com/fobproject/fob/internal/audit"
)

// tidyEvery is how often it is looked for what has ended, and for entries of the log that are too old.
const tidyEvery = 24 * time.Hour

// keepHouse removes what has ended, and what is too old from the log, once a day, and sends the log's head to
// the journal.
func (d *Daemon) keepHouse(config File) {
	d.running.Go(func() {
		tick := time.NewTicker(tidyEvery)
		defer tick.Stop()
		for {
			if _, err := d.engine.Tidy(d.ctx); err != nil && d.ctx.Err() == nil {
				d.log.Error("what has ended is still there", slog.Any("error", err))
			}
			switch n, err := d.engine.PruneLog(d.ctx, config.keepLog()); {
			case err != nil && d.ctx.Err() == nil:
				d.log.Error("the log was not pruned", slog.Any("error", err))
			case n > 0:
				d.log.Info("old entries of the log were removed", slog.Uint64("entries", n))
			}
			select {
			case <-tick.C:
			case <-d.ctx.Done():
				return
			}
		}
	})
	if d.layout.journal == "" {
		return // a private instance leaves no trace outside its folder
	}
	heads := journal.Heads{Send: journal.Journal{Path: d.layout.journal}.Send, Instance: d.store.InstanceID, Log: d.log}
	d.running.Go(func() { heads.Run(d.decided, d.engine.LogHead) })
}

// reported sends a reported sign-in to the journal: somebody who reads it may have to act.
func (d *Daemon) reported(e audit.Entry) {
	d.log.Warn("a sign-in was reported", slog.String("user", e.User), slog.String("service", e.Service), slog.String("origin", e.Origin), slog.Uint64("log_seq", e.Seq))
	if d.layout.journal == "" {
		return
	}
	err := journal.Journal{Path: d.layout.journal}.Send(journal.Report{
		Instance: d.store.InstanceID(), Seq: e.Seq, User: e.User, UID: e.UID, Service: e.Service, Request: e.Request,
		Place: e.Place, Origin: e.Origin, Host: e.Host,
	}.Message())
	if err != nil {
		d.log.Warn("the journal was not told of a reported sign-in", slog.Any("error", err))
	}
}
