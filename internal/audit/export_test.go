package audit

// Scan reads an entry as Verify and List do first.
func Scan(b []byte) (e Entry, ok bool) {
	ok = e.scan(b)
	return e, ok
}
