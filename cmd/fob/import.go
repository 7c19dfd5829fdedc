package main

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
)

// importFlags is what the command line says of an import.
type importFlags struct {
	format, columns, encoding string
	noHeader                  bool
	kind, algorithm           string
	digits, period            int

	owners          string
	partial, dryRun bool

	key, passphrase string

	typed        bool
	serial, seed string
}

func (a *app) importCmd() *cobra.Command {
	var o importFlags
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Import tokens with their seeds from a file, or type one",
		Long: `Import tokens with their seeds from a file, or from standard input where FILE is
-. The file is PSKC (RFC 6030, encrypted or not), the CSV or the JSON that
Microsoft Entra takes, or another table whose columns --columns names. Tokens
that are there already stay as they are.

All of it is imported or nothing, unless --partial takes what is in order.
Tokens whose users are known here are assigned to them; --map FILE says who is
who where the file uses other names: a line "name in the file,login name" each.

How the seeds of a table or a typed seed are written is never guessed: --secret
says it. Whether a typed token makes its codes by time or by presses, --type
says. What a typed token needs and is not said is asked for at the terminal, and
so is what decrypts an encrypted file.`,
		Example: `  fob tokens import tokens.xml
  fob tokens import entra.csv --map logins.csv --partial
  fob tokens import list.csv --columns serial=SN,secret=Seed,user=3 --secret hex
  fob tokens import --typed --serial 73159 --secret base32 --type totp`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case o.typed && len(args) > 0:
				return usagef("--typed imports no file: name either")
			case !o.typed && len(args) == 0:
				return usagef("name the file, or - for standard input; --typed asks for one seed")
			case len(args) > 1:
				return usagef("name one file only; a name with spaces is put in quotation marks")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, args); err != nil {
				return err
			}
			owners, err := readOwners(o.owners)
			if err != nil {
				return err
			}
			if o.typed {
				return a.importTyped(cmd.Context(), o)
			}
			return a.importFile(cmd.Context(), o, args[0], owners)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.format, "format", "auto", "`format` of the file: auto, pskc, entra, graph or csv")
	flags.StringVar(&o.columns, "columns", "", "a table's `columns`, each by its name or number: serial=A,secret=B, and\nuser, manufacturer, model, type, algorithm, digits, period, counter")
	flags.BoolVar(&o.noHeader, "no-header", false, "the table's first line is a token")
	flags.StringVar(&o.encoding, "secret", "", "`encoding` of the seeds in a table, or of the typed one: hex or base32")
	flags.StringVar(&o.kind, "type", "", "`type` of tokens where the table does not say it (default: totp), and of a\ntyped one: totp (counts time) or hotp (counts presses)")
	flags.StringVar(&o.algorithm, "algorithm", "SHA1", "their `algorithm`: SHA1, SHA256 or SHA512")
	flags.IntVar(&o.digits, "digits", 6, "their codes' `digits`: 6 to 8")
	flags.IntVar(&o.period, "period", 30, "their codes' `seconds`: 1 to 3600")
	flags.StringVar(&o.owners, "map", "", "`file` of lines that say which name in the file is which login name here")
	flags.BoolVar(&o.partial, "partial", false, "import what can be imported although something else cannot")
	flags.BoolVar(&o.dryRun, "dry-run", false, "change nothing, and say what would be done")
	flags.StringVar(&o.key, "key", "", "read the key of an encrypted file from standard input, in\nhexadecimal: `-` is the only value")
	passphraseFlag(cmd, &o.passphrase)
	flags.BoolVar(&o.typed, "typed", false, "ask for one seed instead of reading a file")
	flags.StringVar(&o.serial, "serial", "", "serial `number` of the typed token")
	flags.StringVar(&o.seed, "seed", "", "read the typed seed from standard input: `-` is the only value")
	complete(cmd, "format", "auto", "pskc", "entra", "graph", "csv")
	complete(cmd, "secret", "hex", "base32")
	complete(cmd, "type", "totp", "hotp")
	complete(cmd, "algorithm", "SHA1", "SHA256", "SHA512")
	return cmd
}

