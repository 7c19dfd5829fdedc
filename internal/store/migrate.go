package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Migration brings a database from schema To-1 to To.
type Migration struct {
	To int
	Do func(*Tx) error
}

// firstSchema is the schema of databases before any migration.
const firstSchema = 1

// meta is what a database says of itself.
type meta struct {
	Schema   int    `json:"schema"`
	Instance string `json:"instance"` // 128 bits, hexadecimal
}

// The bucket's name cannot clash: those of other packages have no NUL.
var (
	metaBucket = NewBucket[meta]("\x00meta")
	metaKey    = []byte("database")
)

// newestSchema is the schema to which the migrations lead.
func newestSchema(ms []Migration) (int, error) {
	newest := firstSchema
	for _, m := range ms {
		if m.To != newest+1 || m.Do == nil {
			return 0, fmt.Errorf("cannot use the migration to schema %d: the one to schema %d is due", m.To, newest+1)
		}
		newest = m.To
	}
	return newest, nil
}

// bringUpToDate reads what the database says of itself and migrates it where it is older.
func (s *Store) bringUpToDate(o Options, newest int) error {
	var m meta
	err := s.View(func(tx *Tx) (err error) {
		m, err = metaBucket.Get(tx, metaKey)
		return err
	})
	if id, e := hex.DecodeString(m.Instance); err == nil && (e != nil || len(id) != 16 || m.Schema < firstSchema) {
		err = fmt.Errorf("%w: its schema or instance id makes no sense", ErrDamaged)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return damagedError(s.path, "it is a database, but not one of Fob's")
	case errors.Is(err, ErrDamaged):
		return damagedError(s.path, err.Error())
	case err != nil:
		return err
	}
	s.instance.Store(&m.Instance)
	switch {
	case m.Schema > newest:
		return fmt.Errorf("%w: %s has schema %d, this fobd knows up to %d: install the newer version again", ErrNewer, s.path, m.Schema, newest)
	case m.Schema < newest:
		return s.migrate(o, m, newest)
	}
	return nil
}

// migrate runs what is due in one transaction, after a backup.
func (s *Store) migrate(o Options, m meta, newest int) error {
	name := fmt.Sprintf("%s%sv%d-%s", s.path, backupInfix, m.Schema, o.Now().UTC().Format("20060102T150405Z"))
	backup, err := s.backup(name)
	if err != nil {
		return fmt.Errorf("cannot back up the database before a migration, it was left at schema %d: %w", m.Schema, storageError(err))
	}
	from := m.Schema
	err, again := s.attempt([]*call{{fn: func(tx *Tx) error {
		for _, mig := range o.Migrations {
			if mig.To <= from {
				continue
			}
			if err := mig.Do(tx); err != nil {
				return fmt.Errorf("to schema %d: %w", mig.To, err)
			}
		}
		return metaBucket.Put(tx, metaKey, meta{Schema: newest, Instance: m.Instance})
	}}})
	if err == nil {
		s.log.Info("migrated the database", slog.String("path", s.path), slog.Int("from", from), slog.Int("to", newest), slog.String("backup", backup))
		return nil
	}
	if again {
		// Nothing was changed for certain: a copy at every try would only fill the disk.
		return errors.Join(
			fmt.Errorf("cannot migrate the database, it was left at schema %d as it was: %w", from, err),
			os.Remove(backup))
	}
	return fmt.Errorf("cannot migrate the database; a copy from before is in %s: %w", backup, err)
}

// backupInfix stands between the database's name and the rest of a backup's.
const backupInfix = ".backup-"

// backup copies the database as it stands to a new file, synced, and returns its name. No one writes
// meanwhile. The tail beyond the last page is left out.
func (s *Store) backup(name string) (string, error) {
	size, err := s.used()
	if err != nil {
		return "", err
	}

	var f *os.File
	for i, unique := 2, name; ; i++ {
		f, err = os.OpenFile(unique, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) || i > 100 {
			return "", err
		}
		unique = fmt.Sprintf("%s-%d", name, i)
	}
	n, err := io.Copy(f, io.NewSectionReader(s.file, 0, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// newestBackup is the path of the latest backup beside the database, empty if there is none.
func newestBackup(path string) string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return ""
	}
	var newest os.FileInfo
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), filepath.Base(path)+backupInfix) {
			continue
		}
		info, err := e.Info()
		if err == nil && (newest == nil || !info.ModTime().Before(newest.ModTime())) {
			newest = info
		}
	}
	if newest == nil {
		return ""
	}
	return filepath.Join(filepath.Dir(path), newest.Name())
}
