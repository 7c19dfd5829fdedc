package keyring

// ParseKey reads the text of a key, and FormatKey writes it.
var (
	ParseKey  = parseKey
	FormatKey = formatKey
)
