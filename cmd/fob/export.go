package main

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

func (a *app) exportCmd() *cobra.Command {
	var g given
	var out, format, passphrase string
	var plain, partial bool
	cmd := &cobra.Command{
		Use:   "export --out FILE",
		Short: "Write all tokens with their seeds to a file",
		Long: `Write all tokens with their seeds to a new file, as to move to another service.
A registered method has to approve it. Whoever has the seeds can make every
token's codes.

PSKC is encrypted with a passphrase, which is asked for twice, unless --plain
says that the seeds are to stand in the open. The formats of Microsoft Entra
know no encryption: for them --plain has to be said. Tokens that a format cannot
hold, as Entra's none that counts presses, are refused before anything is asked;
--partial leaves them out.`,
		Example: "  fob tokens export --out tokens.xml\n  fob tokens export --format entra --out tokens.csv --plain",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkExport(out, format, passphrase, plain); err != nil {
				return err
			}
			if err := g.check(); err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if err := holdsAll(c.Tokens(cmd.Context(), ""), provision.Format(format), partial); err != nil {
				return err
			}
			file, err := createNew(out)
			if err != nil {
				return err
			}
			defer file.discard()
			var phrase *secret.Secret
			if !plain {
				typed, err := a.newPassphrase(passphrase, client.Show(out))
				if err != nil {
					return err
				}
				phrase = secret.New(typed)
				defer phrase.Wipe()
			}
			e := &exporter{format: provision.Format(format), phrase: phrase, partial: partial}
			err = a.take(cmd.Context(), api.BeginRequest{Kind: api.KindExportTokens}, g, func(lines iter.Seq2[api.Yield, error]) error {
				if err := e.write(file, lines); err != nil {
					return err
				}
				return file.commit()
			})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"file": out, "tokens": e.n, "left_out": e.left, "encrypted": !plain})
			}
			how := "encrypted with the passphrase"
			if plain {
				how = "with their seeds in the open: keep the file away from others, and remove it soon"
			}
			if _, err = fmt.Fprintf(a.out, "Wrote %s to %s, %s.\n", tokensText(e.n), client.Show(out), how); err != nil || e.left == 0 {
				return err
			}
			_, err = fmt.Fprintf(a.out, "Left out: %s that the format cannot hold.\n", tokensText(e.left))
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&out, "out", "", "the new `file`")
	flags.StringVar(&format, "format", string(provision.FormatPSKC), "`format` of the file: pskc, entra or graph")
	flags.BoolVar(&partial, "partial", false, "leave out tokens that the format cannot hold")
	flags.BoolVar(&plain, "plain", false, "write the seeds as they are, not encrypted")
	passphraseFlag(cmd, &passphrase)
	g.flags(cmd)
	complete(cmd, "format", "pskc", "entra", "graph")
	return cmd
}

func checkExport(out, format, passphrase string, plain bool) error {
	if err := outFile(out); err != nil {
		return err
	}
	if err := fromInput("passphrase", "a passphrase", passphrase); err != nil {
		return err
	}
	switch provision.Format(format) {
	case provision.FormatPSKC:
	case provision.FormatEntra, provision.FormatGraph:
		if !plain {
			return usagef("the format %s cannot be encrypted, so the seeds stand there for all to read: say --plain if that is meant, or use --format pskc", format)
		}
	default:
		return usagef("%q is no format: --format is pskc, entra or graph", client.Show(format))
	}
	if plain && passphrase != "" {
		return usagef("a file in the open has no passphrase: leave --plain or --passphrase out")
	}
	return nil
}

// outFile wants the name of a file that secrets are written to.
func outFile(path string) error {
	switch path {
	case "":
		return usagef("say where to: --out FILE")
	case "-":
		return usagef("this is not written to a terminal or a pipe: name a new file")
	}
	return nil
}

// holdsAll refuses, before anybody is asked to approve, to write tokens that the format cannot hold.
func holdsAll(tokens iter.Seq2[api.Token, error], format provision.Format, partial bool) error {
	if format == provision.FormatPSKC || partial {
		return nil
	}
	var first, reason string
	n := 0
	for t, err := range tokens {
		if err != nil {
			return err
		}
		why := format.Refuses(provision.Seed{
			Serial: t.Serial, Manufacturer: t.Manufacturer, Model: t.Model, Kind: provision.Kind(t.Kind),
			Algorithm: provision.Algorithm(t.Algorithm), Digits: t.Digits, Period: t.Period, User: t.User,
		})
		if why != "" {
			if n++; n == 1 {
				first, reason = t.Serial, why
			}
		}
	}
	if n == 0 {
		return nil
	}
	more := ""
	if n > 1 {
		more = fmt.Sprintf(", and %d more", n-1)
	}
	return usagef("this format cannot hold the token %s%s: %s. Leave out what it cannot hold with --partial, or use --format pskc; no file was written",
		client.Show(first), more, reason)
}

// exporter writes the tokens that the daemon hands out.
type exporter struct {
	format  provision.Format
	phrase  *secret.Secret // nil: in the open
	partial bool           // leave out what the format cannot hold
	n, left int            // tokens written and left out
}

func (e *exporter) write(w io.Writer, lines iter.Seq2[api.Yield, error]) error {
	var err error
	switch seeds := e.seeds(lines); e.format {
	case provision.FormatEntra:
		err = provision.WriteEntra(w, seeds)
	case provision.FormatGraph:
		err = provision.WriteGraph(w, seeds)
	default:
		err = provision.WritePSKC(w, seeds, provision.PSKCWriteOptions{Passphrase: e.phrase})
	}
	if row, ok := errors.AsType[*provision.RowError](err); ok {
		return usagef("this format cannot hold the token %s: %s. Leave it out with --partial, or use --format pskc; no file was written", client.Show(row.Serial), row.Reason)
	}
	return err
}

// seeds reads the daemon's lines, and wipes each seed once it is written.
func (e *exporter) seeds(lines iter.Seq2[api.Yield, error]) iter.Seq2[provision.Seed, error] {
	return func(yield func(provision.Seed, error) bool) {
		for line, err := range lines {
			if err == nil && line.Token == nil {
				err = fmt.Errorf("%w (a line without a token)", client.ErrBadAnswer)
			}
			if err != nil {
				yield(provision.Seed{}, err)
				return
			}
			t := line.Token
			s := provision.Seed{
				Serial: t.Serial, Manufacturer: t.Manufacturer, Model: t.Model, Kind: provision.Kind(t.Kind),
				Algorithm: provision.Algorithm(t.Algorithm), Digits: t.Digits, Period: t.Period, Counter: t.Counter,
				Secret: secret.New(t.Seed), User: t.User,
			}
			if e.partial && e.format.Refuses(s) != "" {
				s.Secret.Wipe()
				e.left++
				continue
			}
			more := yield(s, nil)
			s.Secret.Wipe()
			if !more {
				return
			}
			e.n++
		}
	}
}
