package api

import "time"

// Card is a card in a reader, from GET /v1/cards. Cards, accounts and codes are a user instance's alone.
type Card struct {
	// ID names the card until it is reset; empty where its applet did not answer.
	ID       string `json:"id,omitempty"`
	Reader   string `json:"reader"`
	Version  string `json:"version,omitempty"`
	Slots    int    `json:"slots,omitempty"` // how many accounts a card of this version holds, as a rule
	Accounts int    `json:"accounts"`
	// Password says that it has one, Open that its accounts can be used now, Remembered that what opens it is kept in
	// the vault.
	Password   bool `json:"password"`
	Open       bool `json:"open"`
	Remembered bool `json:"remembered,omitempty"`
	// Problem says why it is not open, and what to do.
	Problem *Error `json:"problem,omitempty"`
}

// Readers are all card readers, and which of them have a card. Security keys that are cards are readers too.
type Readers struct {
	Readers []Reader `json:"readers"`
	// Problem says why none can be seen, and what to do. Readers is then empty.
	Problem *Error `json:"problem,omitempty"`
}

// Reader is a card reader, as it is seen without asking its card.
type Reader struct {
	Reader string `json:"reader"` // its name, untrusted
	Card   bool   `json:"card"`
	// Mute says that the card in it does not answer.
	Mute bool `json:"mute,omitempty"`
	// Exclusive says that a program has the card for itself. It may be known half a minute late.
	Exclusive bool `json:"exclusive,omitempty"`
}

// CardUnlock is the body of POST /v1/cards/{id}/unlock. With Remember what opens the card is kept in the vault.
type CardUnlock struct {
	Password Secret `json:"password"`
	Remember bool   `json:"remember,omitempty"`
}

// CardPassword is the body of POST /v1/cards/{id}/password. An empty password takes the password away.
type CardPassword struct {
	Password Secret `json:"password"`
}

// CardReset is the answer to POST /v1/cards/{id}/reset: the id that the card has now.
type CardReset struct {
	ID string `json:"id"`
}

// Account is an account, on a card or in the vault. Issuer and Name are untrusted where it is on a card.
type Account struct {
	ID     string `json:"id"`
	Where  string `json:"where"`            // "vault", or a card's id
	Reader string `json:"reader,omitempty"` // that the card is in
	Issuer string `json:"issuer,omitempty"`
	Name   string `json:"name"`
	Kind   string `json:"kind"` // "totp" or "hotp"
	Period int    `json:"period,omitempty"`
	Touch  bool   `json:"touch,omitempty"` // its codes take a touch of the key
	Pinned bool   `json:"pinned,omitempty"`
	// Code is there where it was asked for and the account gives one without more. Until is when it ends, for TOTP.
	Code  Secret     `json:"code,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// AccountVault is the Where of accounts in the vault.
const AccountVault = "vault"

// Accounts is the answer to GET /v1/accounts (without codes) and to POST /v1/codes (CodesQuery; with codes). Problems
// are why some cards, or the vault's codes, are not in it.
type Accounts struct {
	Accounts []Account `json:"accounts"`
	Problems []Error   `json:"problems,omitempty"`
}

// CodesQuery is the body of POST /v1/codes. Query is an account's id, or words that stand in its issuer and name, and
// perhaps of its place; those that fit best are found. Empty: all.
type CodesQuery struct {
	Query string `json:"query,omitempty"`
}

// CodeLine is a line of the answer to POST /v1/codes/{id} (application/x-ndjson), which gives one account's code: the
// next one for HOTP, which is then used. Touch comes first where the key has to be touched; then the account with its
// code, or Error. Closing the stream gives up.
type CodeLine struct {
	Touch   bool     `json:"touch,omitempty"`
	Account *Account `json:"account,omitempty"`
	Error   *Error   `json:"error,omitempty"`
}

// NewAccount is the body of POST /v1/accounts. It goes to every place of On, "vault" or a card's id, or nowhere.
type NewAccount struct {
	Issuer    string   `json:"issuer,omitempty"`
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Algorithm string   `json:"algorithm"` // "SHA1", "SHA256" or "SHA512"
	Digits    int      `json:"digits"`
	Period    int      `json:"period,omitempty"`  // seconds; TOTP
	Counter   uint64   `json:"counter,omitempty"` // of the first code; HOTP
	Touch     bool     `json:"touch,omitempty"`
	Seed      Seed     `json:"seed"`
	On        []string `json:"on"`
}

// AccountSeed is an account of the vault with its secret, as it leaves.
type AccountSeed struct {
	Issuer    string `json:"issuer,omitempty"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Algorithm string `json:"algorithm"`
	Digits    int    `json:"digits"`
	Period    int    `json:"period,omitempty"`  // seconds; TOTP
	Counter   uint64 `json:"counter,omitempty"` // of the next code; HOTP
	Seed      Seed   `json:"seed"`
}

// Added is the answer to POST /v1/accounts: the accounts' ids, in the order of NewAccount.On.
type Added struct {
	IDs []string `json:"ids"`
}

// AccountPatch is the body of PATCH /v1/accounts/{id}: either Name, with Issuer, or Pinned. The answer is Renamed.
type AccountPatch struct {
	Issuer string  `json:"issuer,omitempty"`
	Name   *string `json:"name,omitempty"`
	Pinned *bool   `json:"pinned,omitempty"`
}

// Renamed is the id that an account has now.
type Renamed struct {
	ID string `json:"id"`
}
