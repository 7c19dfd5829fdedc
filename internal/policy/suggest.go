package policy

import "strings"

// suggest ends a message about a word that is none of those allowed: it gives the nearest if one is
// near, and all of them.
func suggest(word string, allowed []string) string {
	all := ": use " + allowed[0]
	if len(allowed) > 1 {
		last := len(allowed) - 1
		all = ": use " + strings.Join(allowed[:last], ", ") + " or " + allowed[last]
	}
	const longest = 32 // no word is as long, and the distance takes time
	if len(word) > longest {
		return all
	}
	word = strings.ToLower(word)
	best, least := "", 3
	for _, a := range allowed {
		// Of short words nearly everything is near.
		if d := distance(word, a); d < least && d <= (len(a)+1)/3 {
			best, least = a, d
		}
	}
	if best == "" {
		return all
	}
	return " (did you mean " + best + "?)" + all
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
