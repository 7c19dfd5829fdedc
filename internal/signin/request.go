package signin

import (
	"time"

	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/method"
	"github.com/fobproject/fob/internal/policy"
	"github.com/fobproject/fob/internal/secret"
)

// Kind says what a request is about.
type Kind string

// The kinds of request.
const (
	KindSignIn       Kind = "sign-in"
	KindAddMethod    Kind = "add-method"
	KindRemoveMethod Kind = "remove-method"
	KindTest         Kind = "test"
	KindResync       Kind = "resync"
	KindSetPIN       Kind = "set-pin"
	KindReset        Kind = "reset"
	KindUnblock      Kind = "unblock"
	KindChangeToken  Kind = "change-token"
	KindExportTokens Kind = "export-tokens"
	KindChangeVault  Kind = "change-vault"
	KindBackup       Kind = "backup"
)

// Decision is how a request ended; empty while it is pending.
type Decision string

// The decisions.
const (
	Approved  Decision = "approved"
	Denied    Decision = "denied"
	Reported  Decision = "reported"
	Expired   Decision = "expired"
	Cancelled Decision = "cancelled"
)

// Ask is what a caller wants of Begin, as a door read it. Nothing in it is trusted.
type Ask struct {
	Kind    Kind            // sign-in if empty
	User    string          // login name; the instance's own user if empty
	Service string          // as asked; see ParseService
	Require policy.Strength // None: policy's own
	Timeout time.Duration   // 0: policy's own
	Claimed Claimed
	KeyID   string // set-pin and reset: which key; elsewhere: only this key
	Method  MethodAsk
	Token   TokenAsk
	Vault   VaultAsk
	// Code is a code that was typed already (VerifyCode); nil if none was. The engine wipes it.
	Code *secret.Secret
}

// Claimed is what the requester says about the occasion, made safe to show.
type Claimed struct {
	Origin  caller.Text
	Host    caller.Text
	Command caller.Text
}

// MethodAsk says which method an add-method, remove-method, test or resync request is about.
type MethodAsk struct {
	ID         string
	Type       string
	Serial     string // of the token to add
	Name       string
	Backup     bool
	BackupName string
	Force      bool
}

// TokenAsk says what a change-token request does to which token.
type TokenAsk struct {
	Serial string
	Action TokenAction
	Force  bool // also if no usable method remains
}

// TokenAction is a change of a token that may concern a sign-in method.
type TokenAction string

// The actions.
const (
	TokenUnassign TokenAction = "unassign"
	TokenDisable  TokenAction = "disable"
	TokenEnable   TokenAction = "enable"
	TokenRemove   TokenAction = "remove" // one that was never used
)

// VaultAsk says what a change-vault request does to which slot.
type VaultAsk struct {
	Action VaultAction
	ID     string // of the slot to change or remove
	Type   string // of the slot to add
	Name   string // of the slot to add
	// Passphrase is the new one; the engine wipes it.
	Passphrase *secret.Secret
}

// VaultAction is a change of the vault's slots.
type VaultAction string

// The actions.
const (
	SlotAdd    VaultAction = "add"
	SlotChange VaultAction = "change"
	SlotRemove VaultAction = "remove"
)

// View is a request as its user may see it: a copy, safe to keep.
type View struct {
	ID        string
	Kind      Kind
	UID       uint32 // whose request it is
	User      string
	CallerUID uint32 // who began it
	Service   string
	Place     caller.Place
	Require   policy.Strength
	Claimed   Claimed
	Begun     time.Time
	Deadline  time.Time
	Offers    []Offer
	Prompts   []Prompt
	Progress  string // one plain sentence that says what is waited for

	Decision     Decision
	Strength     policy.Strength
	SelfAsserted bool
	LogSeq       uint64
	Err          error // why it ended without a person's decision; nil otherwise
	Methods      []method.Method
}

// Pending reports whether the request still waits for its decision.
func (v View) Pending() bool { return v.Decision == "" }

// OfferState says how far an offer is.
type OfferState string

// The states of an offer.
const (
	OfferWaiting OfferState = "waiting" // not begun yet
	OfferTouch   OfferState = "touch"   // the key blinks
	OfferPick    OfferState = "pick"    // another request waits for the same key
	OfferPaused  OfferState = "paused"  // blinking stopped after its share; pick to go on
	OfferPIN     OfferState = "pin"     // waits for the key's PIN
	OfferCode    OfferState = "code"    // waits for a code to be typed
	OfferFailed  OfferState = "failed"
	OfferDone    OfferState = "done"
)

// OfferType says how an offer is taken.
type OfferType string

// The types of offer.
const (
	OfferByKey  OfferType = "key"
	OfferByCode OfferType = "code"
)

// Offer is one way in which a pending request can be satisfied.
type Offer struct {
	Type       OfferType
	KeyID      string
	KeyName    string
	MethodID   string // empty while it is not known which method the key holds
	MethodName string
	State      OfferState
	Note       string // why no touch is waited for, and what to do
	Err        error  // why it failed
}

// PromptType says what a person is asked to do.
type PromptType string

// The types of prompt.
const (
	PromptTouch   PromptType = "touch"
	PromptPIN     PromptType = "pin"
	PromptCode    PromptType = "code"
	PromptConfirm PromptType = "confirm"
)

// Prompt is something that a person is asked to do now.
type Prompt struct {
	ID        string
	Type      PromptType
	Text      string
	KeyID     string
	KeyName   string
	New       bool   // a new PIN
	Retries   *int   // wrong PINs left, where known
	MinLength int    // of a new PIN
	Expect    string // what must be typed to confirm; plain Enter if empty
}

// Answer is a person's answer to a prompt. The engine takes ownership of PIN and Code and wipes them.
type Answer struct {
	Prompt  string
	PIN     *secret.Secret
	Code    *secret.Secret
	Confirm string
}

// Wipe forgets what is secret in the answer.
func (a Answer) Wipe() {
	a.PIN.Wipe()
	a.Code.Wipe()
}

// Event is one change that a subscriber is told of: a request's whole new state, or the user's
// methods after a change.
type Event struct {
	Request *View
	Methods []method.Method // meaningful where MethodsChanged
	// MethodsChanged tells an empty list of methods from no news of them.
	MethodsChanged bool
}
