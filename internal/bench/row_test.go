package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestRow(t *testing.T) {
	t.Run("meets what is at most its budgets", func(t *testing.T) {
		r := newRow("tap", "ms", 3, &Bound{What: "raw", Value: 2, Budget: 1.5}, &Bound{What: "tool", Value: 10, Budget: 0.6})
		if !r.Met || r.Limit.Ratio != 1.5 || r.Peer.Ratio != 0.3 {
			t.Errorf("got %+v, limit %+v, peer %+v", r, r.Limit, r.Peer)
		}
	})
	t.Run("is missed where only the peer's budget is", func(t *testing.T) {
		r := newRow("tap", "ms", 3, &Bound{What: "raw", Value: 2, Budget: 1.5}, &Bound{What: "tool", Value: 4, Budget: 0.6})
		if r.Met {
			t.Error("a peer's budget that was missed does not count")
		}
	})
	t.Run("knows budgets that are a least", func(t *testing.T) {
		if r := newRow("clients", "/s", 79, &Bound{What: "one", Value: 10, Budget: 8, AtLeast: true}, nil); r.Met {
			t.Error("7.9 times is not at least 8 times")
		}
	})
	t.Run("is met whatever a bound is that is only shown", func(t *testing.T) {
		r := newRow("tap", "ms", 30, &Bound{What: "raw", Value: 2}, &Bound{What: "tool", Value: 4, AtLeast: true})
		if line := r.Limit.line("limit", "ms"); !r.Met || line != "limit 2 ms (raw): 15.00 ×" {
			t.Errorf("got %+v, shown as %q", r, line)
		}
	})
	t.Run("is one line in the table, with its verdict", func(t *testing.T) {
		var out bytes.Buffer
		rows := []Row{
			newRow("tap", "ms", 3, &Bound{What: "raw", Value: 2, Budget: 1.5}, nil),
			newRow("memory", "MiB", 30, &Bound{What: "budget", Value: 25, Budget: 1}, nil),
		}
		if err := printTable(&out, rows); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || !strings.HasSuffix(lines[0], " met") || !strings.HasSuffix(lines[1], " MISSED") {
			t.Errorf("got\n%s", out.String())
		}
	})
	t.Run("is the same in JSON", func(t *testing.T) {
		var out bytes.Buffer
		if err := writeJSON(&out, []Row{newRow("tap", "ms", 3, &Bound{What: "raw", Value: 2, Budget: 1.5}, nil)}); err != nil {
			t.Fatal(err)
		}
		var back []Row
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back) != 1 || !back[0].Met || back[0].Limit.Ratio != 1.5 {
			t.Errorf("got %+v, %v", back, err)
		}
	})
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		times []time.Duration
		want  float64
	}{
		{nil, 0},
		{[]time.Duration{3e6, 1e6, 2e6}, 2},
		{[]time.Duration{4e6, 1e6, 2e6, 3e6}, 2.5},
	} {
		if got := median(tt.times); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.times, got, tt.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for n := range 100 {
		hundred = append(hundred, time.Duration(100-n)*time.Millisecond)
	}
	for _, tt := range []struct {
		times []time.Duration
		part  float64
		want  float64
	}{
		{nil, 0.99, 0},
		{[]time.Duration{7e6}, 0.99, 7},
		{[]time.Duration{7e6, 8e6}, 0.99, 8},
		{hundred, 0.99, 99},
		{hundred, 0.5, 50},
		{hundred, 0, 1},
	} {
		if got := percentile(tt.times, tt.part); got != tt.want {
			t.Errorf("%v of %d times is %v, want %v", tt.part, len(tt.times), got, tt.want)
		}
	}
}

func TestKernelFiles(t *testing.T) {
	t.Run("adds up context switches", func(t *testing.T) {
		got, err := switches([]byte("Name:\tfobd\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"))
		if err != nil || got != 15 {
			t.Errorf("got %d, %v", got, err)
		}
	})
	t.Run("refuses a status without them", func(t *testing.T) {
		if _, err := switches([]byte("Name:\tfobd\n")); err == nil {
			t.Error("takes it")
		}
	})
	t.Run("finds anonymous memory", func(t *testing.T) {
		got, err := anonymous([]byte("Rss:  20000 kB\nAnonymous:         10240 kB\nLazyFree: 0 kB\n"))
		if err != nil || got != 10 {
			t.Errorf("got %v MiB, %v", got, err)
		}
	})
	t.Run("refuses memory without it", func(t *testing.T) {
		if _, err := anonymous([]byte("Rss:  20000 kB\n")); err == nil {
			t.Error("takes it")
		}
	})
}
