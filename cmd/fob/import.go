package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// shownRows is how many rows of a file are named on the terminal.
const shownRows = 50

// importer is one run of fob tokens import.
type importer struct {
	app  *app
	file string // as it was named
	name string // for people

	format, columns, secretEncoding string
	kind, algorithm                 string
	digits, period                  int
	noHeader, typed                 bool
	serial                          string
	mapFile                         string
	key, passphrase, seed           string
	partial, dryRun                 bool

	users map[string]string // of the map file: login by the file's name
	bad   []api.ImportProblem
	badN  int
}

func (a *app) importCmd() *cobra.Command {
	i := &importer{app: a}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Bring tokens in with their seeds",
		Long: `Bring tokens in with their seeds, from the file that their maker delivers: PSKC
(RFC 6030, also encrypted), Microsoft Entra's CSV, Microsoft Graph's JSON, or any table
whose columns you name. "-" reads standard input; --typed asks for one token's seed.

All tokens of the file are imported or none, and what is wrong is told by line; with
--partial those are imported that can be. A token that is there already is never
overwritten. A user whom the file names gets the token if somebody is called exactly so
on this machine, or as --map says; else the token is nobody's, and is listed.`,
		Example: `  fob tokens import tokens.xml
  fob tokens import entra.csv --map people.csv
  fob tokens import maker.csv --columns serial=SN,secret=Seed --secret hex --type hotp
  fob tokens import --typed --serial 80415512 --type totp`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case i.typed && len(args) > 0:
				return usagef("--typed asks for the seed: leave the file out")
			case !i.typed && len(args) == 0:
				return usagef("name the file, or ask for one token with --typed")
			}
			return atMostOne("file")(nil, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				i.file = args[0]
			}
			return i.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&i.format, "format", "auto", "what the file is: auto, pskc, entra, graph or csv `format`")
	flags.StringVar(&i.columns, "columns", "", "`list` such as serial=SN,secret=3 that tells a table's columns by name or\nnumber: serial, secret, user, manufacturer, model, type, algorithm,\ndigits, period, counter")
	flags.StringVar(&i.secretEncoding, "secret", "", "`encoding` of a table's or a typed seed: hex or base32")
	flags.StringVar(&i.kind, "type", "", "`type` of tokens that the file says nothing of: totp or hotp (default totp)")
	flags.StringVar(&i.algorithm, "algorithm", "", "their `algorithm`: SHA1, SHA256 or SHA512 (default SHA1)")
	flags.IntVar(&i.digits, "digits", 0, "the `number` of digits of their codes (default 6)")
	flags.IntVar(&i.period, "period", 0, "for how many `seconds` a code stands (default 30)")
	flags.BoolVar(&i.noHeader, "no-header", false, "the table's first line is a token, not the columns' names")
	flags.StringVar(&i.mapFile, "map", "", "CSV `file` with lines of a name in the file and the login name it stands for")
	flags.BoolVar(&i.partial, "partial", false, "import what can be imported although something else cannot")
	flags.BoolVar(&i.dryRun, "dry-run", false, "say what would be imported, and import nothing")
	flags.BoolVar(&i.typed, "typed", false, "ask for the seed of one token")
	flags.StringVar(&i.serial, "serial", "", "serial `number` of the token that is typed")
	flags.StringVar(&i.key, "key", "", "read the key of an encrypted file, in hex, from standard input: `-` alone")
	passphraseFlag(cmd, &i.passphrase)
	flags.StringVar(&i.seed, "seed", "", "read the seed that is typed from standard input: `-` is the only value")
	complete(cmd, "format", "auto", "pskc", "entra", "graph", "csv")
	complete(cmd, "secret", "hex", "base32")
	complete(cmd, "type", "totp", "hotp")
	complete(cmd, "algorithm", "SHA1", "SHA256", "SHA512")
	return cmd
}

func (i *importer) run(ctx context.Context) error {
	if err := i.check(); err != nil {
		return err
	}
	var err error
	if i.users, err = readMap(i.mapFile); err != nil {
		return err
	}
	seeds, done, err := i.open()
	if err != nil {
		return err
	}
	defer done()
	return i.send(ctx, seeds)
}

