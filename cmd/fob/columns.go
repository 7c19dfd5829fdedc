package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
)

// parseColumns reads what --columns says: "serial=SN,secret=3".
func parseColumns(text string) (provision.Columns, error) {
	var c provision.Columns
	fields := map[string]*string{
		"serial": &c.Serial, "secret": &c.Secret, "user": &c.User, "manufacturer": &c.Manufacturer, "model": &c.Model,
		"type": &c.Type, "algorithm": &c.Algorithm, "digits": &c.Digits, "period": &c.Period, "counter": &c.Counter,
	}
	for part := range strings.SplitSeq(text, ",") {
		what, column, ok := strings.Cut(part, "=")
		field := fields[strings.TrimSpace(what)]
		switch {
		case text == "":
		case !ok || column == "":
			return c, usagef("%q does not say which column it means: write serial=SN or serial=1", client.Show(part))
		case field == nil:
			return c, usagef("%q is nothing that a column can hold: see fob tokens import --help", client.Show(what))
		case *field != "":
			return c, usagef("--columns says twice which column has the %s", client.Show(what))
		default:
			*field = strings.TrimSpace(column)
		}
	}
	if c.Serial == "" || c.Secret == "" {
		return c, usagef("say which columns of the table have the serial number and the seed: --columns serial=SN,secret=Seed")
	}
	return c, nil
}

// maxMap bounds a map file in bytes.
const maxMap = 64 << 20

// readMap reads a file that gives each of another file's names a login name; nil where none is named.
func readMap(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, usagef("cannot read the map: %v", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxMap {
		return nil, usagef("cannot read the map: %s is no file, or too large", client.Show(path))
	}
	return parseMap(f)
}

// parseMap reads lines of two cells each: a name, and the login name that it stands for.
func parseMap(r io.Reader) (map[string]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxMap))
	if err != nil {
		return nil, usagef("cannot read the map: %v", err)
	}
	lines := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	lines.FieldsPerRecord = -1
	lines.ReuseRecord = true
	users := map[string]string{}
	for {
		cells, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return users, nil
		}
		if err != nil {
			return nil, usagef("cannot read the map: %v", err)
		}
		line, _ := lines.FieldPos(0)
		if len(cells) != 2 {
			return nil, usagef("the map's line %d has %s: a name and a login name are two", line, plural(len(cells), "cell", "cells"))
		}
		name, login := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])
		if name == "" || login == "" {
			return nil, usagef("the map's line %d lacks a name", line)
		}
		if before, twice := users[name]; twice && before != login {
			return nil, usagef("the map's line %d gives %q another login name than a line before", line, client.Show(name))
		}
		users[name] = login
	}
}
