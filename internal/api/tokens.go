package api

import "time"

// Token is a hardware token in the registry, from GET /v1/tokens, ascending by serial number without
// regard to case. Its seed is in no listing.
type Token struct {
	Serial       string `json:"serial"`
	Name         string `json:"name,omitempty"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	// Kind is "hotp" (counts presses) or "totp" (counts time).
	Kind string `json:"kind"`
	// Algorithm is "SHA1", "SHA256" or "SHA512".
	Algorithm string `json:"algorithm"`
	Digits    int    `json:"digits"`
	// Period of a code in seconds; totp only.
	Period int `json:"period,omitempty"`
	// User is the login name of the user whose token it is; empty if nobody's.
	User string `json:"user,omitempty"`
	// State is "free", "assigned", "active" (a sign-in method) or "disabled".
	State string `json:"state"`
	// Method is the id of the sign-in method that it is.
	Method string    `json:"method,omitempty"`
	Added  time.Time `json:"added"`
}

// The states of a token.
const (
	TokenFree     = "free"
	TokenAssigned = "assigned"
	TokenActive   = "active"
	TokenDisabled = "disabled"
)

// TokenPage is the answer of GET /v1/tokens?after=SERIAL&limit=N&user=NAME.
type TokenPage struct {
	Tokens []Token `json:"tokens"`
	// More is true where tokens follow the last one.
	More bool `json:"more"`
}

// TokenPatch is the body of PATCH /v1/tokens/SERIAL: exactly one field is given. To take a token from
// its user, or to disable one, begin a change-token request.
type TokenPatch struct {
	// Name for people; empty takes it away.
	Name *string `json:"name,omitempty"`
	// User is the login name of the user to whom the token is assigned; empty: the instance's own.
	User *string `json:"user,omitempty"`
}

// ImportLine is one line of the body of POST /v1/tokens (application/x-ndjson, at most 4 KiB a
// line). The first has Options, each further one a Token, the last Commit: without it nothing is
// imported. The answer is an ImportReport, with status 422 where nothing was imported because of its
// problems.
type ImportLine struct {
	Options *ImportOptions `json:"options,omitempty"`
	Token   *TokenSeed     `json:"token,omitempty"`
	Commit  bool           `json:"commit,omitempty"`
}

// ImportOptions say how an import deals with what is wrong.
type ImportOptions struct {
	// Partial imports what can be imported although something else cannot.
	Partial bool `json:"partial,omitempty"`
	// DryRun changes nothing; the report is the same.
	DryRun bool `json:"dry_run,omitempty"`
	// Source says for the log where the tokens come from.
	Source string `json:"source,omitempty"`
}

// TokenSeed is a token with its seed, on its way in or out.
type TokenSeed struct {
	// Line of the file where it stands, for the report.
	Line         int    `json:"line,omitempty"`
	Serial       string `json:"serial"`
	Name         string `json:"name,omitempty"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Model        string `json:"model,omitempty"`
	Kind         string `json:"kind"`
	Algorithm    string `json:"algorithm"`
	Digits       int    `json:"digits"`
	Period       int    `json:"period,omitempty"`
	// Counter is the next one of a hotp token.
	Counter uint64 `json:"counter,omitempty"`
	// Seed is 16 to 128 bytes.
	Seed Seed `json:"seed"`
	// User is whom the file names, who may or may not be a user here; with Exact, one who must be.
	User  string `json:"user,omitempty"`
	Exact bool   `json:"exact,omitempty"`
}

// ImportReport says what an import did. Problems and Unassigned name at most 1,000 tokens each.
type ImportReport struct {
	Imported int `json:"imported"`
	Assigned int `json:"assigned"`
	// Problems are tokens that cannot be imported.
	Problems      []ImportProblem `json:"problems,omitempty"`
	ProblemsTotal int             `json:"problems_total"`
	// Unassigned are imported tokens whose users are not known here.
	Unassigned      []ImportProblem `json:"unassigned,omitempty"`
	UnassignedTotal int             `json:"unassigned_total"`
	// Error is set where nothing was imported.
	Error *Error `json:"error,omitempty"`
}

// ImportProblem is one token of a report.
type ImportProblem struct {
	Line   int    `json:"line,omitempty"`
	Serial string `json:"serial"`
	Text   string `json:"text"`
}