// check refuses flags that make no sense, before anything is read.
func (i *importer) check() error {
	for _, secret := range []struct{ flag, what, value string }{
		{"key", "a key", i.key}, {"passphrase", "a passphrase", i.passphrase}, {"seed", "a seed", i.seed},
	} {
		if err := fromInput(secret.flag, secret.what, secret.value); err != nil {
			return err
		}
	}
	for _, choice := range []struct {
		flag, value string
		of          []string
	}{
		{"format", i.format, []string{"auto", "pskc", "entra", "graph", "csv"}},
		{"secret", i.secretEncoding, []string{"", "hex", "base32"}},
		{"type", i.kind, []string{"", "totp", "hotp"}},
		{"algorithm", i.algorithm, []string{"", "SHA1", "SHA256", "SHA512"}},
	} {
		if !slices.Contains(choice.of, choice.value) {
			return usagef("%q is nothing that --%s can be: see fob tokens import --help", client.Show(choice.value), choice.flag)
		}
	}
	switch {
	case i.digits != 0 && (i.digits < 6 || i.digits > 8):
		return usagef("--digits is 6 to 8")
	case i.period != 0 && (i.period < 1 || i.period > 3600):
		return usagef("--period is 1 to 3600")
	case i.kind == "hotp" && i.period != 0:
		return usagef("a token that counts presses (hotp) has no --period")
	case i.file == "-" && (i.key == "-" || i.passphrase == "-"):
		return usagef("standard input can be the file or its key, not both: name the file")
	case i.typed && i.serial == "":
		return usagef("say which token it is: --serial NUMBER, as it is printed on the token")
	case !i.typed && (i.serial != "" || i.seed != ""):
		return usagef("--serial and --seed are for one token that is typed: add --typed")
	}
	return nil
}

// open gives the tokens of what is read; done closes it.
func (i *importer) open() (seeds iter.Seq2[provision.Seed, error], done func(), err error) {
	if i.typed {
		seed, err := i.typedSeed()
		return seed, func() {}, err
	}
	f, err := i.openFile()
	if err != nil {
		return nil, nil, err
	}
	in := bufio.NewReaderSize(f, 64<<10)
	head, err := in.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		f.Close()
		return nil, nil, usagef("cannot read %s: %v", i.name, err)
	}
	seeds, err = i.reader(in, head)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return seeds, func() { f.Close() }, nil
}

