package provision

import (
	"bytes"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// graphDevice is Graph's hardwareOathTokenAuthenticationMethodDevice. What else it has is not looked
// at.
type graphDevice struct {
	Serial       json.RawMessage `json:"serialNumber"`
	Manufacturer json.RawMessage `json:"manufacturer"`
	Model        json.RawMessage `json:"model"`
	Secret       json.RawMessage `json:"secretKey"`
	Period       json.RawMessage `json:"timeIntervalInSeconds"`
	Hash         json.RawMessage `json:"hashFunction"`
	AssignTo     json.RawMessage `json:"assignTo"`
}

// ReadGraph reads tokens as Microsoft Graph takes them: TOTP, SHA-1 or SHA-256, 6 digits, seeds in
// Base32. The file is one token, an array of them, or an object that has them in its "value". It
// yields as ReadPSKC does, and its last error wraps ErrFile.
func ReadGraph(r io.Reader) iter.Seq2[Seed, error] {
	return func(yield func(Seed, error) bool) {
		g := graphReader{json: jsonScanner{newWindow(r)}, rows: rows{yield: yield}}
		defer g.json.wipe()
		g.rows.end(g.read())
	}
}

type graphReader struct {
	json jsonScanner
	rows rows
}

func (g *graphReader) read() error {
	if err := g.json.bom(); err != nil {
		return err
	}
	c, err := g.json.within()
	if err != nil {
		return err
	}
	switch c {
	case '[':
		err = g.list()
	case '{':
		err = g.object()
	default:
		err = g.json.fault("this is no JSON of tokens: it begins with neither { nor [")
	}
	if err != nil {
		return err
	}
	return g.json.end()
}

// object reads the outermost object: what a list of tokens is in, or one token.
func (g *graphReader) object() error {
	j, line := &g.json, g.json.line
	j.take(1)
	var token graphDevice
	defer token.wipe()
	list, fields := false, 0
	for first := true; ; first = false {
		more, err := j.another('}', first)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		name, err := j.name()
		if err != nil {
			return err
		}
		c, err := j.within()
		if err != nil {
			return err
		}
		if name == "value" && c == '[' {
			list = true
			if err := g.list(); err != nil {
				return err
			}
			continue
		}
		value, err := j.value()
		if err != nil {
			return err
		}
		if field := token.field(name); field != nil {
			clear(*field)
			*field = bytes.Clone(value)
			fields++
		}
	}
	switch {
	case list:
		return nil
	case fields == 0:
		return j.fault("it has no tokens: there is no list called value in it")
	}
	return g.put(Seed{Line: line}, &token)
}

// list reads an array of tokens.
func (g *graphReader) list() error {
	j := &g.json
	j.take(1)
	for first := true; ; first = false {
		more, err := j.another(']', first)
		if err != nil || !more {
			return err
		}
		s := Seed{Line: j.line}
		raw, err := j.value()
		if err != nil {
			return err
		}
		if err := g.token(s, raw); err != nil {
			return err
		}
		j.mark()
	}
}

func (g *graphReader) token(s Seed, raw []byte) error {
	var token graphDevice
	defer token.wipe()
	switch {
	case !utf8.Valid(raw):
		return g.rows.put(s, "it has text that is not UTF-8")
	case raw[0] != '{' || json.Unmarshal(raw, &token) != nil:
		return g.rows.put(s, "it is no JSON object")
	}
	return g.put(s, &token)
}

// put hands on a token.
func (g *graphReader) put(s Seed, token *graphDevice) error {
	reason := token.fill(&s)
	return g.rows.put(s, reason)
}

// fill sets what the token is, or tells why it cannot.
func (d *graphDevice) fill(s *Seed) (reason string) {
	s.Kind, s.Algorithm, s.Digits = TOTP, SHA1, defaultDigits
	var hash string
	var owner struct {
		ID string `json:"id"`
	}
	for _, text := range []struct {
		name string
		from json.RawMessage
		to   any
	}{
		{"serialNumber", d.Serial, &s.Serial},
		{"manufacturer", d.Manufacturer, &s.Manufacturer},
		{"model", d.Model, &s.Model},
		{"hashFunction", d.Hash, &hash},
		{"assignTo", d.AssignTo, &owner},
	} {
		// null leaves it empty.
		if len(text.from) > 0 && json.Unmarshal(text.from, text.to) != nil {
			return "its " + text.name + " is not written as Graph does"
		}
	}
	s.User = owner.ID
	if hash != "" {
		if s.Algorithm = ParseAlgorithm(hash); s.Algorithm != SHA1 && s.Algorithm != SHA256 {
			return "its hashFunction is neither hmacsha1 nor hmacsha256"
		}
	}
	s.Period = parseSmall(bytes.TrimSpace(unquoteJSON(d.Period)))
	seed, err := ParseSeed(unquoteJSON(d.Secret), EncodingBase32)
	if err != nil {
		return err.Error()
	}
	s.Secret = seed
	return ""
}

// unquoteJSON is the text between a value's quotation marks, without looking for escapes: neither
// numbers nor seeds have any. Nothing is left of null.
func unquoteJSON(raw []byte) []byte {
	switch {
	case string(raw) == "null":
		return nil
	case len(raw) >= 2 && raw[0] == '"':
		return raw[1 : len(raw)-1]
	}
	return raw
}

// field is the field of that name, or nil.
func (d *graphDevice) field(name string) *json.RawMessage {
	switch strings.ToLower(name) { // as encoding/json does
	case "serialnumber":
		return &d.Serial
	case "manufacturer":
		return &d.Manufacturer
	case "model":
		return &d.Model
	case "secretkey":
		return &d.Secret
	case "timeintervalinseconds":
		return &d.Period
	case "hashfunction":
		return &d.Hash
	case "assignto":
		return &d.AssignTo
	}
	return nil
}

func (d *graphDevice) wipe() { clear(d.Secret) }

// WriteGraph writes the tokens that ReadGraph reads, as Graph takes them in one request. A token that
// Graph cannot take ends it with a *RowError: one that is not TOTP with SHA-1 or SHA-256 and 6 digits.
// An error that seeds yields ends it too. What was written until then is no whole file.
func WriteGraph(w io.Writer, seeds iter.Seq2[Seed, error]) error {
	out := newOutput(w)
	defer out.wipe()
	out.add(`{"@context":"#$delta","value":[`)
	n := 0
	for s, err := range seeds {
		if err != nil {
			return err
		}
		s.tidy()
		if err := refusal(&s, notGraph(&s)); err != nil {
			return err
		}
		if n++; n > 1 {
			out.add(",")
		}
		out.add("\n", `{"@contentId":"`, strconv.Itoa(n), `","serialNumber":`)
		out.jsonText(s.Serial)
		out.add(`,"manufacturer":`)
		out.jsonText(s.Manufacturer)
		out.add(`,"model":`)
		out.jsonText(s.Model)
		out.add(`,"secretKey":"`)
		out.b = base32.StdEncoding.WithPadding(base32.NoPadding).AppendEncode(out.b, s.Secret.Reveal())
		out.add(`","timeIntervalInSeconds":`, strconv.Itoa(s.Period), `,"hashFunction":"hmac`, strings.ToLower(string(s.Algorithm)), `"`)
		if s.User != "" {
			out.add(`,"assignTo":{"id":`)
			out.jsonText(s.User)
			out.add("}")
		}
		out.add("}")
		if err := out.flush(outputLen); err != nil {
			return err
		}
	}
	out.add("\n]}\n")
	return out.flush(0)
}

// notGraph tells why Graph cannot take a token, or nothing.
func notGraph(s *Seed) string {
	switch {
	case s.Kind != TOTP:
		return "it is HOTP, and Graph takes TOTP alone"
	case s.Algorithm != SHA1 && s.Algorithm != SHA256:
		return fmt.Sprintf("its algorithm is %s, and Graph takes SHA1 and SHA256 alone", s.Algorithm)
	case s.Digits != defaultDigits:
		return fmt.Sprintf("its codes have %d digits, and Graph takes %d alone", s.Digits, defaultDigits)
	}
	return ""
}

// jsonText adds a string of JSON.
func (o *output) jsonText(text string) {
	b, err := json.Marshal(text)
	if err != nil { // a string is always JSON
		b = []byte(`""`)
	}
	o.b = append(o.b, b...)
}
