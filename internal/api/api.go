// Package api holds the wire types of fobd's doors: what travels as JSON over the Unix socket, and
// the error codes that the socket and D-Bus share. It knows the standard library only.
//
// Times are RFC 3339 with UTC; bytes are standard Base64; ids are short lower-case strings that the
// daemon makes. Fields may be added within /v1; a client ignores what it does not know, the daemon
// refuses what it does not know.
package api

import "time"

// Version is the first path element of every route.
const Version = "v1"

// The kinds of request.
const (
	KindSignIn         = "sign-in"
	KindAddMethod      = "add-method"
	KindRemoveMethod   = "remove-method"
	KindTest           = "test"
	KindResync         = "resync"
	KindSetPIN         = "set-pin"
	KindReset          = "reset"
	KindUnblock        = "unblock"
	KindChangeToken    = "change-token"
	KindExportTokens   = "export-tokens"
	KindChangeVault    = "change-vault"
	KindBackup         = "backup"
	KindLost           = "lost-method"
	KindUnlock         = "unlock"          // the vault, by a tap on a key that has a slot
	KindExportAccounts = "export-accounts" // at a user instance
)

// How a request ends.
const (
	Approved  = "approved"
	Denied    = "denied"
	Reported  = "reported"
	Expired   = "expired"
	Cancelled = "cancelled"
)

// BeginRequest is the body of POST /v1/requests. The answer is a stream of RequestState lines
// (application/x-ndjson) that ends with the decision; closing the connection cancels the request. After
// the approval of an export-tokens, export-accounts or backup request lines of Yield follow, to this caller
// alone.
type BeginRequest struct {
	// Kind is one of the kinds above; "sign-in" if empty.
	Kind string `json:"kind,omitempty"`
	// User is the login name of the person asked; the caller if empty. At a system instance any user may
	// begin a sign-in for another: it comes from elsewhere then, and says nothing of what the other has.
	User string `json:"user,omitempty"`
	// Service names who asks: "mailer" is shown as "app:UID:mailer"; names that begin "pam:" are
	// root's alone. 1 to 64 of a-z, 0-9, '.', '_' and '-' after the prefix.
	Service string `json:"service,omitempty"`
	// Require asks for more strength than policy does, never less; policy's own if empty.
	Require string `json:"require,omitempty"`
	// TimeoutMS is the deadline in milliseconds, 1,000 to 600,000; policy's own (60 s) if 0.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	// Claimed is what the requester says about the occasion. It is shown as claimed, unless root says it to
	// the system instance.
	Claimed Claimed `json:"claimed,omitzero"`
	// Key is a key's id where a request is about one key: set-pin, reset, and, if given, add-method,
	// change-vault, unlock and sign-in.
	Key string `json:"key,omitempty"`
	// Method is what add-method, remove-method, test and resync are about.
	Method MethodSpec `json:"method,omitzero"`
	// Token is what change-token is about.
	Token TokenChange `json:"token,omitzero"`
	// Vault is what change-vault is about.
	Vault SlotChange `json:"vault,omitzero"`
	// Accounts are the ids of the vault's accounts that export-accounts hands out; all of them if empty.
	Accounts []string `json:"accounts,omitempty"`
	// Code is a token's code that the user has typed already, for a sign-in. Then nobody is asked and no
	// key blinks: the answer is the approval, or an error such as code_wrong.
	Code Secret `json:"code,omitempty"`
	// Unblock is the origin whose block an unblock request lifts; all of them, and the lock of typed codes,
	// if empty.
	Unblock string `json:"unblock,omitempty"`
	// Helpdesk is an administrator's one-time code, with which add-method needs no other approval.
	Helpdesk Secret `json:"helpdesk_code,omitempty"`
	// Ticket is what D-Bus's Authorize gave: the user's first method at the system instance needs one.
	Ticket Secret `json:"ticket,omitempty"`
}

// The changes of a token that are requests.
const (
	TokenUnassign = "unassign"
	TokenDisable  = "disable"
	TokenEnable   = "enable"
	TokenRemove   = "remove"
)

