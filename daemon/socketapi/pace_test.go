package socketapi

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	var p paces
	now := time.Now()
	for n := range 20 { // what a person's programs do
		if wait := p.brought(1000, 2000, now.Add(time.Duration(n)*100*time.Millisecond)); wait != 0 {
			t.Fatalf("the %dth call in two seconds waits for %v", n, wait)
		}
	}
	var wait time.Duration
	for range 2000 { // of one byte each
		wait = p.brought(1001, 1, now)
	}
	if wait < 3*time.Second {
		t.Errorf("after 2,000 reads at once the next one waits for %v", wait)
	}
	if wait := p.brought(1000, 100, now.Add(2*time.Second)); wait != 0 {
		t.Errorf("another user waits for %v", wait)
	}
	if wait := p.brought(1001, 1, now.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later the first one still waits for %v", wait)
	}
	for uid := range uint32(10_000) {
		p.brought(uid+2000, 1, now.Add(time.Duration(uid)*time.Second))
	}
	if len(p.users) > manyPaces+1 {
		t.Errorf("%d users are remembered", len(p.users))
	}
}
