package journal

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// The kinds of messages. What they mean, and what to do, is said in packaging/journal/fob.catalog, which
// "journalctl -x" shows.
const (
	// MessageIDHead says where the log of decisions stood: FOB_INSTANCE, FOB_SEQ (the newest entry's number, 0
	// for an empty log) and FOB_HASH (its hash, hexadecimal).
	MessageIDHead = "01caa381b23c4046b9ee8f54a877f959"
	// MessageIDReport says that a person reported a sign-in as not theirs: FOB_INSTANCE, FOB_SEQ (the
	// decision's entry in the log), FOB_REQUEST, FOB_USER, FOB_UID, FOB_SERVICE, FOB_PLACE, FOB_ORIGIN and
	// FOB_HOST; the last two are left out where they are not known.
	MessageIDReport = "c4f6c51050ef4774941cdffa6f0c8c1b"
)

// HeadMessage is what goes to the journal of the log's head.
func HeadMessage(instance string, seq uint64, hash [32]byte) Message {
	sum := hex.EncodeToString(hash[:])
	return Message{
		ID:       MessageIDHead,
		Priority: Info,
		Text:     fmt.Sprintf("the newest entry of the log of decisions is number %d, with the hash %s", seq, sum),
		Fields:   map[string]string{"INSTANCE": instance, "SEQ": strconv.FormatUint(seq, 10), "HASH": sum},
	}
}

// Report is a sign-in that a person reported. What the requester claimed is to be cleaned before.
type Report struct {
	Instance string
	Seq      uint64 // of its entry in the log
	Request  string
	User     string
	UID      uint32
	Service  string
	Place    string
	Origin   string // may be empty
	Host     string // may be empty
}

// Message is what goes to the journal of a report.
func (r Report) Message() Message {
	text := fmt.Sprintf("%s reported a sign-in at %s that they had not begun", r.User, r.Service)
	if r.Origin != "" {
		text += ", from " + r.Origin
	}
	return Message{
		ID:       MessageIDReport,
		Priority: Warning,
		Text:     text,
		Fields: map[string]string{
			"INSTANCE": r.Instance, "SEQ": strconv.FormatUint(r.Seq, 10), "REQUEST": r.Request, "USER": r.User,
			"UID": strconv.FormatUint(uint64(r.UID), 10), "SERVICE": r.Service, "PLACE": r.Place, "ORIGIN": r.Origin, "HOST": r.Host,
		},
	}
}
