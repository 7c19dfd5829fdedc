package signin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/throttle"
)

// command is what the log may know of the command: its executable and the SHA-256, in hexadecimal, of the
// whole as it is shown. Both are empty where there is none.
func (r *Request) command() (program, hash string) {
	command := r.ask.Claimed.Command.String()
	if command == "" {
		return "", ""
	}
	sum := sha256.Sum256([]byte(command))
	return executable(command), hex.EncodeToString(sum[:])
}

// assignment begins a command line that sets a variable for its program (POSIX Shell 2.10.2, rule 7).
var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// executable is the program of a command line: its first word that sets no variable, and not what
// follows it.
func executable(command string) string {
	for word := range strings.FieldsSeq(command) {
		if !assignment.MatchString(word) {
			return word
		}
	}
	return ""
}

// vouched names what of the request's context is more than claimed: the user asked was looked up, a
// service's name is vouched for where root alone may use it, and the rest where root says it.
func (r *Request) vouched() []string {
	names := []string{"user"}
	if strings.HasPrefix(r.service, "pam:") {
		names = append(names, "service")
	}
	if !r.stated() {
		return names
	}
	for _, f := range []struct {
		name string
		text caller.Text
	}{{"origin", r.ask.Claimed.Origin}, {"host", r.ask.Claimed.Host}, {"command", r.ask.Claimed.Command}, {"ssh_key", r.ask.Claimed.SSHKey}} {
		if !f.text.IsZero() {
			names = append(names, f.name)
		}
	}
	return names
}

// stated reports whether root says what the request says of the occasion.
func (r *Request) stated() bool { return r.e.cfg.System && r.caller.UID == 0 }

// who is the request as throttling counts it: apart for each user, service, kind and place that it comes
// from, as far as that is vouched for.
func (r *Request) who() throttle.Who {
	w := throttle.Who{UID: r.user.UID, Service: r.service}
	switch {
	case r.foreign(): // who is denied does not come back under another name
		w.Service = "*"
	case r.ask.Kind != KindSignIn:
		w.Service += " " + string(r.ask.Kind)
	}
	if r.stated() {
		w.Origin = throttle.Origin(r.ask.Claimed.Origin.String())
	} else {
		w.Origin = throttle.Local(r.caller.UID)
	}
	if r.remote() && !throttle.IsElsewhere(w.Origin) { // nobody elsewhere makes the desk wait
		w.Origin = throttle.LocalFromElsewhere(r.caller.UID)
	}
	return w
}

// maxTried bounds what is kept of what was tried.
const maxTried = 16

// tries notes something that was tried and did not decide, for the record.
func (r *Request) tries(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.triesLocked(what)
}

func (r *Request) triesLocked(what string) {
	if len(r.tried) < maxTried {
		r.tried = append(r.tried, caller.Clean(what).String())
	}
}

// taken notes that the person took an offer: what comes of it stands in the record by itself.
func (r *Request) taken(t OfferType) { r.noteOffer(t, func(o *Offer) { o.noted = o.State }) }

// untaken notes that nothing came of it: the request was over first.
func (r *Request) untaken(t OfferType) { r.noteOffer(t, func(o *Offer) { o.noted = "" }) }

func (r *Request) noteOffer(t OfferType, note func(*Offer)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.view.Offers {
		if r.view.Offers[i].Type == t {
			note(&r.view.Offers[i])
		}
	}
}

// noteFailures notes the offers that have failed, when they have. The caller holds r.mu.
func (r *Request) noteFailures() {
	for i := range r.view.Offers {
		if o := &r.view.Offers[i]; o.State == OfferFailed && o.noted != OfferFailed {
			r.triesLocked(triedWords(*o))
			o.noted = OfferFailed
		}
	}
}

// recordOrder is the order of what was offered and not used: in which order it was withdrawn means nothing.
var recordOrder = []OfferType{OfferByKey, OfferByCode, OfferByRecovery, OfferByNumber, OfferByClick}

// triedSoFar is what was tried, in order, and then what was offered and not used.
func (r *Request) triedSoFar() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.tried)
	offered := slices.Concat(r.unused, r.view.Offers)
	slices.SortStableFunc(offered, func(a, b Offer) int {
		return cmp.Compare(slices.Index(recordOrder, a.Type), slices.Index(recordOrder, b.Type))
	})
	for _, o := range offered {
		if text := triedWords(o); text != "" && len(all) < maxTried {
			all = append(all, caller.Clean(text).String())
		}
	}
	return all
}
