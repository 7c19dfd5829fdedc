package provision

import (
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/fobproject/fob/internal/secret"
)

// pskcNamespace is RFC 6030's. Drafts before it had others, and other elements.
const pskcNamespace = "urn:ietf:params:xml:ns:keyprov:pskc"

// PSKCOptions says how to read a PSKC file.
type PSKCOptions struct {
	// Key is asked for what decrypts the file, once, when the first encrypted value is met; never if
	// there is none. ReadPSKC wipes what it returns. If it is nil, encrypted files are refused.
	Key func(Need) (*secret.Secret, error)
}

// Need says what decrypts a file.
type Need struct {
	// Passphrase says that it is a passphrase. It is a key of 16, 24 or 32 bytes otherwise.
	Passphrase bool
	KeyName    string // what the file calls it; may be empty; untrusted
}

// ReadPSKC reads a container of keys (RFC 6030): HOTP and TOTP keys, plain or encrypted with AES-CBC
// under a pre-shared key or a passphrase (PBKDF2). It yields each token as soon as it was read, a
// *RowError in its place if it alone cannot be taken, and at the end what ended the file before its
// end: an error that wraps ErrFile, ErrEncrypted or ErrWrongKey. It reads r once.
//
// Elements are told by their names and places; prefixes are not looked at below the root. Signatures
// are not checked; policies, dates, Time and TimeDrift are not looked at. Everything but encrypted
// values could be changed by whoever had the file.
func ReadPSKC(r io.Reader, o PSKCOptions) iter.Seq2[Seed, error] {
	return func(yield func(Seed, error) bool) {
		p := pskcReader{xml: newXMLScanner(r), rows: rows{yield: yield}, unlock: unlocker{ask: o.Key}}
		defer p.wipe()
		p.rows.end(p.read())
	}
}

type pskcReader struct {
	xml    xmlScanner
	rows   rows
	unlock unlocker
	device pskcDevice
	last   pskcDevice // of the package before
	key    pskcKey
}

// pskcDevice is what stands beside the keys of a package.
type pskcDevice struct{ manufacturer, serial, model, user string }

// pskcKey is a key as it is written. It is used again for the next.
type pskcKey struct {
	id, algorithm, suite, encoding, length, user string
	checkDigits                                  bool
	secret, counter, interval                    pskcValue
}

func (p *pskcReader) wipe() {
	p.xml.wipe()
	p.unlock.wipe()
	for _, v := range []*pskcValue{&p.key.secret, &p.key.counter, &p.key.interval} {
		v.reset()
	}
}

func (p *pskcReader) read() error {
	x := &p.xml
	if err := x.bom(); err != nil {
		return err
	}
	if x.child(0) {
		if err := p.root(); err != nil {
			return err
		}
	}
	for x.child(1) {
		switch string(x.local) {
		case "EncryptionKey":
			if err := p.unlock.readEncryptionKey(x); err != nil {
				return err
			}
		case "MACMethod":
			p.unlock.readMACMethod(x)
		case "KeyPackage":
			if err := p.keyPackage(); err != nil {
				return err
			}
			x.mark()
		}
	}
	for x.next() != xmlDone { // what stands behind the root must be XML too
	}
	return x.fail
}

// root checks that this is a container of the version that is known.
func (p *pskcReader) root() error {
	x := &p.xml
	namespace := x.attr("xmlns")
	if len(x.prefix) > 0 {
		namespace = x.attr("xmlns:" + string(x.prefix))
	}
	version := string(x.attr("Version"))
	switch {
	case string(x.local) != "KeyContainer":
		return x.fault("this is no PSKC file: it has a %s where a KeyContainer should be", shown(string(x.local)))
	case len(namespace) > 0 && string(namespace) != pskcNamespace:
		return x.fault("this is no PSKC as RFC 6030 has it, but of a draft or another kind: %s", shown(string(namespace)))
	case version != "" && version != "1.0" && version != "1":
		return x.fault("this is no PSKC 1.0 but %s", shown(version))
	}
	return nil
}

func (p *pskcReader) keyPackage() error {
	x := &p.xml
	p.last, p.device = p.device, pskcDevice{}
	line, keys := x.tagLine, 0
	for x.child(2) {
		switch string(x.local) {
		case "DeviceInfo":
			p.readDevice()
		case "Key":
			if keys++; keys > 1 {
				line = x.tagLine
			}
			p.readKey()
			if x.fail != nil {
				return x.fail
			}
			if err := p.put(line); err != nil {
				return err
			}
		}
	}
	if keys == 0 && x.fail == nil {
		return p.rows.put(Seed{Line: line, Serial: p.device.serial}, "it has no key")
	}
	return x.fail
}

