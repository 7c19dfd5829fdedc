package audit

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"unicode/utf8"
)

// scan reads an entry's bytes in the form in which Append writes them, several times as quickly as
// encoding/json: a whole log is read to verify it. Where it returns true, e is what encoding/json
// makes of the same bytes. Where it returns false, e is half filled and the bytes may still be right.
func (e *Entry) scan(b []byte) bool {
	*e = Entry{}
	s := scanner{b: b}
	return s.object(e.scanField) && s.at == len(b)
}

// scanField reads the value of one field. The number says which it was, so that one that comes twice is
// left to encoding/json.
func (e *Entry) scanField(s *scanner, name []byte) (n int, ok bool) {
	switch string(name) {
	case "seq":
		return 0, s.uint(&e.Seq, 64)
	case "prev":
		return 1, scanSum(s.token(), &e.Prev)
	case "time":
		token := s.token()
		return 2, len(token) > 0 && e.Time.UnmarshalJSON(token) == nil
	case "request":
		return 3, s.text(&e.Request)
	case "kind":
		return 4, s.text(&e.Kind)
	case "decision":
		return 5, s.text(&e.Decision)
	case "uid":
		return 6, s.uint32(&e.UID)
	case "user":
		return 7, s.text(&e.User)
	case "service":
		return 8, s.text(&e.Service)
	case "caller_uid":
		return 9, s.uint32(&e.CallerUID)
	case "place":
		return 10, s.text(&e.Place)
	case "require":
		return 11, s.text(&e.Require)
	case "strength":
		return 12, s.text(&e.Strength)
	case "method":
		return 13, s.text(&e.Method)
	case "method_name":
		return 14, s.text(&e.MethodName)
	case "origin":
		return 15, s.text(&e.Origin)
	case "host":
		return 16, s.text(&e.Host)
	case "executable":
		return 17, s.text(&e.Executable)
	case "command_sha256":
		return 18, s.text(&e.CommandHash)
	case "self_asserted":
		e.SelfAsserted = true // a false one is left out
		return 19, s.literal("true")
	case "reason":
		return 20, s.text(&e.Reason)
	case "tried":
		return 21, s.texts(&e.Tried)
	case "grant":
		return 22, s.text(&e.Grant)
	case "ssh_key":
		return 23, s.text(&e.SSHKey)
	case "vouched":
		return 24, s.texts(&e.Vouched)
	case "receipt":
		e.Receipt = &Receipt{}
		return 25, s.object(e.Receipt.scanField)
	}
	return 0, false
}

func (r *Receipt) scanField(s *scanner, name []byte) (n int, ok bool) {
	switch string(name) {
	case "rp_id":
		return 0, s.text(&r.RPID)
	case "credential_id":
		return 1, s.bytes(&r.CredentialID)
	case "public_key":
		return 2, s.bytes(&r.PublicKey)
	case "algorithm":
		return 3, s.int(&r.Algorithm)
	case "client_data":
		return 4, s.bytes(&r.ClientData)
	case "auth_data":
		return 5, s.bytes(&r.AuthData)
	case "signature":
		return 6, s.bytes(&r.Signature)
	}
	return 0, false
}

// scanner walks JSON without spaces. Its methods return false, or nothing, for what they do not read.
type scanner struct {
	b  []byte
	at int
}

// object reads an object that is not empty, whose names are simple and come once.
func (s *scanner) object(field func(s *scanner, name []byte) (n int, ok bool)) bool {
	var seen uint32
	for open := byte('{'); ; open = ',' {
		if !s.byte(open) {
			return open == ',' && s.byte('}')
		}
		name := s.token()
		if len(name) == 0 || !s.byte(':') {
			return false
		}
		n, ok := field(s, name[1:len(name)-1])
		if !ok || seen&(1<<n) != 0 {
			return false
		}
		seen |= 1 << n
	}
}

func (s *scanner) byte(c byte) bool {
	if s.at >= len(s.b) || s.b[s.at] != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) literal(word string) bool {
	if len(s.b)-s.at < len(word) || string(s.b[s.at:s.at+len(word)]) != word {
		return false
	}
	s.at += len(word)
	return true
}

// token returns a string with its quotes, if nothing in it has another meaning: no escapes, nothing
// beyond ASCII.
func (s *scanner) token() []byte {
	token, simple := s.quoted()
	if !simple {
		return nil
	}
	return token
}

// quoted returns a string with its quotes.
func (s *scanner) quoted() (token []byte, simple bool) {
	from := s.at
	if !s.byte('"') {
		return nil, false
	}
	simple = true
	for ; s.at < len(s.b); s.at++ {
		switch c := s.b[s.at]; {
		case c == '"':
			s.at++
			return s.b[from:s.at], simple
		case c == '\\':
			simple = false
			s.at++
		case c < ' ':
			return nil, false
		case c >= utf8.RuneSelf:
			simple = false
		}
	}
	return nil, false
}

func (s *scanner) text(v *string) bool {
	token, simple := s.quoted()
	if simple {
		*v = string(token[1 : len(token)-1])
		return true
	}
	return token != nil && json.Unmarshal(token, v) == nil
}

func (s *scanner) texts(v *[]string) bool {
	list := []string{}
	for open := byte('['); s.byte(open); open = ',' {
		var text string
		if !s.text(&text) {
			return false
		}
		list = append(list, text)
	}
	*v = list
	return len(list) > 0 && s.byte(']')
}

// bytes reads Base64, or null.
func (s *scanner) bytes(v *[]byte) bool {
	if s.literal("null") {
		return true
	}
	token := s.token()
	if token == nil {
		return false
	}
	text := token[1 : len(token)-1]
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(out, text)
	*v = out[:n]
	return err == nil
}

// uint reads a number below 10^18, which is more than there will be entries.
func (s *scanner) uint(v *uint64, bits int) bool {
	from := s.at
	var n uint64
	for ; s.at < len(s.b) && s.b[s.at] >= '0' && s.b[s.at] <= '9'; s.at++ {
		n = n*10 + uint64(s.b[s.at]-'0')
	}
	*v = n
	digits := s.at - from
	return digits > 0 && digits <= 18 && (digits == 1 || s.b[from] != '0') && n>>(bits-1)>>1 == 0
}

func (s *scanner) uint32(v *uint32) bool {
	var n uint64
	ok := s.uint(&n, 32)
	*v = uint32(n)
	return ok
}

func (s *scanner) int(v *int) bool {
	negative := s.byte('-')
	var n uint64
	ok := s.uint(&n, 31)
	*v = int(n)
	if negative {
		*v = -*v
	}
	return ok
}

// hexSum is the length of a Sum's JSON.
const hexSum = 2 + 2*len(Sum{})

// scanSum reads a Sum's JSON.
func scanSum(token []byte, v *Sum) bool {
	if len(token) != hexSum || token[0] != '"' || token[hexSum-1] != '"' {
		return false
	}
	_, err := hex.Decode(v[:], token[1:hexSum-1])
	return err == nil
}
