package socketapi

import (
	"github.com/fobproject/fob/daemon/wire"
	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/signin"
	"github.com/fobproject/fob/internal/store"
)

func (s *Server) vault(c *call) {
	v, err := s.Engine.Vault(c.r.Context(), c.who)
	c.reply(wire.Vault(v), err)
}

func (s *Server) lockVault(c *call) {
	if c.noBody() {
		c.done(s.Engine.LockVault(c.who))
	}
}

func (s *Server) unlockVault(c *call) {
	var body api.Unlock
	if !c.body(&body) {
		body.By.Wipe()
		return
	}
	c.done(s.Engine.UnlockVault(c.r.Context(), c.who, wire.Secret(body.By)))
}

// Bounds of a backup that is restored. A record holds at most a receipt and what is around it, twice in
// Base64.
const (
	maxRecordLine  = 512 << 10
	maxBackupBytes = 512 << 20
)

// restore takes a backup line by line and restores it at the last one. A body that ends before that
// changes nothing.
func (s *Server) restore(c *call) {
	if err := s.Engine.MayRestore(c.who); err != nil {
		c.w.Header().Set("Connection", "close")
		c.fail(err)
		return
	}
	done, ok := s.bulk(c)
	if !ok {
		return
	}
	defer done()
	lines, ok := c.bodyLines(maxRecordLine, maxBackupBytes)
	if !ok {
		return
	}
	defer lines.wipe()
	var backup *signin.Backup
	defer func() {
		if backup != nil {
			backup.DataKey.Wipe()
		}
	}()
	records := 0
	for {
		var line api.RestoreLine
		bad := lines.next(&line)
		switch {
		case bad != nil:
		case backup == nil && line.Backup != nil && line.Record == nil && !line.Commit:
			backup, bad = wire.Backup(line.Backup)
			records = line.Backup.Records
		case backup != nil && line.Record != nil && line.Backup == nil && !line.Commit:
			backup.Records = append(backup.Records, store.Record{Bucket: line.Record.Bucket, Key: line.Record.Key, Value: line.Record.Value})
		case backup != nil && line.Commit && line.Backup == nil && line.Record == nil:
			if bad = lines.end(); bad == nil && records != len(backup.Records) {
				bad = api.Errorf(api.CodeBadRequest, "the backup has %d records and says that it has %d", len(backup.Records), records)
			}
			if bad == nil {
				restored, err := s.Engine.Restore(c.r.Context(), c.who, backup)
				c.reply(wire.Restored(restored), err)
				return
			}
		default:
			bad = api.Errorf(api.CodeBadRequest, "line %d: the backup's head comes first, then a record a line, then commit", lines.n)
		}
		if bad != nil {
			lines.broken()
			c.refuse(bad)
			return
		}
	}
}
