package card

// MaxReaders is how many readers pcscd has at most (PCSCLITE_MAX_READERS_CONTEXTS).
const MaxReaders = 16

// Reader is a reader as it is seen without a word to its card.
type Reader struct {
	Name string `json:"name"` // untrusted: a device says it
	Card bool   `json:"card,omitempty"`
	// Mute says that the card does not answer: it lies the wrong way round, as a rule.
	Mute bool `json:"mute,omitempty"`
	// Exclusive says that a program has the card for itself. pcscd does not always tell when that begins: it may be
	// half a minute old.
	Exclusive bool `json:"exclusive,omitempty"`
}
