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
	KindSignIn         Kind = "sign-in"
	KindAddMethod      Kind = "add-method"
	KindRemoveMethod   Kind = "remove-method"
	KindTest           Kind = "test"
	KindResync         Kind = "resync"
	KindSetPIN         Kind = "set-pin"
	KindReset          Kind = "reset"
	KindUnblock        Kind = "unblock"
	KindChangeToken    Kind = "change-token"
	KindExportTokens   Kind = "export-tokens"
	KindChangeVault    Kind = "change-vault"
	KindBackup         Kind = "backup"
	KindLost           Kind = "lost-method"
	KindUnlock         Kind = "unlock"
	KindExportAccounts Kind = "export-accounts"
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
	KeyID   string // set-pin, reset and change-vault: which key; elsewhere: only this key
	Method  MethodAsk
	Token   TokenAsk
	Vault   VaultAsk
	Block   string // unblock: the origin whose block is to be lifted; everything if empty
	// Code is a code that was typed already (VerifyCode); nil if none was. The engine wipes it.
	Code *secret.Secret
	// Helpdesk is an administrator's one-time code, with which a method is added without another approval;
	// nil if there is none. The engine wipes it.
	Helpdesk *secret.Secret
	// Authorized says that the door made sure, by the user's password, that it is them: enough for the first
	// method in the system instance.
	Authorized bool
	Accounts   AccountsAsk // of export-accounts
}

// Wipe forgets what is secret in the ask.
func (a Ask) Wipe() {
	a.Code.Wipe()
	a.Helpdesk.Wipe()
	a.Vault.Passphrase.Wipe()
}

// Claimed is what the requester says about the occasion, made safe to show. It is vouched for where root
// says it, and only claimed otherwise; see View.Vouched.
type Claimed struct {
	Origin  caller.Text
	Host    caller.Text
	Command caller.Text
	// SSHKey is the fingerprint of the key with which somebody came in by ssh, as in "SHA256:…".
	SSHKey caller.Text
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
	// Verify says that a security key verifies its user whenever it opens the vault, and LockAfter for how
	// long that then stays open; 0 for vault.DefaultLockAfter.
	Verify    bool
	LockAfter time.Duration
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
	Vouched   []string // which of service, user, origin, host, command and ssh_key are more than claimed
	Begun     time.Time
	Deadline  time.Time
	Offers    []Offer
	Prompts   []Prompt
	Progress  string // one plain sentence that says what is waited for
	// Rememberable is for how long the approval may be remembered, if the person wants that; 0 if it may
	// not. Remember says that they do.
	Rememberable time.Duration
	Remember     bool

	Decision     Decision
	Strength     policy.Strength
	SelfAsserted bool
	LogSeq       uint64
	Grant        string // the grant that was used or made
	Err          error  // why it ended without a person's decision; nil otherwise
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
	OfferNumber  OfferState = "number"  // waits for the number to be typed
	OfferApprove OfferState = "approve" // waits for a plain yes
	OfferFailed  OfferState = "failed"
	OfferDone    OfferState = "done"
)

// OfferType says how an offer is taken.
type OfferType string

// The types of offer.
const (
	OfferByKey      OfferType = "key"
	OfferByCode     OfferType = "code"
	OfferByRecovery OfferType = "recovery"
	OfferByNumber   OfferType = "number"
	OfferByClick    OfferType = "click"
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

	noted OfferState // in which it needs no more words in the record
}

// PromptType says what a person is asked to do.
type PromptType string

// The types of prompt.
const (
	PromptTouch   PromptType = "touch"
	PromptPIN     PromptType = "pin"
	PromptCode    PromptType = "code"
	PromptConfirm PromptType = "confirm"
	PromptNumber  PromptType = "number"  // the one that the sign-in screen shows
	PromptApprove PromptType = "approve" // yes, by who sits at the desk
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
	Number  string
	Approve bool
}

// Wipe forgets what is secret in the answer.
func (a Answer) Wipe() {
	a.PIN.Wipe()
	a.Code.Wipe()
}

// Event is one change that a subscriber is told of: a request's whole new state, the user's methods after a
// change, or that their log has grown.
type Event struct {
	Request *View
	Methods []method.Method // meaningful where MethodsChanged
	// MethodsChanged tells an empty list of methods from no news of them.
	MethodsChanged bool
	LogSeq         uint64 // the newest entry; 0 where the log is no news
}
