package virtual

import "encoding/binary"

// CTAPHID commands (CTAP 2.1 §11.2.9), without the bit that marks an initialization packet.
const (
	hidPing      = 0x01
	hidMsg       = 0x03
	hidInit      = 0x06
	hidWink      = 0x08
	hidCBOR      = 0x10
	hidCancel    = 0x11
	hidKeepalive = 0x3b
	hidError     = 0x3f
)

// CTAPHID error codes (CTAP 2.1 §11.2.9.1.6).
const (
	hidErrInvalidCmd     = 0x01
	hidErrInvalidLen     = 0x03
	hidErrInvalidSeq     = 0x04
	hidErrTimeout        = 0x05
	hidErrChannelBusy    = 0x06
	hidErrInvalidChannel = 0x0b
)

// What KEEPALIVE says that the key is doing (CTAP 2.1 §11.2.9.2.1).
const (
	keepaliveProcessing = 0x01
	keepaliveTouch      = 0x02
)

const (
	reportLen = 64 // bytes of one report, without the report id
	initData  = reportLen - 7
	contData  = reportLen - 5
	// maxPayload is the longest message that a 7-bit sequence number can carry (CTAP 2.1 §11.2.4).
	maxPayload = initData + 128*contData

	initBit   = 0x80
	broadcast = 0xffffffff
	// maxChannels bounds what the key remembers; the oldest channel is forgotten first.
	maxChannels = 64
)

// report is one HID report: a packet of CTAPHID.
type report [reportLen]byte

// message is a whole CTAPHID message on one channel.
type message struct {
	channel uint32
	cmd     byte
	payload []byte
}

func hidErrorMessage(channel uint32, code byte) *message {
	return &message{channel: channel, cmd: hidError, payload: []byte{code}}
}

// reports splits the message into packets (CTAP 2.1 §11.2.4). A payload over maxPayload is cut.
func (m *message) reports() []report {
	p := m.payload[:min(len(m.payload), maxPayload)]
	var first report
	binary.BigEndian.PutUint32(first[:], m.channel)
	first[4] = m.cmd | initBit
	binary.BigEndian.PutUint16(first[5:], uint16(len(p)))
	p = p[copy(first[7:], p):]
	out := []report{first}
	for seq := byte(0); len(p) > 0; seq++ {
		var r report
		binary.BigEndian.PutUint32(r[:], m.channel)
		r[4] = seq
		p = p[copy(r[5:], p):]
		out = append(out, r)
	}
	return out
}

// event is what one report from the host means. At most one of its fields is set; none is where the
// report is only a part of a message, or is to be ignored.
type event struct {
	// reply is to be sent at once: the answer to INIT, or an error.
	reply *message
	// reset says that the reply answers an INIT on the channel whose command is running: that
	// command is to be abandoned without an answer.
	reset bool
	// run is a complete message, to be carried out.
	run *message
	// cancel asks for the end of the command that is running (CTAPHID_CANCEL).
	cancel bool
}

// link is the key's end of CTAPHID: it hands out channels and assembles messages (CTAP 2.1 §11.2.5).
// It is a pure state machine, without clock or I/O: its owner feeds it reports, calls expire when an
// unfinished message is too old, and done when the command that it ran has ended.
// It is not safe for concurrent use. The zero value is ready.
type link struct {
	channels []uint32 // oldest first
	last     uint32   // channel handed out last

	partial message // being assembled: payload grows up to want
	want    int
	seq     byte
	filling bool

	running uint32 // channel whose command is running, 0 for none
}