// TokenChange says what becomes of a token. Where it is a sign-in method, that needs an approval.
type TokenChange struct {
	Serial string `json:"serial,omitempty"`
	// Action is "unassign", "disable", "enable", or "remove", which is refused (token_used) where a code of
	// the token was ever accepted.
	Action string `json:"action,omitempty"`
	// Force allows it where no usable method would remain; then those that remain are removed too.
	Force bool `json:"force,omitempty"`
}

// The changes of the vault's slots.
const (
	SlotAdd    = "add"
	SlotModify = "change"
	SlotRemove = "remove"
)

// SlotChange says what becomes of a slot of the vault, a way to open it.
type SlotChange struct {
	// Action is "add", "change" or "remove".
	Action string `json:"action,omitempty"`
	// ID names the slot to change or remove.
	ID string `json:"id,omitempty"`
	// Type of the slot to add: "passphrase", "recovery", "security-key", "key-file" or "secret-service".
	Type string `json:"type,omitempty"`
	// Name of the slot to add, for people.
	Name string `json:"name,omitempty"`
	// Passphrase is the new one, where the slot has one.
	Passphrase Secret `json:"passphrase,omitempty"`
	// Verify has a security key ask for its PIN, or a fingerprint, whenever it opens the vault.
	Verify bool `json:"verify,omitempty"`
	// LockAfterS is after how many seconds the vault locks by itself once a security key has opened it, 60
	// to 86,400; 900 if 0.
	LockAfterS int64 `json:"lock_after_s,omitempty"`
}

// Claimed is what a requester says about the occasion. RequestState.Vouched names what is more than that.
type Claimed struct {
	// Origin is where the requester sits, as an address or a host's name.
	Origin  string `json:"origin,omitempty"`
	Host    string `json:"host,omitempty"`
	Command string `json:"command,omitempty"`
	// SSHKey is the fingerprint of the key with which somebody came in by ssh, as in "SHA256:…".
	SSHKey string `json:"ssh_key,omitempty"`
}

// MethodSpec says which method a request is about.
type MethodSpec struct {
	// ID names an existing method (remove-method, lost-method, test, resync).
	ID string `json:"id,omitempty"`
	// Type of the method to add: "key", "token" or "recovery" (recovery codes, new ones in the place of
	// any former).
	Type string `json:"type,omitempty"`
	// Serial is the serial number of the token to add.
	Serial string `json:"serial,omitempty"`
	// Name for the method to add, 1 to 64 runes; the daemon finds one if empty.
	Name string `json:"name,omitempty"`
	// Backup asks to enrol a second, different key after the first.
	Backup bool `json:"backup,omitempty"`
	// BackupName is the second key's name; Name followed by "backup" if empty.
	BackupName string `json:"backup_name,omitempty"`
	// Force allows the removal of the last method.
	Force bool `json:"force,omitempty"`
}

// RequestState is one line of a request's stream and one request of a listing: the whole state,
// never a difference.
type RequestState struct {
	ID      string  `json:"id"`
	Kind    string  `json:"kind"`
	User    string  `json:"user"`
	Service string  `json:"service"`
	Place   string  `json:"place"`
	Require string  `json:"require"`
	Claimed Claimed `json:"claimed,omitzero"`
	// Caller is the user id that began the request.
	Caller uint32 `json:"caller_uid"`
	// Vouched names what of service, user, origin, host, command and ssh_key is more than claimed.
	Vouched []string  `json:"vouched,omitempty"`
	Begun   time.Time `json:"begun"`
	// Deadline is when the request expires.
	Deadline time.Time `json:"deadline"`
	// Pending is true until the decision.
	Pending bool `json:"pending"`
	// Offers are the ways in which the request can be satisfied now.
	Offers []Offer `json:"offers,omitempty"`
	// Prompts are what the person is asked to do now; answered with POST /v1/requests/ID/answer.
	Prompts []Prompt `json:"prompts,omitempty"`
	// Progress says in plain words what is happening, for the asking terminal.
	Progress string `json:"progress,omitempty"`
	// Number is what whoever asks from elsewhere shows, and the person at the desk types before a key
	// blinks. Only the call that began the request is told.
	Number string `json:"number,omitempty"`
	// RememberableS is for how many seconds the approval may be remembered, if the person wants that
	// (POST /v1/requests/ID/remember); 0 if it may not. Remember says that they do.
	RememberableS int64 `json:"rememberable_s,omitempty"`
	Remember      bool  `json:"remember,omitempty"`

	// Decision is set when Pending is false.
	Decision string `json:"decision,omitempty"`
	// Strength is what the approval proves.
	Strength string `json:"strength,omitempty"`
	// SelfAsserted marks an approval by a user instance: a program of the same user could have
	// faked the daemon.
	SelfAsserted bool `json:"self_asserted,omitempty"`
	// LogSeq is the decision's entry in the log.
	LogSeq uint64 `json:"log_seq,omitempty"`
	// Grant is the id of the remembered approval that was used, or made.
	Grant string `json:"grant,omitempty"`
	// Error says why a request ended that nobody decided, or why it was denied.
	Error *Error `json:"error,omitempty"`
	// Methods are the methods that an add-method request registered.
	Methods []Method `json:"methods,omitempty"`
	// RecoveryKey is the vault's new recovery key, to be written down. It is told once, to the caller that
	// began the request, and in no listing or event.
	RecoveryKey Secret `json:"recovery_key,omitempty"`
	// RecoveryCodes are the user's new recovery codes, told as RecoveryKey is.
	RecoveryCodes []Secret `json:"recovery_codes,omitempty"`
}