// openFile opens the file that was named. What is no file makes nobody wait.
func (i *importer) openFile() (*os.File, error) {
	if i.file == "-" {
		i.name = "standard input"
		return i.app.stdin, nil
	}
	i.name = client.Show(i.file)
	f, err := os.OpenFile(i.file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, usagef("cannot read the file: %v", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, usagef("%s is no file", i.name)
	}
	return f, nil
}

// reader chooses how the file is read.
func (i *importer) reader(in io.Reader, head []byte) (iter.Seq2[provision.Seed, error], error) {
	format := provision.Format(i.format)
	if i.format == "auto" {
		format = provision.Sniff(head)
		if i.columns != "" && format != provision.FormatUnknown {
			format = provision.FormatCSV
		}
	}
	if format != provision.FormatCSV && (i.columns != "" || i.secretEncoding != "" || i.noHeader) {
		return nil, usagef("--columns, --secret and --no-header are for tables (--format csv), and %s does not look like one", i.name)
	}
	switch format {
	case provision.FormatPSKC:
		return provision.ReadPSKC(in, provision.PSKCOptions{Key: i.unlock}), nil
	case provision.FormatEntra:
		return provision.ReadEntra(in), nil
	case provision.FormatGraph:
		return provision.ReadGraph(in), nil
	case provision.FormatCSV:
		return i.table(in)
	}
	return nil, usagef("cannot tell what %s is: say it with --format", i.name)
}

func (i *importer) table(in io.Reader) (iter.Seq2[provision.Seed, error], error) {
	columns, err := parseColumns(i.columns)
	if err != nil {
		return nil, err
	}
	if i.secretEncoding == "" {
		return nil, usagef("say how the table's seeds are written: --secret hex or --secret base32. It is never guessed")
	}
	return provision.ReadCSV(in, provision.CSVOptions{
		Columns: columns, SecretEncoding: provision.Encoding(i.secretEncoding), NoHeader: i.noHeader,
		Kind: provision.Kind(i.kind), Algorithm: provision.Algorithm(i.algorithm), Digits: i.digits, Period: i.period,
	}), nil
}

// unlock gets what decrypts a PSKC file.
func (i *importer) unlock(need provision.Need) (*secret.Secret, error) {
	if need.Passphrase {
		if i.key != "" {
			return nil, usagef("the file is encrypted with a passphrase, not with a key: use --passphrase -")
		}
		text, err := i.app.passphrase(i.passphrase, "Passphrase of "+i.name)
		if err != nil {
			return nil, err
		}
		return secret.New(text), nil
	}
	if i.passphrase != "" {
		return nil, usagef("the file is encrypted with a key, not with a passphrase: use --key -")
	}
	question := "Key of " + i.name
	if need.KeyName != "" {
		question += " (" + client.Show(need.KeyName) + ")"
	}
	text, err := i.app.secretLine(i.key, "key", question+", in hexadecimal")
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := provision.ParseSeed(text, provision.EncodingHex)
	if err != nil {
		return nil, usagef("the key is 32, 48 or 64 hexadecimal digits")
	}
	return key, nil
}

// typedSeed asks for one token.
func (i *importer) typedSeed() (iter.Seq2[provision.Seed, error], error) {
	i.name = "what was typed"
	defer i.app.askedAll()
	if i.secretEncoding == "" {
		if i.seed == "-" {
			return nil, usagef("say how the seed is written: --secret hex or --secret base32. It is never guessed")
		}
		answer, err := i.app.ask("Is the seed written in hex (0-9, A-F) or in base32 (A-Z, 2-7)? [hex/base32]", true)
		if err != nil {
			return nil, noTerminal(err, "seed", "give it on standard input with --seed - and say --secret hex or base32")
		}
		i.secretEncoding = string(answer)
		if i.secretEncoding != "hex" && i.secretEncoding != "base32" {
			return nil, usagef("that is neither hex nor base32")
		}
	}
	text, err := i.app.secretLine(i.seed, "seed", "Seed of the token "+client.Show(i.serial))
	if err != nil {
		return nil, err
	}
	defer clear(text)
	seed, err := provision.ParseSeed(text, provision.Encoding(i.secretEncoding))
	if err != nil {
		return nil, usagef("%v", err)
	}
	s := provision.Seed{
		Serial: i.serial, Kind: provision.TOTP, Algorithm: provision.SHA1, Digits: 6, Period: 30, Secret: seed,
	}
	if i.kind != "" {
		s.Kind = provision.Kind(i.kind)
	}
	if i.algorithm != "" {
		s.Algorithm = provision.Algorithm(i.algorithm)
	}
	if i.digits != 0 {
		s.Digits = i.digits
	}
	if i.period != 0 {
		s.Period = i.period
	}
	if s.Kind == provision.HOTP {
		s.Period = 0
	}
	return func(yield func(provision.Seed, error) bool) { yield(s, nil) }, nil
}

// send passes the tokens on to the daemon, and has them imported if all are good or what is not does not
// matter.
func (i *importer) send(ctx context.Context, seeds iter.Seq2[provision.Seed, error]) error {
	c, err := i.app.client()
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	progress := newScreen(i.app.stderr)
	defer progress.clear()
	var up *client.Import // begun with the first token: until then a passphrase may be asked for
	defer func() {
		if up != nil {
			up.Abort()
		}
	}()
	read, told := 0, time.Now()
	for seed, err := range seeds {
		if bad, ok := errors.AsType[*provision.RowError](err); ok {
			i.problem(api.ImportProblem{Line: bad.Line, Serial: bad.Serial, Text: bad.Reason})
			continue
		}
		if err == nil && up == nil {
			up, err = c.Import(ctx, api.ImportOptions{Partial: i.partial, DryRun: i.dryRun, Source: filepath.Base(i.file)})
		}
		if err == nil {
			err = up.Add(i.row(seed))
		}
		if err != nil {
			return i.broken(ctx, err)
		}
		if read++; progress.live && time.Since(told) > time.Second/4 {
			progress.progress(fmt.Sprintf("%d tokens read …", read), time.Time{})
			told = time.Now()
		}
	}
	var report api.ImportReport
	switch {
	case i.badN > 0 && !i.partial, up == nil:
		report.Error = api.Errorf(api.CodeImport, "nothing was imported")
		if i.badN == 0 {
			return usagef("there is no token in %s", i.name)
		}
	default:
		if progress.live {
			progress.progress(fmt.Sprintf("%d tokens read; writing them …", read), time.Time{})
		}
		if report, err = up.Commit(); err != nil {
			return i.broken(ctx, err)
		}
		up = nil
	}
	progress.clear()
	return i.report(ctx, c, report)
}

// broken is why the import ended in the middle. Nothing was imported.
func (i *importer) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: nothing was imported", errStopped)
	}
	if errors.Is(err, provision.ErrWrongKey) {
		return api.Errorf(api.CodeWrongSecret, "%v: nothing was imported", err)
	}
	if errors.Is(err, provision.ErrFile) || errors.Is(err, provision.ErrEncrypted) {
		return usagef("%s: %v: nothing was imported", i.name, err)
	}
	return err
}

