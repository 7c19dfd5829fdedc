package api

import "time"

// Vault is how the vault is, in a status and from GET /v1/vault. POST /v1/vault/lock forgets its key,
// POST /v1/vault/unlock (Unlock) opens it; slots are changed by change-vault requests, and
// an unlock request opens it by a tap.
type Vault struct {
	// State is "open", "sealed", or "none" before it is first made.
	State string `json:"state"`
	// Where says, for people, what opens it by itself: "the secret service" or the path of a key file;
	// empty if nothing does.
	Where string `json:"where,omitempty"`
	// Problem says why it is sealed, and what to do.
	Problem string `json:"problem,omitempty"`
	// Until is when it locks by itself; zero if it does not.
	Until time.Time `json:"until,omitzero"`
	// Recovery says that there is a recovery key.
	Recovery bool   `json:"recovery"`
	Slots    []Slot `json:"slots,omitempty"`
}

// The states of the vault.
const (
	VaultNone   = "none"
	VaultOpen   = "open"
	VaultSealed = "sealed"
)

// Slot is one way to open the vault.
type Slot struct {
	ID    string    `json:"id"`
	Type  string    `json:"type"`
	Name  string    `json:"name,omitempty"`
	Added time.Time `json:"added"`
	// Verify says that the security key asks for its PIN or a fingerprint, and LockAfterS after how many
	// seconds the vault locks by itself once that key has opened it; 0 for other types.
	Verify     bool  `json:"verify,omitempty"`
	LockAfterS int64 `json:"lock_after_s,omitempty"`
	// Damaged says that the slot does not open the vault.
	Damaged bool `json:"damaged,omitempty"`
}

// Unlock is the body of POST /v1/vault/unlock. By is a passphrase or the recovery key; empty: what opens
// the vault by itself is tried again.
type Unlock struct {
	By Secret `json:"by,omitempty"`
}

// RestoreLine is one line of the body of POST /v1/vault/restore (application/x-ndjson): a BackupHead,
// each record, and at the end Commit, without which nothing is restored. The answer is Restored.
type RestoreLine struct {
	Backup *BackupHead   `json:"backup,omitempty"`
	Record *BackupRecord `json:"record,omitempty"`
	Commit bool          `json:"commit,omitempty"`
}

// BackupHead begins a backup.
type BackupHead struct {
	// Format is 1.
	Format   int       `json:"format"`
	Made     time.Time `json:"made"`
	Schema   int       `json:"schema"`
	Instance string    `json:"instance"`
	// DataKey opens what is sealed in the records.
	DataKey Seed `json:"data_key"`
	Records int  `json:"records"`
}

// BackupFormat is the format of backups that this version makes and reads.
const BackupFormat = 1

// BackupRecord is one value of the database, as it is stored.
type BackupRecord struct {
	Bucket string `json:"bucket"`
	Key    []byte `json:"key"`
	Value  []byte `json:"value"`
}

// Restored says what a restored backup brought.
type Restored struct {
	Made    time.Time `json:"made"`
	Methods int       `json:"methods"`
	Tokens  int       `json:"tokens"`
	// Accounts is how many accounts for other sites were in it.
	Accounts int `json:"accounts"`
	// CodesEnded is how many recovery codes were in it: none counts any more, since nobody knows which were used.
	CodesEnded int `json:"codes_ended"`
}