// Yield is one line that follows the approval of an export-tokens, export-accounts or backup request. A stream
// whose last line is not one with End was cut short.
type Yield struct {
	// Token is a token with its seed (export-tokens).
	Token *TokenSeed `json:"token,omitempty"`
	// Account is an account of the vault with its seed (export-accounts).
	Account *AccountSeed `json:"account,omitempty"`
	// Backup begins a backup; Record is one value of it.
	Backup *BackupHead   `json:"backup,omitempty"`
	Record *BackupRecord `json:"record,omitempty"`
	// Error says why the rest is missing.
	Error *Error `json:"error,omitempty"`
	End   bool   `json:"end,omitempty"`
}

// Offer is one way to satisfy a request.
type Offer struct {
	// Type is "key", "code", "recovery", "number" or "click".
	Type string `json:"type"`
	// Key and KeyName name the key that is offered.
	Key     string `json:"key,omitempty"`
	KeyName string `json:"key_name,omitempty"`
	// Method and MethodName name the registered method.
	Method     string `json:"method,omitempty"`
	MethodName string `json:"method_name,omitempty"`
	// State is "waiting" (not yet begun), "touch" (the key blinks), "pick" (another request waits for
	// the same key), "paused" (blinking stopped; pick the request to go on), "pin" (waits for the
	// PIN), "code" (waits for a code to be typed), "number" (waits for the number to be typed at the
	// desk), "approve" (waits for a plain yes there), "failed" or "done".
	State string `json:"state"`
	// Reason says why State is "failed".
	Reason *Error `json:"reason,omitempty"`
}

// The types of prompt.
const (
	PromptTouch   = "touch"
	PromptPIN     = "pin"
	PromptCode    = "code"
	PromptConfirm = "confirm"
	PromptNumber  = "number"
	PromptApprove = "approve"
)

// Prompt is something that a person is asked to do.
type Prompt struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	// Text is a plain sentence, ready to show.
	Text string `json:"text"`
	// Key and KeyName say which key it is about.
	Key     string `json:"key,omitempty"`
	KeyName string `json:"key_name,omitempty"`
	// New is true where a new PIN is asked for: ask twice.
	New bool `json:"new,omitempty"`
	// Retries is the number of wrong PINs left, where known.
	Retries *int `json:"retries,omitempty"`
	// MinLength is the shortest PIN that the key takes.
	MinLength int `json:"min_length,omitempty"`
	// Expect is what must be typed to confirm; plain Enter if empty.
	Expect string `json:"expect,omitempty"`
}

// Answer is the body of POST /v1/requests/ID/answer.
type Answer struct {
	Prompt string `json:"prompt"`
	// PIN answers a pin prompt.
	PIN Secret `json:"pin,omitempty"`
	// Code answers a code prompt: 6 to 8 digits, spaces and hyphens between them allowed.
	Code Secret `json:"code,omitempty"`
	// Confirm answers a confirm prompt: what was typed.
	Confirm string `json:"confirm,omitempty"`
	// Number answers a number prompt: the two digits that the screen of whoever asks shows. It is taken at
	// the desk alone.
	Number string `json:"number,omitempty"`
	// Approve answers an approve prompt, at the desk alone.
	Approve bool `json:"approve,omitempty"`
}

