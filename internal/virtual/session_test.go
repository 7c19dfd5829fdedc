package virtual

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"
)

type chanWire chan report

func (w chanWire) write(r report) error { w <- r; return nil }
func (w chanWire) discard() error       { return nil }

// bench runs a key without pty, inside a bubble of fake time.
type bench struct {
	*host
	k   *Key
	out chanWire
}

func onBench(t *testing.T, o Options, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o, err := o.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		k := &Key{opts: o, sensor: newSensor(o.Touch, o.Delay), faults: &faults{}, ops: newJournal()}
		if k.auth, err = newAuthenticator(o, k.sensor, k.faults); err != nil {
			t.Fatal(err)
		}
		out, in := make(chanWire, 4096), make(chan report)
		s := &session{auth: k.auth, sensor: k.sensor, faults: k.faults, ops: k.ops, port: out}
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		go s.serve(ctx, in)
		test(t, &bench{k: k, out: out, host: &host{t: t, send: func(r report) { in <- r }, receive: func() report {
			t.Helper()
			select {
			case r := <-out:
				return r
			case <-time.After(time.Hour):
				t.Fatal("the key says nothing")
			}
			return report{}
		}}})
	})
}

// silent fails if the key sends anything within a minute.
func (b *bench) silent() {
	b.t.Helper()
	time.Sleep(time.Minute)
	if n := len(b.out); n != 0 {
		b.t.Fatalf("the key sends %d packets", n)
	}
}

func TestChannels(t *testing.T) {
	onBench(t, Options{Touch: TouchManual}, func(t *testing.T, b *bench) {
		one, two := b.open(), b.open()
		if one == two || one == 0 || two == broadcast {
			t.Fatalf("channels are %d and %d", one, two)
		}
		ping := bytes.Repeat([]byte("ping"), 500)
		b.write(message{channel: one, cmd: hidPing, payload: ping})
		if m := b.read(); m.cmd != hidPing || !bytes.Equal(m.payload, ping) {
			t.Fatal("PING does not come back whole")
		}
		longest := bytes.Repeat([]byte{1}, maxPayload)
		b.write(message{channel: one, cmd: hidPing, payload: longest})
		if m := b.read(); !bytes.Equal(m.payload, longest) {
			t.Fatal("the longest PING does not come back whole")
		}
		b.write(message{channel: one, cmd: hidWink})
		if m := b.read(); m.cmd != hidWink {
			t.Fatal("WINK is not answered")
		}
		for _, c := range []struct {
			name   string
			report report
			on     uint32
			code   byte
		}{
			{"a channel that was never given out", packet(4711, hidPing|initBit, 0, 1), 4711, hidErrInvalidChannel},
			{"channel 0", packet(0, hidPing|initBit, 0, 1), 0, hidErrInvalidChannel},
			{"PING on the broadcast channel", packet(broadcast, hidPing|initBit, 0, 1), broadcast, hidErrInvalidChannel},
			{"INIT with a nonce of 7 bytes", packet(broadcast, hidInit|initBit, 0, 7), broadcast, hidErrInvalidLen},
			{"a message that is too long", packet(one, hidPing|initBit, 0xff, 0xff), one, hidErrInvalidLen},
			{"U2F", packet(one, hidMsg|initBit, 0, 1), one, hidErrInvalidCmd},
			{"an unknown command", packet(one, 0x42|initBit, 0, 0), one, hidErrInvalidCmd},
			{"an empty CBOR command", packet(one, hidCBOR|initBit, 0, 0), one, hidErrInvalidLen},
			{"WINK with a payload", packet(one, hidWink|initBit, 0, 1), one, hidErrInvalidLen},
		} {
			b.send(c.report)
			t.Log(c.name)
			b.wantError(c.on, c.code)
		}
		t.Log("an unknown CTAP command")
		b.write(message{channel: one, cmd: hidCBOR, payload: []byte{0x42}})
		b.wantStatus(one, StatusInvalidCommand)
	})
}

