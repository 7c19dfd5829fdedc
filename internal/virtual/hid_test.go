package virtual

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestReportsCarryAMessageWhole(t *testing.T) {
	for _, n := range []int{0, 1, initData, initData + 1, initData + contData, initData + contData + 1, maxPayload} {
		payload := bytes.Repeat([]byte{0xa5}, n)
		var l link
		l.channels = []uint32{9}
		for i, r := range (&message{channel: 9, cmd: hidCBOR, payload: payload}).reports() {
			e := l.feed(r)
			last := 7+n <= reportLen && i == 0 || e.run != nil
			if !last {
				continue
			}
			if e.run == nil || !bytes.Equal(e.run.payload, payload) {
				t.Fatalf("%d bytes do not come through", n)
			}
		}
		if l.running != 9 {
			t.Fatalf("%d bytes never end", n)
		}
	}
}

func TestOldChannelsAreForgotten(t *testing.T) {
	var l link
	first := l.allocate()
	l.running = first
	for range 3 * maxChannels {
		l.allocate()
	}
	if len(l.channels) != maxChannels {
		t.Fatalf("it remembers %d", len(l.channels))
	}
	if !l.open(first) {
		t.Fatal("it forgets the one whose command runs")
	}
	l.last = broadcast - 1
	if ch := l.allocate(); ch == broadcast || ch == 0 {
		t.Fatalf("it hands out %#x", ch)
	}
}

// FuzzLink feeds packets; byte 0xfe or 0xff in front of one lets the message expire or the command end.
func FuzzLink(f *testing.F) {
	nonce := (&message{channel: broadcast, cmd: hidInit, payload: make([]byte, 8)}).reports()
	seed := func(rs ...[]report) {
		var b []byte
		for _, r := range append([][]report{nonce}, rs...) {
			for _, p := range r {
				b = append(append(b, 0), p[:]...)
			}
		}
		f.Add(b)
	}
	long := (&message{channel: 1, cmd: hidPing, payload: make([]byte, 300)}).reports()
	run := (&message{channel: 1, cmd: hidCBOR, payload: []byte{cmdGetInfo}}).reports()
	seed(long)
	seed(long[:2], long)
	seed(run, run)
	seed(run, (&message{channel: 1, cmd: hidCancel}).reports(), (&message{channel: 1, cmd: hidInit, payload: make([]byte, 8)}).reports())
	seed(long[:1], nonce, (&message{channel: 2, cmd: hidPing, payload: []byte{1}}).reports())
	seed((&message{channel: 1, cmd: hidPing, payload: make([]byte, maxPayload)}).reports())
	f.Fuzz(func(t *testing.T, b []byte) {
		var l link
		for len(b) > 0 {
			what := b[0]
			b = b[1:]
			switch what {
			case 0xfe:
				if m := l.expire(); m != nil && m.cmd != hidError {
					t.Fatalf("expires with %+v", m)
				}
				continue
			case 0xff:
				l.done()
				continue
			}
			var r report
			b = b[copy(r[:], b):]
			busy := l.running
			e := l.feed(r)
			set := 0
			if e.reply != nil {
				set++
				if len(e.reply.payload) > maxPayload || e.reply.cmd == hidInit && len(e.reply.payload) != 17 {
					t.Fatalf("replies %+v", e.reply)
				}
				if e.reply.channel != binary.BigEndian.Uint32(r[:]) {
					t.Fatal("replies on another channel")
				}
			}
			if e.run != nil {
				set++
				if busy != 0 || l.running != e.run.channel || !l.open(e.run.channel) {
					t.Fatal("runs a command while another runs, or on no channel")
				}
			}
			if e.cancel {
				set++
				if busy == 0 {
					t.Fatal("cancels nothing")
				}
			}
			if set > 1 || e.reset && e.reply == nil {
				t.Fatalf("means several things: %+v", e)
			}
			if len(l.channels) > maxChannels || l.filling && len(l.partial.payload) >= l.want {
				t.Fatal("keeps too much")
			}
		}
	})
}