// Remember is the body of POST /v1/requests/ID/remember.
type Remember struct {
	Remember bool `json:"remember"`
}

// Key is a plugged security key, from GET /v1/keys.
type Key struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	VendorID  uint16 `json:"vendor_id,omitempty"`
	ProductID uint16 `json:"product_id,omitempty"`
	Serial    string `json:"serial,omitempty"`
	// Methods are the ids of the user's methods that were last seen on this key; empty where that is
	// not known without asking the key.
	Methods []string `json:"methods,omitempty"`
	// Problem says why the key cannot be used, such as missing permission, and what mends it.
	Problem string `json:"problem,omitempty"`
}

// KeyInfo is the answer of GET /v1/keys/ID: what the key says of itself.
type KeyInfo struct {
	Key
	FIDO2          bool            `json:"fido2"`
	Versions       []string        `json:"versions,omitempty"`
	Extensions     []string        `json:"extensions,omitempty"`
	AAGUID         string          `json:"aaguid,omitempty"`
	Options        map[string]bool `json:"options,omitempty"`
	Algorithms     []string        `json:"algorithms,omitempty"`
	PINSet         bool            `json:"pin_set"`
	PINSupported   bool            `json:"pin_supported"`
	PINMinLength   int             `json:"pin_min_length,omitempty"`
	PINRetries     *int            `json:"pin_retries,omitempty"`
	PINMustChange  bool            `json:"pin_must_change,omitempty"`
	FirmwareNumber uint64          `json:"firmware,omitempty"`
}

// Method is a registered sign-in method, from GET /v1/methods.
type Method struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Name      string     `json:"name"`
	Default   bool       `json:"default"`
	Strength  string     `json:"strength"`
	Algorithm string     `json:"algorithm,omitempty"`
	AAGUID    string     `json:"aaguid,omitempty"`
	Attested  string     `json:"attested,omitempty"`
	Added     time.Time  `json:"added"`
	LastUsed  *time.Time `json:"last_used,omitempty"`
	// Suspect says that the key's counter went back once: it may have been cloned.
	Suspect bool `json:"suspect,omitempty"`
	// Serial is a token's serial number.
	Serial string `json:"serial,omitempty"`
	// Left is how many recovery codes are left, of a method of type "recovery".
	Left *int `json:"left,omitempty"`
}

// MethodPatch is the body of PATCH /v1/methods/ID. What is left out stays.
type MethodPatch struct {
	// User is whose method it is, for root; the caller's own if empty.
	User    string  `json:"user,omitempty"`
	Name    *string `json:"name,omitempty"`
	Default *bool   `json:"default,omitempty"`
}

// The kinds of instance.
const (
	InstanceUser   = "user"   // runs as its user
	InstanceSystem = "system" // serves the whole machine
)

// Status is the answer of GET /v1/status.
type Status struct {
	Version  string    `json:"version"`
	Instance string    `json:"instance"` // "user" or "system"
	ID       string    `json:"id"`       // the instance's random id
	User     string    `json:"user"`
	UID      uint32    `json:"uid"`
	Started  time.Time `json:"started"`
	Place    string    `json:"place"`
	Pending  int       `json:"pending"`
	Methods  int       `json:"methods"`
	// MinMethods is how many methods policy wants the user to have.
	MinMethods int `json:"min_methods,omitempty"`
	// CodesLeft is how many recovery codes are left, where there are any.
	CodesLeft int `json:"codes_left,omitempty"`
	Grants    int `json:"grants"`
	// Waits are from where no request may begin for a while.
	Waits []Wait `json:"waits,omitempty"`
	// Short names, for an administrator, the users who have fewer methods than policy wants, the first 100, each
	// with how many they have; ShortMore is how many more there are.
	Short     []string `json:"short_of_methods,omitempty"`
	ShortMore int      `json:"short_of_methods_more,omitempty"`
	Tokens    int      `json:"tokens"` // in the registry
	Keys      int      `json:"keys"`
	Vault     Vault    `json:"vault"`
	LogSeq    uint64   `json:"log_seq"`
	LogHead   string   `json:"log_head"` // hexadecimal
	// LogKey is the Ed25519 public key with which the log is signed.
	LogKey []byte `json:"log_key,omitempty"`
	// Places says where it is learnt where callers sit: "connected" to the session manager, "off", or why
	// it cannot be told.
	Places string `json:"places"`
	// Policy is where policy comes from, or why the one before is still in force.
	Policy   string   `json:"policy"`
	Bus      string   `json:"bus"`    // "connected", "off" or why not
	Helper   string   `json:"helper"` // "ready" or what is wrong
	Problems []string `json:"problems,omitempty"`
}