// feed takes one report from the host.
func (l *link) feed(r report) event {
	ch := binary.BigEndian.Uint32(r[:])
	if r[4]&initBit == 0 {
		return l.feedRest(ch, r)
	}
	cmd, n := r[4]&^initBit, int(binary.BigEndian.Uint16(r[5:]))
	switch {
	case ch == 0, ch == broadcast && cmd != hidInit, ch != broadcast && !l.open(ch):
		return event{reply: hidErrorMessage(ch, hidErrInvalidChannel)}
	case cmd == hidInit:
		return l.init(ch, r[7:], n)
	case cmd == hidCancel:
		return event{cancel: l.running == ch}
	case l.running != 0:
		return event{reply: hidErrorMessage(ch, hidErrChannelBusy)}
	case l.filling && l.partial.channel != ch:
		return event{reply: hidErrorMessage(ch, hidErrChannelBusy)}
	case l.filling:
		l.filling = false
		return event{reply: hidErrorMessage(ch, hidErrInvalidSeq)}
	case n > maxPayload:
		return event{reply: hidErrorMessage(ch, hidErrInvalidLen)}
	}
	l.partial = message{channel: ch, cmd: cmd, payload: make([]byte, 0, n)}
	l.want, l.seq, l.filling = n, 0, true
	return l.add(r[7:])
}

// feedRest takes a continuation packet. A spurious one is ignored (CTAP 2.1 §11.2.5.3).
func (l *link) feedRest(ch uint32, r report) event {
	if !l.filling || l.partial.channel != ch {
		return event{}
	}
	if r[4] != l.seq {
		l.filling = false
		return event{reply: hidErrorMessage(ch, hidErrInvalidSeq)}
	}
	l.seq++
	return l.add(r[5:])
}

func (l *link) add(data []byte) event {
	need := l.want - len(l.partial.payload)
	l.partial.payload = append(l.partial.payload, data[:min(need, len(data))]...)
	if len(l.partial.payload) < l.want {
		return event{}
	}
	l.filling = false
	m := l.partial
	l.partial = message{}
	switch m.cmd {
	case hidPing:
		return event{reply: &m}
	case hidCBOR, hidWink:
		l.running = m.channel
		return event{run: &m}
	default:
		return event{reply: hidErrorMessage(m.channel, hidErrInvalidCmd)}
	}
}

// init answers INIT: a new channel on the broadcast channel, and a fresh start on any other (CTAP 2.1
// §11.2.9.1.3).
func (l *link) init(ch uint32, nonce []byte, n int) event {
	if n != 8 {
		return event{reply: hidErrorMessage(ch, hidErrInvalidLen)}
	}
	var e event
	given := ch
	if ch == broadcast {
		given = l.allocate()
	} else {
		if l.filling && l.partial.channel == ch {
			l.filling = false
		}
		e.reset = l.running == ch
	}
	const (
		protocol     = 2
		capabilities = 0x01 | 0x04 | 0x08 // WINK, CBOR, no MSG
	)
	p := append([]byte{}, nonce[:8]...)
	p = binary.BigEndian.AppendUint32(p, given)
	p = append(p, protocol, firmwareMajor, firmwareMinor, 0, capabilities)
	e.reply = &message{channel: ch, cmd: hidInit, payload: p}
	return e
}

func (l *link) open(ch uint32) bool {
	for _, c := range l.channels {
		if c == ch {
			return true
		}
	}
	return false
}

func (l *link) allocate() uint32 {
	for {
		l.last++
		if l.last != 0 && l.last != broadcast && l.last != l.running && !l.open(l.last) {
			break
		}
	}
	for i := 0; len(l.channels) >= maxChannels; i++ {
		if l.channels[i] != l.running {
			l.channels = append(l.channels[:i], l.channels[i+1:]...)
		}
	}
	l.channels = append(l.channels, l.last)
	return l.last
}

// expire gives up a message whose rest did not come in time, and returns the error to send; nil where
// nothing is unfinished.
func (l *link) expire() *message {
	if !l.filling {
		return nil
	}
	l.filling = false
	return hidErrorMessage(l.partial.channel, hidErrTimeout)
}

// done says that the running command has ended: the key is free for the next.
func (l *link) done() { l.running = 0 }
