package account

import "unicode/utf8"

// found collects what a file holds.
type found struct {
	accounts []Account
	skipped  []Skipped
}

// put takes an account, or notes why it cannot be taken: the reason, if there is one, or what put itself finds.
// It owns a.Seed.
func (f *found) put(a Account, reason string) {
	a.tidy()
	if reason == "" {
		reason = a.fault()
	}
	if reason != "" {
		a.Wipe()
		f.skipped = append(f.skipped, Skipped{Issuer: cut(a.Issuer), Name: cut(a.Name), Reason: reason})
		return
	}
	f.accounts = append(f.accounts, a)
}

func wipeAll(accounts []Account) {
	for i := range accounts {
		accounts[i].Wipe()
	}
}

// cut is text that fits beside a reason.
func cut(text string) string {
	if n := 0; utf8.RuneCountInString(text) > maxText {
		for at := range text {
			if n++; n == maxText {
				return text[:at] + "…"
			}
		}
	}
	return text
}
