package codes

import (
	"slices"
	"strings"

	"github.com/fobproject/fob/internal/caller"
)

// How well an account fits what is looked for, from not at all. What its place had to be named for fits less.
const (
	hasPart  = iota + 1 // each word stands in it somewhere
	hasWords            // each word is one of it
	isName
	isIssuer
	isTitle
	isID
	withoutPlace = isID
)

// fit tells how well an account fits query: its id, or words of its issuer and name, in any case; also beside words of
// its place, which are those of its reader's name, its card's id and “vault”.
func fit(a Account, query string) int {
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 || query == a.ID {
		return isID + withoutPlace
	}
	if n := named(a, words); n > 0 {
		return n + withoutPlace
	}
	places := strings.Fields(strings.ToLower(caller.Clean(a.Reader).String() + " " + a.Where))
	rest := slices.DeleteFunc(slices.Clone(words), func(word string) bool {
		i := slices.Index(places, word)
		if i >= 0 {
			places = slices.Delete(places, i, i+1) // readers may be “00 00” and “00 01”
		}
		return i >= 0
	})
	if len(rest) == 0 {
		return 0 // a place alone names no account
	}
	return named(a, rest)
}

// named tells how well words in lower case fit an account's issuer and name.
func named(a Account, words []string) int {
	lower := func(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }
	issuer, name, title := lower(a.Issuer), lower(a.Name), lower(a.Title())
	text, both := strings.Join(words, " "), strings.TrimSpace(issuer+" "+name)
	all := title + " " + both
	switch whole := strings.Fields(all); {
	case text == title || text == both:
		return isTitle
	case text == issuer:
		return isIssuer
	case text == name:
		return isName
	case !slices.ContainsFunc(words, func(word string) bool { return !slices.Contains(whole, word) }):
		return hasWords
	case !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(all, word) }):
		return hasPart
	}
	return 0
}

// closest keeps the accounts that fit query best, and wipes the codes of all others.
func closest(all []Account, query string) []Account {
	best := 0
	var kept []Account
	for _, a := range all {
		how := fit(a, query)
		if how > best {
			Listing{Accounts: kept}.wipe()
			best, kept = how, nil
		}
		if how == best {
			kept = append(kept, a)
		} else {
			a.Code.Wipe()
		}
	}
	return kept
}
