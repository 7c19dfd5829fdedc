package signin

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/fido"
)

// The words that a person reads while a request is pending are made here alone, and are the same
// wherever they are shown.

// touchFor says what a touch is for from now on, as the end of "Touch the key “NAME” …".
func (r *Request) touchFor(format string, args ...any) {
	r.publish(func(*View) { r.purpose = fmt.Sprintf(format, args...) })
}

// kindWords names the kinds for people.
var kindWords = map[Kind]string{
	KindSignIn:         "sign-in",
	KindAddMethod:      "new sign-in method",
	KindRemoveMethod:   "removal of a sign-in method",
	KindTest:           "test of a sign-in method",
	KindResync:         "bringing a token back into step",
	KindSetPIN:         "PIN of a key",
	KindReset:          "reset of a key",
	KindUnblock:        "lifting all waits and blocks",
	KindChangeToken:    "change of a token",
	KindExportTokens:   "export of all tokens' seeds",
	KindChangeVault:    "change of the vault's slots",
	KindBackup:         "backup of everything, seeds included",
	KindLost:           "removal of a lost sign-in method",
	KindUnlock:         "opening the vault",
	KindExportAccounts: "export of accounts with their secrets",
}

// subject names the request: "sign-in for alice by app:1000:mailer".
func (r *Request) subject() string {
	what := kindWords[r.ask.Kind]
	switch r.ask.Kind {
	case KindChangeToken:
		what = fmt.Sprintf("%s the token “%s”", tokenWords[r.ask.Token.Action], r.about())
	case KindUnblock:
		if r.ask.Block != "" {
			what = "letting requests from " + r.ask.Block + " begin again"
		}
	case KindChangeVault:
		what = slotWords[r.ask.Vault.Action] + " a way to open the vault"
	case KindExportAccounts:
		what = exportSubject(r.ask.Accounts)
	}
	text := fmt.Sprintf("%s for %s by %s", what, r.user.Name, r.service)
	if r.remote() {
		switch text += " from elsewhere"; {
		case r.ask.Claimed.Origin.IsZero():
		case r.stated():
			text += fmt.Sprintf(" (%s)", r.ask.Claimed.Origin)
		default:
			text += fmt.Sprintf(" (it claims: “%s”)", r.ask.Claimed.Origin)
		}
	}
	if stranger(r.caller, r.user) {
		text += fmt.Sprintf(", begun by uid %d", r.caller.UID)
	}
	return text
}

// triedWords is what is left in the record of an offer that did not decide; empty for one that did, or of
// which the record says more already.
func triedWords(o Offer) string {
	what := string(o.Type)
	if name := cmp.Or(o.KeyName, o.MethodName); name != "" {
		what += " “" + name + "”"
	}
	switch o.State {
	case OfferDone, OfferNumber, o.noted:
		return ""
	case OfferFailed:
		return fmt.Sprintf("%s: %v", what, o.Err)
	case OfferTouch:
		return what + ": was not touched"
	case OfferPick, OfferPaused:
		return what + ": was not picked"
	default:
		return what + ": was not used"
	}
}

// tokenWords and slotWords name the changes for people.
var (
	tokenWords = map[TokenAction]string{TokenUnassign: "taking away", TokenDisable: "disabling", TokenEnable: "enabling", TokenRemove: "removing"}
	slotWords  = map[VaultAction]string{SlotAdd: "adding", SlotChange: "changing", SlotRemove: "removing"}
)

// words makes the prompts, in the order of the offers, and the line of progress that sums them up: a touch
// where one is waited for, or before it a code where that is the default; else a question, else why no key
// blinks. The caller holds r.mu.
func (r *Request) words(offers []Offer) (prompts []Prompt, progress string) {
	var keys []string
	var touches []Prompt
	code := ""
	note := "One moment"
	for _, p := range r.prompts {
		prompts = append(prompts, p.Prompt)
		note = p.Text
		if p.Type == PromptCode {
			code = p.Text
		}
	}
	codeFirst := false
	for _, o := range offers {
		switch {
		case o.State == OfferTouch:
			keys = append(keys, "“"+o.KeyName+"”")
			touches = append(touches, Prompt{
				ID: "touch-" + o.KeyID, Type: PromptTouch, KeyID: o.KeyID, KeyName: o.KeyName,
				Text: r.touchText("“" + o.KeyName + "”"),
			})
		case o.State == OfferCode && len(keys) == 0:
			codeFirst = code != ""
		case o.State == OfferDone && o.Type == OfferByKey:
			note = fmt.Sprintf("The key “%s” was touched: checking its answer", o.KeyName)
		case o.Note != "" && len(r.prompts) == 0:
			note = o.Note
		}
	}
	switch touch := strings.Join(keys, " or "); {
	case touch == "":
		return prompts, note
	case codeFirst:
		return append(prompts, touches...), code + r.whence() + ", or touch the key " + touch
	case code != "":
		return append(touches, prompts...), r.touchText(touch) + ", or type a code"
	default:
		return append(touches, prompts...), r.touchText(touch)
	}
}

// purposeOf is what an answer is for, as touchFor said.
func (r *Request) purposeOf() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.purpose
}

// firstUpper begins a sentence.
func firstUpper(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// touchText asks for a touch; where nobody can tell whether the requester sits at this desk, it
// says so.
func (r *Request) touchText(keys string) string {
	return fmt.Sprintf("Touch the key %s %s", keys, r.purpose) + r.whence()
}

// whence warns where it cannot be told whether the requester sits at this desk.
func (r *Request) whence() string {
	if r.standing.Place == caller.PlaceUnknown {
		return " (it is not known whether this comes from your desk)"
	}
	return ""
}

// showTouch says that the key blinks.
func (r *Request) showTouch(ctx context.Context, k fido.Key) {
	r.offerWhile(ctx, k.ID, func(o *Offer) { o.State, o.KeyName, o.Note = OfferTouch, k.Name, "" })
}

// showTouched says that the key was touched.
func (r *Request) showTouched(ctx context.Context, k fido.Key) {
	r.offerWhile(ctx, k.ID, func(o *Offer) { o.State = OfferDone })
}

// showQueue says why the key does not blink for this request.
func (r *Request) showQueue(ctx context.Context, k fido.Key, s claimState, others []string) {
	state, note := OfferPick, fmt.Sprintf("The key “%s” was wanted for another request: press Enter to use it for this one", k.Name)
	switch {
	case s == claimPaused:
		state, note = OfferPaused, fmt.Sprintf("The key “%s” stopped blinking: press Enter to go on", k.Name)
	case len(others) > 0:
		note = fmt.Sprintf("The key “%s” is also wanted for: %s. Press Enter to use it for this request", k.Name, strings.Join(others, ", "))
	}
	r.offerWhile(ctx, k.ID, func(o *Offer) { o.State, o.KeyName, o.Note = state, k.Name, note })
}
