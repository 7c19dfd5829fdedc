package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// headLen is as much of a file as provision.Sniff needs, in bytes.
const headLen = 4096

// seedFile is a file of tokens, from its beginning.
type seedFile struct {
	io.Reader
	name   string // for people
	source string // for the log
	path   string // "-" where it is standard input
	f      *os.File
	head   []byte
	keyErr error // why what decrypts the file was not had
}

// openRegular opens a file to be read from its beginning. What is no file, as a pipe that nobody writes
// to, is refused instead of waited for.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, usagef("cannot read the file: %v", err)
	}
	switch info, err := f.Stat(); {
	case err != nil:
		f.Close()
		return nil, usagef("cannot read the file: %v", err)
	case info.IsDir():
		f.Close()
		return nil, usagef("%s is a folder", path)
	case !info.Mode().IsRegular():
		f.Close()
		return nil, usagef("%s is no file", path)
	}
	return f, nil
}

// openSeeds opens a file of tokens, or standard input where path is "-".
func (a *app) openSeeds(path string) (*seedFile, error) {
	s := &seedFile{name: "standard input", source: "standard input", path: path, f: a.stdin}
	if path != "-" {
		f, err := openRegular(path)
		if err != nil {
			return nil, err
		}
		s.f, s.name, s.source = f, client.Show(path), filepath.Base(path)
	}
	s.head = make([]byte, headLen)
	n, err := io.ReadFull(s.f, s.head)
	s.head = s.head[:n]
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.close()
		return nil, usagef("cannot read %s: %v", s.name, err)
	}
	if n == 0 {
		s.close()
		return nil, usagef("%s is empty: there are no tokens in it", s.name)
	}
	s.Reader = io.MultiReader(bytes.NewReader(s.head), s.f)
	return s, nil
}

func (s *seedFile) close() {
	clear(s.head) // seeds may stand in it
	if s.path != "-" {
		s.f.Close()
	}
}

func (s *seedFile) refused() error { return s.keyErr }

// formatNames are what the formats are called.
var formatNames = map[provision.Format]string{
	provision.FormatPSKC:  "PSKC",
	provision.FormatEntra: "CSV as Microsoft Entra takes it",
	provision.FormatGraph: "JSON as Microsoft Graph takes it",
	provision.FormatCSV:   "a table",
}

// readerOf chooses what reads the file, and with tell says what the file was taken for.
func (a *app) readerOf(o importFlags, in *seedFile, tell bool) (iter.Seq2[provision.Seed, error], error) {
	format := provision.Format(o.format)
	if o.format == "auto" {
		switch format = provision.Sniff(in.head); format {
		case provision.FormatUnknown:
			return nil, usagef("cannot tell what %s is: say it with --format pskc, entra, graph or csv", in.name)
		case provision.FormatCSV:
			return nil, usagef("%s is a table, and not the one that Microsoft Entra takes: say which columns have what with --columns serial=…,secret=…, and how the seeds are written with --secret hex or --secret base32", in.name)
		}
		if tell {
			fmt.Fprintf(a.stderr, "%s is %s.\n", in.name, formatNames[format])
		}
	}
	switch format {
	case provision.FormatPSKC:
		key := func(need provision.Need) (*secret.Secret, error) {
			s, err := a.fileKey(o, in, need)
			in.keyErr = err
			return s, err
		}
		return provision.ReadPSKC(in, provision.PSKCOptions{Key: key}), nil
	case provision.FormatEntra:
		return provision.ReadEntra(in), nil
	case provision.FormatGraph:
		return provision.ReadGraph(in), nil
	}
	columns, err := parseColumns(o.columns)
	return provision.ReadCSV(in, provision.CSVOptions{
		Columns: columns, SecretEncoding: provision.Encoding(o.encoding), NoHeader: o.noHeader,
		Kind: provision.Kind(o.kind), Algorithm: provision.Algorithm(o.algorithm), Digits: o.digits, Period: o.period,
	}), err
}

// fileKey gets what decrypts a file.
func (a *app) fileKey(o importFlags, in *seedFile, need provision.Need) (*secret.Secret, error) {
	switch {
	case need.Passphrase && o.key != "":
		return nil, usagef("%s is encrypted with a passphrase, not with a key: use --passphrase -", in.name)
	case !need.Passphrase && o.passphrase != "":
		return nil, usagef("%s is encrypted with a key, not with a passphrase: use --key -", in.name)
	}
	of := in.name
	if need.KeyName != "" {
		of += " (" + client.Show(need.KeyName) + ")"
	}
	if need.Passphrase {
		line, err := a.passphrase(o.passphrase, "Passphrase of "+of)
		return secret.New(line), err
	}
	if o.key == "-" {
		line, err := a.readInput("key")
		if err != nil {
			return nil, err
		}
		defer clear(line)
		return parseKey(line)
	}
	defer a.askedAll()
	for {
		line, err := a.ask("Key of "+of+", in hexadecimal", false)
		if err != nil {
			return nil, noTerminal(err, "key", "give it on standard input with --key -")
		}
		key, err := parseKey(line)
		clear(line)
		if err == nil {
			return key, nil
		}
		a.tty.say(sentence(err.Error()) + " Ctrl-C stops.")
	}
}