// check refuses what makes no sense, before anything is asked or read.
func (o *importFlags) check(cmd *cobra.Command, args []string) error {
	for _, source := range []struct{ flag, what, value string }{
		{"key", "a key", o.key}, {"passphrase", "a passphrase", o.passphrase}, {"seed", "a seed", o.seed},
	} {
		if err := fromInput(source.flag, source.what, source.value); err != nil {
			return err
		}
	}
	if err := o.checkToken(); err != nil {
		return err
	}
	only := func(when string, names ...string) error {
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				return usagef("--%s is for %s", name, when)
			}
		}
		return nil
	}
	if o.typed {
		if o.serial == "" {
			return usagef("say which token it is: --serial NUMBER, as it is printed on it")
		}
		return only("files", "format", "columns", "no-header", "map", "partial", "key", "passphrase")
	}
	if err := only("a typed seed: say --typed too", "serial", "seed"); err != nil {
		return err
	}
	switch o.format {
	case "auto":
		if o.columns != "" {
			o.format = string(provision.FormatCSV)
		}
	case string(provision.FormatPSKC), string(provision.FormatEntra), string(provision.FormatGraph), string(provision.FormatCSV):
	default:
		return usagef("%q is no format: --format is auto, pskc, entra, graph or csv", client.Show(o.format))
	}
	switch {
	case o.key != "" && o.passphrase != "":
		return usagef("a file is encrypted with a key or a passphrase: give --key or --passphrase, not both")
	case args[0] == "-" && o.key+o.passphrase != "":
		return usagef("the file itself is read from standard input: name it instead, or leave --key and --passphrase out to be asked")
	}
	if o.format == string(provision.FormatCSV) {
		return o.checkTable()
	}
	return only("tables: --format csv", "columns", "no-header", "secret", "type", "algorithm", "digits", "period")
}

// checkToken reads what a token is of which nothing else is said.
func (o *importFlags) checkToken() error {
	switch o.kind = strings.ToLower(o.kind); o.kind {
	case string(provision.TOTP), string(provision.HOTP):
	case "":
		if !o.typed { // else it is asked
			o.kind = string(provision.TOTP)
		}
	default:
		return usagef("%q is no type of token: --type is totp or hotp", client.Show(o.kind))
	}
	switch o.algorithm = strings.ReplaceAll(strings.ToUpper(o.algorithm), "-", ""); o.algorithm {
	case string(provision.SHA1), string(provision.SHA256), string(provision.SHA512):
	default:
		return usagef("%q is no algorithm of tokens: --algorithm is SHA1, SHA256 or SHA512", client.Show(o.algorithm))
	}
	switch {
	case o.digits < 6 || o.digits > 8:
		return usagef("--digits is 6 to 8")
	case o.period < 1 || o.period > 3600:
		return usagef("--period is 1 to 3600")
	case o.encoding != "" && o.encoding != string(provision.EncodingHex) && o.encoding != string(provision.EncodingBase32):
		// Not repeated: it may be a seed.
		return usagef("--secret says how seeds are written: hex or base32")
	}
	return nil
}

func (o *importFlags) checkTable() error {
	columns, err := parseColumns(o.columns)
	switch {
	case err != nil:
		return err
	case columns.Serial == "" || columns.Secret == "":
		return usagef("say which columns of the table have the serial numbers and the seeds: --columns serial=…,secret=…, by name or number")
	case o.encoding == "":
		return usagef("say how the table's seeds are written: --secret hex or --secret base32")
	}
	if !o.noHeader {
		return nil
	}
	for _, by := range []string{columns.Serial, columns.Secret, columns.User, columns.Manufacturer, columns.Model,
		columns.Type, columns.Algorithm, columns.Digits, columns.Period, columns.Counter} {
		if _, err := strconv.Atoi(by); by != "" && err != nil {
			return usagef("without a header columns have numbers: %q is none", client.Show(by))
		}
	}
	return nil
}

