package logind

// ParseStat and ParseStatus read the kernel's files on a process.
var (
	ParseStat   = parseStat
	ParseStatus = parseStatus
)
