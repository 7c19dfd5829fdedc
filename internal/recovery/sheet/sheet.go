// Package sheet writes recovery codes as a page of plain text to print.
package sheet

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/secret"
)

// Info is what stands on the page.
type Info struct {
	User  string
	Host  string // the machine or instance where the codes are good
	Made  time.Time
	Codes []*secret.Secret // as recovery.Make gives them, number 1 first
}

const (
	maxCodes = 100
	maxCode  = 32 // bytes
	maxName  = 60 // columns, of User and Host each
)

// Write writes the page, of 80 columns at most. The codes go straight to w, without a copy of them being
// made. It fails, before it writes anything, where something in Codes cannot be a code.
func Write(w io.Writer, i Info) error {
	for _, code := range i.Codes {
		if !printable(code) {
			return errors.New("cannot print the recovery codes: one of them is none")
		}
	}
	if len(i.Codes) == 0 || len(i.Codes) > maxCodes {
		return fmt.Errorf("cannot print %d recovery codes: a page has 1 to %d", len(i.Codes), maxCodes)
	}
	p := &page{w: w}
	p.printf("FOB RECOVERY CODES\n\n")
	p.printf("  User      %s\n", fit(i.User))
	p.printf("  Good on   %s\n", fit(i.Host))
	p.printf("  Made      %s\n\n", i.Made.Format("2 January 2006"))
	rows := (len(i.Codes) + 1) / 2
	for row := range rows {
		p.code(row, i.Codes[row])
		if right := row + rows; right < len(i.Codes) {
			p.printf("      ")
			p.code(right, i.Codes[right])
		}
		p.printf("\n")
	}
	p.printf(`
These codes are for the day when your security keys and tokens are lost or
broken. Run these, and type a code where one is asked for:

  fob methods lost METHOD            removes what you lost
  fob methods add key --name NAME    registers a new key

With the new key you sign in as before. A code by itself signs you in only where
policy lets recovery codes do that.

  - Each code works once. Cross it out when you have used it.
  - Keep this page as you keep your passport: not beside the computer, and not
    as a photo or a file. Whoever has it can register a key as yours.
  - New codes make these worthless. Make new ones before the last is used, or at
    once if this page may have been seen:  fob methods add recovery
`)
	return p.err
}

// page writes until something fails.
type page struct {
	w   io.Writer
	err error
}

func (p *page) printf(format string, a ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, a...)
	}
}

func (p *page) code(at int, code *secret.Secret) {
	p.printf("  %2d  ", at+1)
	if p.err == nil {
		_, p.err = p.w.Write(code.Reveal())
	}
}

// printable reports whether a code can do nothing to a terminal or a printer.
func printable(code *secret.Secret) bool {
	for _, c := range code.Reveal() {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return code.Len() > 0 && code.Len() <= maxCode
}

// fit makes a name safe to print, and cuts it to its columns; other than ASCII may take two each.
func fit(name string) string {
	columns := 0
	clean := caller.Clean(name).String()
	for at, r := range clean {
		if columns++; r > '~' {
			columns++
		}
		if columns > maxName {
			return clean[:at] + "…"
		}
	}
	return clean
}