// parseColumns reads "serial=A,secret=B".
func parseColumns(text string) (provision.Columns, error) {
	var c provision.Columns
	places := map[string]*string{
		"serial": &c.Serial, "secret": &c.Secret, "user": &c.User, "manufacturer": &c.Manufacturer, "model": &c.Model,
		"type": &c.Type, "algorithm": &c.Algorithm, "digits": &c.Digits, "period": &c.Period, "counter": &c.Counter,
	}
	if text == "" {
		return c, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		what, by, ok := strings.Cut(part, "=")
		place := places[strings.TrimSpace(what)]
		switch by = strings.TrimSpace(by); {
		case !ok || by == "":
			return c, usagef("%q in --columns names no column: write serial=…,secret=…", client.Show(part))
		case place == nil:
			return c, usagef("--columns knows no %q: it has serial, secret, user, manufacturer, model, type, algorithm, digits, period, counter", client.Show(what))
		case *place != "":
			return c, usagef("--columns names the %s twice", client.Show(what))
		}
		*place = by
	}
	return c, nil
}

// importFile imports what a file has.
func (a *app) importFile(ctx context.Context, o importFlags, path string, owners map[string]string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		again, err := a.importOnce(ctx, c, o, path, owners, try)
		if !again || try == secretTries {
			return err
		}
		fmt.Fprintf(a.stderr, "fob: %s\n", client.Show(err.Error()))
	}
}

// importOnce reads the file from its beginning. again says that nothing but a wrong secret was typed.
func (a *app) importOnce(ctx context.Context, c *client.Client, o importFlags, path string, owners map[string]string, try int) (again bool, err error) {
	in, err := a.openSeeds(path)
	if err != nil {
		return false, err
	}
	defer in.close()
	seeds, err := a.readerOf(o, in, try == 1)
	if err != nil {
		return false, err
	}
	i := &importer{a: a, c: c, o: o, name: in.name, source: in.source, owners: owners, screen: newScreen(a.stderr), asked: in.refused}
	err = i.run(ctx, seeds)
	return isCode(err, api.CodeWrongSecret) && o.key+o.passphrase == "" && path != "-", err
}

// importTyped imports one token whose seed is typed.
func (a *app) importTyped(ctx context.Context, o importFlags) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	seed, err := a.typeSeed(&o)
	if err != nil {
		return err
	}
	token := provision.Seed{
		Serial: o.serial, Kind: provision.Kind(o.kind), Algorithm: provision.Algorithm(o.algorithm), Digits: o.digits, Secret: seed,
	}
	if token.Kind == provision.TOTP {
		token.Period = o.period
	}
	i := &importer{a: a, c: c, o: o, source: "a typed seed", screen: newScreen(a.stderr)}
	return i.run(ctx, iter.Seq2[provision.Seed, error](func(yield func(provision.Seed, error) bool) { yield(token, nil) }))
}

// described says what a typed token was taken for: "TOTP, 6 digits, every 30 seconds, SHA1".
func (o *importFlags) described() string {
	by := "one a press"
	if o.kind == string(provision.TOTP) {
		by = "every " + plural(o.period, "second", "seconds")
	}
	return fmt.Sprintf("%s, %d digits, %s, %s", strings.ToUpper(o.kind), o.digits, by, o.algorithm)
}

// seedOf is a token as it travels; its seed is the same memory.
func seedOf(s provision.Seed) api.TokenSeed {
	return api.TokenSeed{
		Line: s.Line, Serial: s.Serial, Manufacturer: s.Manufacturer, Model: s.Model,
		Kind: string(s.Kind), Algorithm: string(s.Algorithm), Digits: s.Digits, Period: s.Period, Counter: s.Counter,
		Seed: s.Secret.Reveal(), User: s.User,
	}
}

// thousands writes a number with a comma every three digits.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func tokensText(n int) string {
	if n == 1 {
		return "1 token"
	}
	return fmt.Sprintf("%s tokens", thousands(n))
}