func TestAssembly(t *testing.T) {
	onBench(t, Options{}, func(t *testing.T, b *bench) {
		one, two := b.open(), b.open()
		begin := packet(one, hidPing|initBit, 0, 200)

		t.Log("a packet out of sequence")
		b.send(begin)
		b.send(packet(one, 1))
		b.wantError(one, hidErrInvalidSeq)

		t.Log("a new message before the old one's end")
		b.send(begin)
		b.send(begin)
		b.wantError(one, hidErrInvalidSeq)

		t.Log("another channel in between")
		b.send(begin)
		b.send(packet(two, hidPing|initBit, 0, 1))
		b.wantError(two, hidErrChannelBusy)

		t.Log("and its stray continuation is ignored, INIT begins anew")
		b.send(packet(two, 0))
		b.write(message{channel: one, cmd: hidInit, payload: make([]byte, 8)})
		if m := b.read(); m.cmd != hidInit || binary.BigEndian.Uint32(m.payload[8:]) != one {
			t.Fatal("INIT on a channel does not keep the channel")
		}

		t.Log("a message without an end")
		b.send(begin)
		began := time.Now()
		b.wantError(one, hidErrTimeout)
		if took := time.Since(began); took != assembleWithin {
			t.Fatalf("it takes %v", took)
		}
	})
}