// readDevice reads DeviceInfo (RFC 6030 §4.3.1).
func (p *pskcReader) readDevice() {
	x := &p.xml
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "Manufacturer":
			p.device.manufacturer = again(p.last.manufacturer, x.content())
		case "SerialNo":
			p.device.serial = string(x.content())
		case "Model":
			p.device.model = again(p.last.model, x.content())
		case "UserId":
			p.device.user = string(x.content())
		}
	}
}

// again is text, without a copy of its own where it is what it was: most tokens of a file are of one
// make.
func again(before string, text []byte) string {
	if before == string(text) {
		return before
	}
	return string(text)
}

// readKey reads Key (RFC 6030 §4.3.3).
func (p *pskcReader) readKey() {
	x, k := &p.xml, &p.key
	for _, v := range []*pskcValue{&k.secret, &k.counter, &k.interval} {
		v.reset()
	}
	*k = pskcKey{
		id: string(x.attr("Id")), algorithm: again(k.algorithm, x.attr("Algorithm")),
		secret: k.secret, counter: k.counter, interval: k.interval,
	}
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "AlgorithmParameters":
			p.readParameters()
		case "Data":
			p.readData()
		case "UserId":
			k.user = string(x.content())
		}
	}
}

func (p *pskcReader) readParameters() {
	x, k := &p.xml, &p.key
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "Suite":
			k.suite = string(x.content())
		case "ResponseFormat":
			k.length, k.encoding = string(x.attr("Length")), string(x.attr("Encoding"))
			check := string(x.attr("CheckDigits"))
			k.checkDigits = check == "true" || check == "1"
		}
	}
}

func (p *pskcReader) readData() {
	x, k := &p.xml, &p.key
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "Secret":
			k.secret.read(x)
		case "Counter":
			k.counter.read(x)
		case "TimeInterval":
			k.interval.read(x)
		}
	}
}

// put hands on the key that was read.
func (p *pskcReader) put(line int) error {
	k := &p.key
	s := Seed{
		Line: line, Serial: p.device.serial, Manufacturer: p.device.manufacturer, Model: p.device.model,
		Kind: pskcKind(k.algorithm), Algorithm: SHA1, User: k.user,
	}
	if strings.TrimSpace(s.Serial) == "" {
		s.Serial = k.id
	}
	if s.User == "" {
		s.User = p.device.user
	}
	reason, err := p.fill(&s)
	if err != nil {
		s.Secret.Wipe()
		return err
	}
	return p.rows.put(s, reason)
}

// fill sets what the key's parameters and data say, or tells why it cannot.
func (p *pskcReader) fill(s *Seed) (reason string, err error) {
	k := &p.key
	switch {
	case k.algorithm == "":
		return "it does not say what its algorithm is", nil
	case s.Kind == "":
		return fmt.Sprintf("its algorithm %s is neither HOTP nor TOTP", shown(k.algorithm)), nil
	case k.encoding != "" && !strings.EqualFold(k.encoding, "DECIMAL"):
		return fmt.Sprintf("its codes are %s, not decimal", shown(k.encoding)), nil
	case k.checkDigits:
		return "its codes have a check digit", nil
	}
	if k.suite != "" {
		if s.Algorithm = ParseAlgorithm(k.suite); s.Algorithm != SHA1 && s.Algorithm != SHA256 && s.Algorithm != SHA512 {
			return fmt.Sprintf("its algorithm %s is none of SHA1, SHA256 and SHA512", shown(k.suite)), nil
		}
	}
	if s.Digits = defaultDigits; k.length != "" {
		s.Digits = parseSmall([]byte(k.length))
	}
	switch s.Kind {
	case HOTP:
		n, _, reason, err := p.number(&k.counter)
		if reason != "" || err != nil {
			return about("counter", reason), err
		}
		s.Counter = n
	case TOTP:
		n, found, reason, err := p.number(&k.interval)
		if reason != "" || err != nil {
			return about("time interval", reason), err
		}
		if s.Period = defaultPeriod; found {
			s.Period = int(min(n, maxPeriod+1))
		}
	}
	switch v := &k.secret; {
	case v.encrypted:
		var plain []byte
		if plain, reason, err = p.unlock.open(v); reason != "" || err != nil {
			return about("seed", reason), err
		}
		s.Secret = secret.New(plain)
	case v.twice:
		return about("seed", "is there twice"), nil
	case v.plain == nil:
		return "it has no seed", nil
	default:
		if s.Secret, err = ParseSeed(v.plain, EncodingBase64); err != nil {
			return err.Error(), nil
		}
	}
	return "", nil
}