// LogEntry is one decision, from GET /v1/log.
type LogEntry struct {
	Seq          uint64    `json:"seq"`
	Prev         string    `json:"prev"` // hexadecimal SHA-256 of the entry before
	Hash         string    `json:"hash"` // hexadecimal SHA-256 of this entry
	Time         time.Time `json:"time"`
	Request      string    `json:"request"`
	Kind         string    `json:"kind"`
	Decision     string    `json:"decision"`
	User         string    `json:"user"`
	Service      string    `json:"service"`
	CallerUID    uint32    `json:"caller_uid"`
	Place        string    `json:"place"`
	Require      string    `json:"require"`
	Strength     string    `json:"strength"`
	Method       string    `json:"method,omitempty"`
	MethodName   string    `json:"method_name,omitempty"`
	Origin       string    `json:"origin,omitempty"`
	Host         string    `json:"host,omitempty"`
	SSHKey       string    `json:"ssh_key,omitempty"`
	Vouched      []string  `json:"vouched,omitempty"`
	Tried        []string  `json:"tried,omitempty"`
	Grant        string    `json:"grant,omitempty"`
	Executable   string    `json:"executable,omitempty"`
	CommandHash  string    `json:"command_sha256,omitempty"`
	SelfAsserted bool      `json:"self_asserted,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Receipt      *Receipt  `json:"receipt,omitempty"`
}

// Receipt is the checkable record of a key's approval: Signature is the key's, over AuthData
// followed by SHA-256 of ClientData (CTAP 2.1 §6.2.2). All bytes are verbatim.
type Receipt struct {
	RPID         string `json:"rp_id"`
	CredentialID []byte `json:"credential_id"`
	// PublicKey is the credential's COSE_Key.
	PublicKey  []byte `json:"public_key"`
	Algorithm  int    `json:"algorithm"`
	ClientData []byte `json:"client_data"`
	AuthData   []byte `json:"auth_data"`
	Signature  []byte `json:"signature"`
}

// LogPage is the answer of GET /v1/log. Its parameters are after=SEQ, before=SEQ, limit=N, newest=true,
// user=NAME (or everybody=true, for administrators), request=ID, service=NAME, decision=WORD, kind=KIND,
// method=ID, and since= and until= (RFC 3339). A service without a colon is that of all "app:UID:NAME" and
// "pam:NAME".
type LogPage struct {
	Entries []LogEntry `json:"entries"`
	// More is true where others may follow; Next is the after= to go on with, or with newest=true the
	// before=. A page may be empty although others follow.
	More bool   `json:"more"`
	Next uint64 `json:"next,omitempty"`
}

// Event is one line of GET /v1/events. The first has Snapshot; each later one exactly one of the
// others. Seq grows by one an event within a connection.
type Event struct {
	Seq      uint64        `json:"seq"`
	Snapshot *Snapshot     `json:"snapshot,omitempty"`
	Request  *RequestState `json:"request,omitempty"`
	Methods  *[]Method     `json:"methods,omitempty"`
	// Cards is told with ?cards=true alone: soon after the snapshot, and with each change.
	Cards *Readers `json:"cards,omitempty"`
	// Log is the number of the newest entry of the user's log.
	Log uint64 `json:"log,omitempty"`
	// Lagged is true on the last line sent to a reader that was too slow: read a new snapshot.
	Lagged bool `json:"lagged,omitempty"`
}

// Snapshot is the state with which a stream of events begins.
type Snapshot struct {
	Requests []RequestState `json:"requests"`
	Methods  []Method       `json:"methods"`
}
