package main

import (
	"slices"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, zone)
	for _, tt := range []struct {
		name, text string
		add        int
		want       time.Time // zero: refused
	}{
		{"takes a span up to now", "24h", 0, now.AddDate(0, 0, -1)},
		{"takes a span of days", "7d", 0, now.AddDate(0, 0, -7)},
		{"takes a date as the beginning of that day here", "2026-01-31", 0, time.Date(2026, 1, 31, 0, 0, 0, 0, zone)},
		{"includes a date that ends it", "2026-01-31", 1, time.Date(2026, 2, 1, 0, 0, 0, 0, zone)},
		{"takes a time of another zone", "2026-01-31T12:00:00Z", 1, time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)},
		{"refuses a span into the future", "-24h", 0, time.Time{}},
		{"refuses days into the future", "-7d", 0, time.Time{}},
		{"refuses more days than there is time", "99999999d", 0, time.Time{}},
		{"refuses a date that is none", "2026-02-30", 0, time.Time{}},
		{"refuses words", "yesterday", 0, time.Time{}},
		{"refuses a bare number", "7", 0, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseTime("since", tt.text, now, tt.add)
			if !got.Equal(tt.want) || (err != nil) != tt.want.IsZero() {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestJoinDash(t *testing.T) {
	for _, tt := range []struct {
		name       string
		args, want []string
	}{
		{"makes the flag and its dash one word", []string{"add", "--helpdesk", "-", "x"}, []string{"add", "--helpdesk=-", "x"}},
		{"leaves a flag alone that stands alone", []string{"--helpdesk", "--name", "x"}, []string{"--helpdesk", "--name", "x"}},
		{"leaves a flag alone that ends the line", []string{"add", "--helpdesk"}, []string{"add", "--helpdesk"}},
		{"leaves other dashes alone", []string{"--code", "-"}, []string{"--code", "-"}},
		{"leaves alone what is no flag", []string{"--", "--helpdesk", "-"}, []string{"--", "--helpdesk", "-"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := joinDash(tt.args); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
