package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// Bound is what a measured value is held against, in the same run.
type Bound struct {
	What  string  `json:"what"`  // what was measured for it, or "budget" for a fixed number
	Value float64 `json:"value"` // in the row's unit
	Ratio float64 `json:"ratio"` // ours through Value
	// Budget is what Ratio may be: at most, or at least where AtLeast is set. 0: it is only shown.
	Budget  float64 `json:"budget"`
	AtLeast bool    `json:"at_least,omitempty"`
}

func (b Bound) met() bool {
	switch {
	case b.Budget == 0:
		return true
	case b.AtLeast:
		return b.Ratio >= b.Budget
	}
	return b.Ratio <= b.Budget
}

// Row is one line of the table.
type Row struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Ours  float64 `json:"ours"`
	Limit *Bound  `json:"limit,omitempty"`
	Peer  *Bound  `json:"peer,omitempty"`
	Met   bool    `json:"met"`
}

// newRow works out the ratios and whether the budgets are met. limit and peer may be nil.
func newRow(name, unit string, ours float64, limit, peer *Bound) Row {
	r := Row{Name: name, Unit: unit, Ours: ours, Limit: limit, Peer: peer, Met: true}
	for _, b := range []*Bound{limit, peer} {
		if b != nil {
			b.Ratio = ours / b.Value
			r.Met = r.Met && b.met()
		}
	}
	return r
}

// printTable writes the rows as an aligned table, one line each.
func printTable(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		verdict := "met"
		if !r.Met {
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%.3g %s\t%s\t%s\t%s\n", r.Name, r.Ours, r.Unit, r.Limit.line("limit", r.Unit), r.Peer.line("peer", r.Unit), verdict)
	}
	return t.Flush()
}

// line is the bound as the table shows it: value, ratio and budget.
func (b *Bound) line(name, unit string) string {
	if b == nil {
		return name + " –"
	}
	value := fmt.Sprintf("%s %.3g %s (%s): %.2f ×", name, b.Value, unit, b.What, b.Ratio)
	if b.Budget == 0 {
		return value
	}
	sign := "≤"
	if b.AtLeast {
		sign = "≥"
	}
	return fmt.Sprintf("%s %s %.4g", value, sign, b.Budget)
}

// writeJSON writes the rows as JSON.
func writeJSON(w io.Writer, rows []Row) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

// median is the middle of the durations, in milliseconds; 0 for none.
func median(times []time.Duration) float64 {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	mid := len(sorted) / 2
	m := sorted[mid]
	if len(sorted)%2 == 0 {
		m = (m + sorted[mid-1]) / 2
	}
	return float64(m) / float64(time.Millisecond)
}

// percentile is the smallest of the durations that so large a part of them does not exceed, in milliseconds; 0
// for none.
func percentile(times []time.Duration, part float64) float64 {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	n := int(math.Ceil(part * float64(len(sorted))))
	return float64(sorted[max(n, 1)-1]) / float64(time.Millisecond)
}