// row is a token as it travels. The seed's bytes move into it.
func (i *importer) row(s provision.Seed) api.TokenSeed {
	t := api.TokenSeed{
		Line: s.Line, Serial: s.Serial, Manufacturer: s.Manufacturer, Model: s.Model, Kind: string(s.Kind),
		Algorithm: string(s.Algorithm), Digits: s.Digits, Period: s.Period, Counter: s.Counter, Seed: s.Secret.Reveal(), User: s.User,
	}
	if login, mapped := i.users[s.User]; mapped {
		t.User, t.Exact = login, true
	}
	return t
}

func (i *importer) problem(p api.ImportProblem) {
	if i.badN++; len(i.bad) < 1000 {
		i.bad = append(i.bad, p)
	}
}

// report says what was done, and what was wrong.
func (i *importer) report(ctx context.Context, c *client.Client, r api.ImportReport) error {
	r.Problems = append(i.bad, r.Problems...)
	r.ProblemsTotal += i.badN
	slices.SortStableFunc(r.Problems, func(a, b api.ImportProblem) int { return a.Line - b.Line })
	if i.app.json {
		if err := i.app.printJSON(r); err != nil {
			return err
		}
	} else {
		i.tell(i.name, r.Problems, r.ProblemsTotal)
	}
	if r.Error != nil {
		hint := ""
		if !i.partial {
			hint = ". Mend the file, or import the others with --partial"
		}
		return api.Errorf(api.CodeImport, "%d tokens cannot be imported, so none was%s", r.ProblemsTotal, hint)
	}
	if i.app.json {
		return nil
	}
	verb := "Imported"
	if i.dryRun {
		verb = "Would import"
	}
	fmt.Fprintf(i.app.out, "%s %s, %d of them assigned.\n", verb, plural(r.Imported, "token", "tokens"), r.Assigned)
	i.tell("not assigned", r.Unassigned, r.UnassignedTotal)
	if r.Imported > 0 && !i.dryRun {
		fmt.Fprintln(i.app.out, "\nNext: fob tokens assign SERIAL, and for your own fob methods add token SERIAL")
		if v, err := c.Vault(ctx); err == nil && !v.Recovery {
			fmt.Fprintln(i.app.out, "There is no recovery key for these seeds yet: make one with fob vault slots add recovery")
		}
	}
	return nil
}

// tell names tokens on the terminal, not too many.
func (i *importer) tell(where string, problems []api.ImportProblem, total int) {
	for n, p := range problems {
		if n == shownRows {
			break
		}
		line := where
		if p.Line > 0 {
			line = fmt.Sprintf("%s, line %d", where, p.Line)
		}
		if p.Serial != "" {
			line += ", token " + client.Show(p.Serial)
		}
		fmt.Fprintf(i.app.stderr, "%s: %s\n", line, client.Show(p.Text))
	}
	if more := total - min(len(problems), shownRows); more > 0 {
		fmt.Fprintf(i.app.stderr, "%s: and %d more\n", where, more)
	}
}