// parseKey reads a key in hexadecimal, whose bytes may be set apart.
func parseKey(text []byte) (*secret.Secret, error) {
	bare := make([]byte, 0, len(text))
	defer func() { clear(bare) }()
	for _, c := range text {
		if !strings.ContainsRune(" \t:-", rune(c)) {
			bare = append(bare, c)
		}
	}
	key := make([]byte, hex.DecodedLen(len(bare)))
	if _, err := hex.Decode(key, bare); err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
		clear(key)
		return nil, usagef("the key is 32, 48 or 64 hexadecimal digits")
	}
	return secret.New(key), nil
}

// typeSeed asks for one seed, and where the command line does not say it, what makes the codes and how the
// seed is written: that goes to o.
func (a *app) typeSeed(o *importFlags) (*secret.Secret, error) {
	defer a.askedAll()
	for o.kind == "" {
		line, err := a.ask("Does it make codes by time or by presses of a button? Type totp or hotp", true)
		if err != nil {
			return nil, noTerminal(err, "type of the token", "say it with --type totp (codes by time) or --type hotp (by presses of a button): it is never guessed")
		}
		switch typed := provision.Kind(strings.ToLower(string(bytes.TrimSpace(line)))); typed {
		case provision.TOTP, provision.HOTP:
			o.kind = string(typed)
		}
	}
	for o.encoding == "" {
		line, err := a.ask("Is the seed written in hexadecimal or Base32? Type hex or base32", true)
		if err != nil {
			return nil, noTerminal(err, "encoding of the seed", "say it with --secret hex or --secret base32: it is never guessed")
		}
		switch typed := provision.Encoding(strings.ToLower(string(bytes.TrimSpace(line)))); typed {
		case provision.EncodingHex, provision.EncodingBase32:
			o.encoding = string(typed)
		}
	}
	if o.seed == "-" {
		line, err := a.readInput("seed")
		if err != nil {
			return nil, err
		}
		defer clear(line)
		seed, err := provision.ParseSeed(line, provision.Encoding(o.encoding))
		if err != nil {
			return nil, usagef("%s", seedProblem(err))
		}
		return seed, nil
	}
	for {
		line, err := a.ask("Seed of the token "+client.Show(o.serial), false)
		if err != nil {
			return nil, noTerminal(err, "seed", "give it on standard input with --seed -")
		}
		seed, err := provision.ParseSeed(line, provision.Encoding(o.encoding))
		clear(line)
		if err == nil {
			return seed, nil
		}
		a.tty.say(sentence(seedProblem(err)) + " Ctrl-C stops.")
	}
}

// seedProblem says what is wrong with a typed seed: it has no format but what was said of it.
func seedProblem(err error) string {
	return strings.NewReplacer("; this format has Base32", ", and you said Base32", ", and hexadecimal is expected", ", and you said hexadecimal").Replace(err.Error())
}

// maxOwners bounds a file of login names.
const maxOwners = 250_000

// readOwners reads which name in a file of tokens is which login name: lines "name,login", or with
// semicolons. Empty lines and those that begin with # say nothing.
func readOwners(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseOwners(f, client.Show(path))
}

func parseOwners(r io.Reader, name string) (map[string]string, error) {
	owners := map[string]string{}
	lines := bufio.NewScanner(r)
	n := 0
	bad := func(why string) error { return usagef("%s:%d: %s", name, n, why) }
	for lines.Scan() {
		n++
		text := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		at := strings.LastIndexAny(text, ",;")
		if at < 0 {
			return nil, bad("this is no line “name in the file,login name”")
		}
		from, login := unquote(text[:at]), unquote(text[at+1:])
		switch _, twice := owners[from]; {
		case !utf8.ValidString(text):
			return nil, bad("this is no UTF-8")
		case from == "" || login == "":
			return nil, bad("this is no line “name in the file,login name”")
		case twice:
			return nil, bad(fmt.Sprintf("%q has a login name already", client.Show(from)))
		case len(owners) == maxOwners:
			return nil, bad(fmt.Sprintf("there are more than %d lines", maxOwners))
		}
		owners[from] = login
	}
	if err := lines.Err(); err != nil {
		n++
		return nil, bad("cannot read this line: " + err.Error())
	}
	return owners, nil
}

// unquote takes a cell out of its quotation marks.
func unquote(cell string) string {
	cell = strings.TrimSpace(cell)
	if len(cell) >= 2 && cell[0] == '"' && cell[len(cell)-1] == '"' {
		cell = strings.ReplaceAll(cell[1:len(cell)-1], `""`, `"`)
	}
	return cell
}
