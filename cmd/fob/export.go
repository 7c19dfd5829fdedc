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
	var format, path, passphrase string
	var plain bool
	cmd := &cobra.Command{
		Use:   "export --format FORMAT --out FILE",
		Short: "Write all tokens with their seeds into a file",
		Long: `Write all tokens with their seeds into a new file that you alone can read. A registered
method has to approve it, and it stands in the log.

PSKC is encrypted with a passphrase, unless you say --plain. Microsoft's formats cannot
be encrypted: they need --plain. Whoever has such a file has the codes of all tokens.`,
		Example: "  fob tokens export --format pskc --out tokens.xml\n  fob tokens export --format entra --plain --out tokens.csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case format != "pskc" && format != "entra" && format != "graph":
				return usagef("say in which format: --format pskc, entra or graph")
			case path == "" || path == "-":
				return usagef("name the file: --out FILE. Seeds are not written to a terminal")
			case format != "pskc" && !plain:
				return usagef("this format cannot be encrypted, so the seeds stand there for all to read: say --plain if that is meant, or use --format pskc")
			case plain && passphrase != "":
				return usagef("--plain needs no passphrase: leave one of the two out")
			}
			if err := errors.Join(g.check(), fromInput("passphrase", "a passphrase", passphrase)); err != nil {
				return err
			}
			out, err := createNew(path)
			if err != nil {
				return err
			}
			defer out.discard()
			var phrase *secret.Secret
			if !plain {
				text, err := a.newPassphrase(passphrase, client.Show(path))
				if err != nil {
					return err
				}
				phrase = secret.New(text)
				defer phrase.Wipe()
			}
			n := 0
			err = a.take(cmd.Context(), api.BeginRequest{Kind: api.KindExportTokens}, g, func(lines iter.Seq2[api.Yield, error]) error {
				return writeTokens(out, format, phrase, tokensOf(lines, &n))
			})
			if err == nil {
				err = out.commit()
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "Wrote %s into %s.\n", plural(n, "token", "tokens"), client.Show(path))
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&format, "format", "", "`format` of the file: pskc, entra or graph")
	flags.StringVar(&path, "out", "", "the new `file`")
	flags.BoolVar(&plain, "plain", false, "leave the seeds in the open")
	passphraseFlag(cmd, &passphrase)
	g.flags(cmd)
	complete(cmd, "format", "pskc", "entra", "graph")
	return cmd
}

func writeTokens(w io.Writer, format string, passphrase *secret.Secret, seeds iter.Seq2[provision.Seed, error]) (err error) {
	switch format {
	case "entra":
		err = provision.WriteEntra(w, seeds)
	case "graph":
		err = provision.WriteGraph(w, seeds)
	default:
		err = provision.WritePSKC(w, seeds, provision.PSKCWriteOptions{Passphrase: passphrase})
	}
	if bad, ok := errors.AsType[*provision.RowError](err); ok {
		return usagef("%v. Use --format pskc, which can hold every token", bad)
	}
	return err
}

// tokensOf turns what follows an approval into tokens, and counts them.
func tokensOf(lines iter.Seq2[api.Yield, error], n *int) iter.Seq2[provision.Seed, error] {
	return func(yield func(provision.Seed, error) bool) {
		for line, err := range lines {
			if err == nil && line.Token == nil {
				err = client.ErrBadAnswer
			}
			if err != nil {
				yield(provision.Seed{}, err)
				return
			}
			t := line.Token
			seed := provision.Seed{
				Serial: t.Serial, Manufacturer: t.Manufacturer, Model: t.Model, Kind: provision.Kind(t.Kind),
				Algorithm: provision.Algorithm(t.Algorithm), Digits: t.Digits, Period: t.Period, Counter: t.Counter,
				Secret: secret.New(t.Seed), User: t.User,
			}
			*n++
			more := yield(seed, nil)
			seed.Secret.Wipe()
			if !more {
				return
			}
		}
	}
}