func about(what, reason string) string {
	if reason == "" {
		return ""
	}
	return "its " + what + " " + reason
}

// pskcKind knows the URIs of RFC 6030 and of the drafts around it, which makers of tokens use.
func pskcKind(uri string) Kind {
	for _, prefix := range []string{pskcNamespace + ":", pskcNamespace + "#", "http://www.ietf.org/keyprov/pskc#"} {
		if len(uri) > len(prefix) && strings.EqualFold(uri[:len(prefix)], prefix) {
			switch kind := parseKind(uri[len(prefix):]); kind {
			case HOTP, TOTP:
				return kind
			}
		}
	}
	return ""
}

// number is a value that is an integer: decimal where it is plain, decimal or 8 bytes at most, the
// greatest first, where it was encrypted (RFC 6030 §4.2).
func (p *pskcReader) number(v *pskcValue) (n uint64, found bool, reason string, err error) {
	text := v.plain
	switch {
	case v.twice:
		return 0, false, "is there twice", nil
	case v.encrypted:
		if text, reason, err = p.unlock.open(v); reason != "" || err != nil {
			return 0, false, reason, err
		}
		if _, decimal := parseCount(text); !decimal && len(text) > 0 && len(text) <= 8 {
			for _, c := range text {
				n = n<<8 | uint64(c)
			}
			return n, true, "", nil
		}
	case v.plain == nil:
		return 0, false, "", nil
	}
	n, ok := parseCount(text)
	if !ok {
		return 0, false, "is no number", nil
	}
	return n, true, "", nil
}

// pskcValue is a value of a key's data (RFC 6030 §4.2 and §6.1), as it is written.
type pskcValue struct {
	plain     []byte // nil if there is none
	encrypted bool
	twice     bool
	algorithm string // of the encryption: a URI
	cipher    []byte // initialization vector and ciphertext
	mac       []byte // empty if there is none
	unclear   bool   // what should be Base64 is not

	room []byte // for plain
}

// reset makes room for the next value, and wipes this one.
func (v *pskcValue) reset() {
	clear(v.room)
	*v = pskcValue{room: v.room, algorithm: v.algorithm, cipher: v.cipher[:0], mac: v.mac[:0]}
}

func (v *pskcValue) read(x *xmlScanner) {
	if v.plain != nil || v.encrypted {
		v.twice = true
	}
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "PlainValue":
			v.twice = v.twice || v.plain != nil || v.encrypted
			if v.room == nil {
				v.room = make([]byte, maxSeedText+1) // more is too long anyway
			}
			v.plain = v.room[:copy(v.room, x.content())]
		case "EncryptedValue":
			v.twice = v.twice || v.plain != nil || v.encrypted
			v.readEncrypted(x)
		case "ValueMAC":
			v.mac = v.base64(v.mac[:0], x.content())
		}
	}
}

// readEncrypted reads the element at hand, of XML Encryption's EncryptedDataType.
func (v *pskcValue) readEncrypted(x *xmlScanner) {
	v.encrypted, v.cipher = true, v.cipher[:0]
	before := v.algorithm
	v.algorithm = ""
	for within := x.depth; x.child(within); {
		switch string(x.local) {
		case "EncryptionMethod":
			v.algorithm = again(before, x.attr("Algorithm"))
		case "CipherData":
			for within := x.depth; x.child(within); {
				if string(x.local) == "CipherValue" {
					v.cipher = v.base64(v.cipher[:0], x.content())
				}
			}
		}
	}
}

// base64 appends what text stands for.
func (v *pskcValue) base64(to, text []byte) []byte {
	bare := text[:0]
	for _, c := range text {
		if !isXMLSpace(c) {
			bare = append(bare, c)
		}
	}
	b, err := base64.StdEncoding.AppendDecode(to, bare)
	if err != nil {
		v.unclear = true
	}
	return b
}