func TestWaiting(t *testing.T) {
	sel := []byte{cmdSelection}
	onBench(t, Options{Touch: TouchManual}, func(t *testing.T, b *bench) {
		one, two := b.open(), b.open()
		if b.k.Touch() {
			t.Fatal("a touch counts although nothing waits")
		}
		b.write(message{channel: one, cmd: hidCBOR, payload: sel})
		began := time.Now()
		for range 5 {
			if m := b.read(); m.cmd != hidKeepalive || m.channel != one || m.payload[0] != keepaliveTouch {
				t.Fatalf("keepalive is %+v", m)
			}
		}
		if took := time.Since(began); took != 5*keepaliveEvery {
			t.Fatalf("five keepalives take %v", took)
		}
		b.write(message{channel: two, cmd: hidCBOR, payload: []byte{cmdGetInfo}})
		b.wantError(two, hidErrChannelBusy)
		b.write(message{channel: two, cmd: hidCancel}) // another's cancel changes nothing
		if !b.k.Touch() || b.k.IsWaiting() {
			t.Fatal("the touch does not count")
		}
		b.wantStatus(one, StatusOK)

		t.Log("cancel")
		b.write(message{channel: one, cmd: hidCBOR, payload: sel})
		if err := b.k.WaitTouch(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.write(message{channel: one, cmd: hidCancel})
		b.wantStatus(one, StatusKeepaliveCancel)
		b.write(message{channel: one, cmd: hidCancel}) // too late: ignored

		t.Log("INIT on the same channel")
		b.write(message{channel: one, cmd: hidCBOR, payload: sel})
		if err := b.k.WaitTouch(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.write(message{channel: one, cmd: hidInit, payload: make([]byte, 8)})
		if m := b.read(); m.cmd != hidInit {
			t.Fatalf("INIT is answered with %+v", m)
		}
		b.write(message{channel: two, cmd: hidCBOR, payload: []byte{cmdGetInfo}})
		b.wantStatus(two, StatusOK)

		t.Log("nobody touches")
		b.write(message{channel: one, cmd: hidCBOR, payload: sel})
		began = time.Now()
		b.wantStatus(one, StatusUserActionTimeout)
		if took := time.Since(began); took != 30*time.Second {
			t.Fatalf("the key waits for %v", took)
		}
		var got []Status
		abandoned := 0
		for _, op := range b.k.Ops() {
			got = append(got, op.Status)
			if op.Abandoned {
				abandoned++
			}
		}
		want := []Status{StatusOK, StatusKeepaliveCancel, StatusKeepaliveCancel, StatusOK, StatusUserActionTimeout}
		if len(got) != len(want) || abandoned != 1 {
			t.Fatalf("the journal says %v, %d abandoned", got, abandoned)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("the journal says %v, want %v", got, want)
			}
		}
	})
	t.Run("touches itself after its delay", func(t *testing.T) {
		onBench(t, Options{Delay: 3 * time.Second}, func(t *testing.T, b *bench) {
			ch, began := b.open(), time.Now()
			b.write(message{channel: ch, cmd: hidCBOR, payload: sel})
			b.wantStatus(ch, StatusOK)
			if took := time.Since(began); took != 3*time.Second {
				t.Fatalf("it takes %v", took)
			}
		})
	})
	t.Run("takes a new mode while it waits", func(t *testing.T) {
		onBench(t, Options{Touch: TouchNever}, func(t *testing.T, b *bench) {
			ch := b.open()
			b.write(message{channel: ch, cmd: hidCBOR, payload: sel})
			if err := b.k.WaitTouch(t.Context()); err != nil {
				t.Fatal(err)
			}
			if b.k.Touch() {
				t.Fatal("a touch counts that never comes")
			}
			b.k.SetTouch(TouchAuto, time.Second)
			b.wantStatus(ch, StatusOK)
		})
	})
	t.Run("denies when nobody touches, as some firmware", func(t *testing.T) {
		onBench(t, Options{Touch: TouchNever, TouchTimeout: time.Minute, Quirks: Quirks{DenyOnTimeout: true}}, func(t *testing.T, b *bench) {
			ch := b.open()
			b.write(message{channel: ch, cmd: hidCBOR, payload: sel})
			b.wantStatus(ch, StatusOperationDenied)
		})
	})
	t.Run("waits without keepalives, as some firmware", func(t *testing.T) {
		onBench(t, Options{Delay: 9 * time.Second, Quirks: Quirks{SilentWait: true}}, func(t *testing.T, b *bench) {
			ch := b.open()
			b.write(message{channel: ch, cmd: hidCBOR, payload: sel})
			if m := b.read(); m.cmd != hidCBOR || m.payload[0] != 0 {
				t.Fatalf("it sends %+v first", m)
			}
		})
	})
	t.Run("goes mute when asked for retries without a PIN, as some firmware", func(t *testing.T) {
		onBench(t, Options{Quirks: Quirks{CrashOnRetries: true}}, func(t *testing.T, b *bench) {
			ch := b.open()
			b.write(message{channel: ch, cmd: hidCBOR, payload: encode(t, cmdClientPIN, map[int]any{1: 1, 2: pinGetRetries})})
			b.silent()
			b.write(message{channel: ch, cmd: hidPing, payload: []byte("hello")})
			b.silent()
		})
	})
}

func TestMute(t *testing.T) {
	t.Run("answers nothing", func(t *testing.T) {
		onBench(t, Options{}, func(t *testing.T, b *bench) {
			ch := b.open()
			b.k.SetFault(FaultMute)
			b.write(message{channel: broadcast, cmd: hidInit, payload: make([]byte, 8)})
			b.write(message{channel: ch, cmd: hidCBOR, payload: []byte{cmdGetInfo}})
			b.silent()
			b.k.SetFault(NoFault)
			b.open()
		})
	})
	t.Run("answers only INIT", func(t *testing.T) {
		onBench(t, Options{Delay: time.Second}, func(t *testing.T, b *bench) {
			b.k.SetFault(FaultMuteAfterInit)
			ch := b.open()
			b.write(message{channel: ch, cmd: hidCBOR, payload: []byte{cmdSelection}})
			b.silent()
		})
	})
	t.Run("answers packets that belong to no message", func(t *testing.T) {
		onBench(t, Options{}, func(t *testing.T, b *bench) {
			b.k.SetFault(FaultGarbageHID)
			ch := b.open()
			b.write(message{channel: ch, cmd: hidCBOR, payload: []byte{cmdGetInfo}})
			if r := b.receive(); r[4] == hidCBOR|initBit || binary.BigEndian.Uint16(r[5:]) <= maxPayload {
				t.Fatalf("it sends % x", r)
			}
		})
	})
}
