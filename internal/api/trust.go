package api

import "time"

// Wait says from where no request may begin for a while.
type Wait struct {
	// Kind is "wait", after a denial, or "block", after a report.
	Kind    string `json:"kind"`
	Service string `json:"service,omitempty"`
	Origin  string `json:"origin,omitempty"`
	LeftS   int64  `json:"left_s"`
}

// Grant is a remembered approval, from GET /v1/grants.
type Grant struct {
	ID         string     `json:"id"`
	User       string     `json:"user"`
	Service    string     `json:"service"`
	Origin     string     `json:"origin"`
	SSHKey     string     `json:"ssh_key"`
	Method     string     `json:"method"`
	MethodName string     `json:"method_name"`
	Strength   string     `json:"strength"`
	Made       time.Time  `json:"made"`
	Until      time.Time  `json:"until"`
	LastUsed   *time.Time `json:"last_used,omitempty"`
	Uses       uint64     `json:"uses"`
}

// Revoked is the answer of POST /v1/grants/revoke.
type Revoked struct {
	Grants int `json:"grants"`
}

// ForUser is the body of a call that root makes for a user. The caller's own name may be left out.
type ForUser struct {
	User string `json:"user,omitempty"`
}

// HelpdeskIssue is the body of POST /v1/helpdesk.
type HelpdeskIssue struct {
	User string `json:"user"`
	// ValidS is for how many seconds the code is good.
	ValidS int64 `json:"valid_s"`
}

// HelpdeskCode is an administrator's one-time code. It is told once.
type HelpdeskCode struct {
	User  string    `json:"user"`
	Code  Secret    `json:"code"`
	Until time.Time `json:"until"`
}

// Policy is the answer of GET /v1/policy: the tables of the policy in force, in their order.
type Policy struct {
	Tables []PolicyTable `json:"tables"`
	// Source is where they come from; Problem why a newer set was refused.
	Source  string `json:"source"`
	Problem string `json:"problem,omitempty"`
}

// PolicyTable is one table of the policy's files.
type PolicyTable struct {
	Where  string   `json:"where"` // file and line
	Name   string   `json:"name"`  // as it stands in the file
	Fields []string `json:"fields"`
}

// PolicyCheck is the answer of GET /v1/policy/check?service=NAME&user=NAME: what holds, and why.
type PolicyCheck struct {
	Service    string         `json:"service"`
	User       string         `json:"user"`
	Require    string         `json:"require"`
	Fallback   []string       `json:"fallback,omitempty"`
	Places     []string       `json:"places"` // where it may begin
	TimeoutMS  int64          `json:"timeout_ms"`
	RememberS  int64          `json:"remember_s,omitempty"`
	MinMethods int            `json:"min_methods,omitempty"`
	Reasons    []PolicyReason `json:"reasons"`
}

// PolicyReason is one step on the way to what holds.
type PolicyReason struct {
	Where string `json:"where"`
	Text  string `json:"text"`
}

// LogCheck is one line of GET /v1/log/verify?head=HASH: how far the check is, and last how it ended.
type LogCheck struct {
	Done  uint64 `json:"done,omitempty"`
	Total uint64 `json:"total,omitempty"`
	// End is set on the last line. Without BrokenAt and Error everything holds.
	End bool `json:"end,omitempty"`
	// BrokenAt is the number of the first entry that does not hold, and Reason why.
	BrokenAt uint64 `json:"broken_at,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Error    *Error `json:"error,omitempty"`

	First      uint64 `json:"first,omitempty"`
	Last       uint64 `json:"last,omitempty"`
	Head       string `json:"head,omitempty"` // hexadecimal
	Signatures uint64 `json:"signatures,omitempty"`
	Receipts   uint64 `json:"receipts,omitempty"`
	Pruned     uint64 `json:"pruned,omitempty"` // entries that were removed before First, as they grew old
	Key        []byte `json:"key,omitempty"`    // Ed25519, with which the log is signed
}
