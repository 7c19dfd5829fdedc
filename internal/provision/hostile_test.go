package provision_test

import (
	"errors"
	"io"
	"iter"
	"runtime"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision"
)

// endless is a reader of a beginning and then the same thing over and over, which counts what is read.
type endless struct {
	start, again string
	rest         string
	n            int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.n == 0 {
		e.rest = e.start
	}
	if e.rest == "" {
		e.rest = e.again
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	e.n += n
	return n, nil
}

// A file may be as long as it likes and hold nothing: what reads it stops soon, and has allocated little.
func TestEndlessFilesEndSoon(t *testing.T) {
	const root = `<KeyContainer xmlns="urn:ietf:params:xml:ns:keyprov:pskc">`
	spaces := strings.Repeat(" ", 4096)
	pskc := func(r io.Reader) iter.Seq2[provision.Seed, error] {
		return provision.ReadPSKC(r, provision.PSKCOptions{})
	}
	csv := func(r io.Reader) iter.Seq2[provision.Seed, error] { return provision.ReadCSV(r, hexTable) }
	for _, tt := range []struct {
		name         string
		start, again string
		read         func(io.Reader) iter.Seq2[provision.Seed, error]
	}{
		{"zero bytes as PSKC", "", strings.Repeat("\x00", 4096), pskc},
		{"spaces before the root", "", spaces, pskc},
		{"spaces in the root", root, spaces, pskc},
		{"spaces behind the root", root + "</KeyContainer>", spaces, pskc},
		{"text in an element", root + "<KeyPackage><DeviceInfo><SerialNo>", "12345678", pskc},
		{"text in an element, in many pieces", root + "<KeyPackage><DeviceInfo><SerialNo>", "1<!-- -->", pskc},
		{"text in an element, in CDATA", root + "<KeyPackage><DeviceInfo><SerialNo><![CDATA[", "12345678", pskc},
		{"a tag's name", root + "<", "aaaaaaaa", pskc},
		{"an end tag", root + "</", "aaaaaaaa", pskc},
		{"an attribute", root + `<KeyPackage x="`, "12345678", pskc},
		{"attributes", root + `<KeyPackage`, ` a="b"`, pskc},
		{"spaces in a tag", root + "<KeyPackage", spaces, pskc},
		{"a comment", root + "<!-- ", "12345678", pskc},
		{"comments", root, "<!-- -->", pskc},
		{"an instruction", root + "<?x ", "12345678", pskc},
		{"instructions", root, "<?x ?>", pskc},
		{"empty elements", root, "<a/>", pskc},
		{"empty elements in a key", root + "<KeyPackage><Key><Data>", "<Secret/>", pskc},
		{"elements in each other", root, "<a>", pskc},
		{"keys of encryption", root, "<EncryptionKey/>", pskc},
		{"a document type", "<!DOCTYPE ", "12345678", pskc},
		{"zero bytes as a table", "", strings.Repeat("\x00", 4096), csv},
		{"one line of a table", "serial,secret\n", "12345678", csv},
		{"one quoted cell", "serial,secret\n\"", "1234567\n", csv},
		{"cells in one row", "serial,secret\n", ",", csv},
		{"spaces as a table", "", spaces, csv},
		{"spaces as JSON", "", spaces, provision.ReadGraph},
		{"a string of JSON", `[{"serialNumber":"`, "12345678", provision.ReadGraph},
		{"a number of JSON", `[`, "12345678", provision.ReadGraph},
		{"fields of JSON", `{`, `"a":0,`, provision.ReadGraph},
		{"values of JSON in each other", ``, `[`, provision.ReadGraph},
		{"spaces between values of JSON", `[`, spaces, provision.ReadGraph},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := &endless{start: tt.start, again: tt.again}
			var last error
			for s, err := range tt.read(r) {
				if last = err; err == nil {
					t.Errorf("yielded %+v", s)
				}
			}
			runtime.ReadMemStats(&after)
			if !errors.Is(last, provision.ErrFile) {
				t.Errorf("got %v", last)
			}
			if r.n > 2<<20 {
				t.Errorf("read %d bytes", r.n)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 16<<20 { // garbage too
				t.Errorf("allocated %d bytes", allocated)
			}
		})
	}
	t.Run("a table of blank lines", func(t *testing.T) {
		r := &endless{start: "serial,secret\n", again: strings.Repeat(",\n\n", 10_000)}
		var last error
		for _, err := range csv(r) {
			last = err
		}
		if !errors.Is(last, provision.ErrFile) || r.n > 2<<20 {
			t.Errorf("read %d bytes, %v", r.n, last)
		}
	})
	t.Run("more than 256 MiB of tokens", func(t *testing.T) {
		r := &endless{start: root, again: "<KeyPackage><!--" + strings.Repeat(" ", 60<<10) + "--></KeyPackage>"}
		var last error
		for _, err := range pskc(r) {
			last = err
		}
		if !errors.Is(last, provision.ErrFile) || !strings.Contains(last.Error(), "longer than 256 MiB") || r.n > 257<<20 {
			t.Errorf("read %d bytes, %v", r.n, last)
		}
	})
}

func TestReadPSKCRefusesFiles(t *testing.T) {
	body := pack("1", hotpKey, format6, seedXML)
	good := container(body)
	root, _, _ := strings.Cut(good, "\n")
	for _, tt := range []struct{ name, file, want string }{
		{"refuses a document type", "<!DOCTYPE KeyContainer>\n" + good, "document type or another declaration, which is refused"},
		{"refuses entities that make more of themselves", `<!DOCTYPE k [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>` + "\n" + good, "document type or another declaration, which is refused"},
		{"refuses a document type in the middle", root + "<!DOCTYPE x>", "document type or another declaration, which is refused"},
		{"refuses other declarations", root + `<!ENTITY a SYSTEM "file:///etc/passwd">`, "document type or another declaration, which is refused"},
		{"refuses entities that are not defined", container(strings.Replace(body, ">1<", ">&passwd;<", 1)), "an entity that is not defined"},
		{"refuses entities that are not defined in attributes", container(strings.Replace(body, `Id="k"`, `Id="&nbsp;"`, 1)), "an entity that is not defined"},
		{"refuses characters that are no XML", container(strings.Replace(body, ">1<", ">&#0;<", 1)), "an entity that is not defined"},
		{"refuses a number that is no character", container(strings.Replace(body, ">1<", ">&#x110000;<", 1)), "an entity that is not defined"},
		{"refuses a & alone", container(strings.Replace(body, ">1<", ">a & b<", 1)), "a & that begins no entity"},
		{"refuses control characters", container(strings.Replace(body, ">1<", ">\x1b<", 1)), "not UTF-8, or not allowed"},
		{"refuses what is not UTF-8", container(strings.Replace(body, ">1<", ">\xff<", 1)), "not UTF-8, or not allowed"},
		{"refuses what is not UTF-8 in CDATA", container(strings.Replace(body, ">1<", "><![CDATA[\xff]]><", 1)), "not UTF-8, or not allowed"},
		{"refuses Latin-1", `<?xml version="1.0" encoding="ISO-8859-1"?>` + good, "its text is not UTF-8 but ISO-8859-1"},
		{"refuses UTF-16 by its mark", "\xfe\xff\x00<\x00k", "UTF-16"},
		{"refuses UTF-16 without its mark", "<\x00k\x00>\x00", "this is no XML"},
		{"refuses a declaration with other things in it", `<?xml version="1.0" coding="UTF-8"?>` + good, "declarations have not"},
		{"refuses XML 1.1", `<?xml version="1.1"?>` + good, "it is not XML 1.0"},
		{"refuses a declaration that is not at the beginning", good + `<?xml version="1.0"?>`, "declaration does not stand at its beginning"},
		{"refuses elements 33 deep in each other", root + strings.Repeat("<a>", 32), "stand more than 32 deep"},
		{"refuses an element that does not end", root + "<KeyPackage></Key>", "an element ends that is not open"},
		{"refuses an element that did not begin", "</KeyContainer>", "an element ends that is not open"},
		{"refuses two roots", good + good, "two documents"},
		{"refuses text behind the root", good + "x", "text outside of the document"},
		{"refuses text before the root", "x" + good, "text outside of the document"},
		{"refuses CDATA outside of the root", "<![CDATA[x]]>" + good, "text outside of the document"},
		{"refuses an attribute twice", strings.Replace(good, `Id="k"`, `Id="k" Id=""`, 1), "an attribute twice"},
		{"refuses an attribute without quotation marks", strings.Replace(good, `Id="k"`, `Id=k`, 1), "an attribute is not written as one"},
		{"refuses an attribute without value", strings.Replace(good, `Id="k"`, `Id`, 1), "an attribute is not written as one"},
		{"refuses attributes without space between", strings.Replace(good, `Id="k" `, `Id="k"`, 1), "an attribute is not written as one"},
		{"refuses an attribute with two colons", strings.Replace(good, `Id="k"`, `a:b:Id="k"`, 1), "an attribute is not written as one"},
		{"refuses a < in an attribute", strings.Replace(good, `Id="k"`, `Id="<"`, 1), "a < in a tag"},
		{"refuses a tag without name", strings.Replace(good, "<Data>", "< Data>", 1), "a tag has no name"},
		{"refuses a tag with two colons", strings.Replace(good, "<Data>", "<a:b:Data>", 1), "a tag has no name"},
		{"refuses the end of CDATA in text", container(strings.Replace(body, ">1<", ">]]><", 1)), "a ]]> in text"},
		{"refuses comments in each other", root + "<!-- <!-- --> -->", "a comment does not end as one"},
		{"refuses HTML", "<html></html>", "it has a html where a KeyContainer should be"},
		{"refuses a draft's container", `<KeyContainer xmlns="urn:ietf:params:xml:ns:keyprov:container:1.0"/>`, "no PSKC as RFC 6030"},
		{"refuses a later version", `<KeyContainer Version="2.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"/>`, "no PSKC 1.0 but 2.0"},
		{"refuses an empty file", "", "it ends in the middle"},
		{"refuses a text", "hello\n", "text outside of the document"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var last error
			for s, err := range provision.ReadPSKC(strings.NewReader(tt.file), provision.PSKCOptions{}) {
				last = err
				s.Secret.Wipe()
			}
			if !errors.Is(last, provision.ErrFile) || !strings.Contains(last.Error(), tt.want) {
				t.Errorf("got %v", last)
			}
		})
	}
	t.Run("notices a file that ends in the middle, wherever it does", func(t *testing.T) {
		whole := strings.Replace(vector(t, "rfc6030-figure6.xml"), "?>", "?><?x y?><!-- x -->", 1)
		end := strings.Index(whole, "</KeyContainer>") + len("</KeyContainer>")
		for n := range end {
			var last error
			for s, err := range provision.ReadPSKC(strings.NewReader(whole[:n]), answer(t, provision.Need{KeyName: "Pre-shared-key"}, figure6Key)) {
				last = err
				s.Secret.Wipe()
			}
			if !errors.Is(last, provision.ErrFile) || !strings.Contains(last.Error(), "it ends in the middle") {
				t.Fatalf("after %d bytes: %v", n, last)
			}
		}
	})
	t.Run("takes us-ascii, and instructions and comments around the root", func(t *testing.T) {
		file := `<?xml version="1.0" encoding="US-ASCII" standalone="yes"?><?x y?><!-- -->` + good + "<!-- --><?x?>\n"
		expect(t, provision.ReadPSKC(strings.NewReader(file), provision.PSKCOptions{}), "2: 1|| hotp SHA1 6 0 0 "+rfcSeedHex+" ")
	})
	t.Run("reads a file byte by byte", func(t *testing.T) {
		r := &slow{strings.NewReader(good)}
		expect(t, provision.ReadPSKC(r, provision.PSKCOptions{}), "2: 1|| hotp SHA1 6 0 0 "+rfcSeedHex+" ")
	})
	t.Run("gives up on a reader that reads nothing", func(t *testing.T) {
		expect(t, provision.ReadPSKC(nothing{}, provision.PSKCOptions{}), "cannot read the file: line 1: "+io.ErrNoProgress.Error())
	})
}

type slow struct{ r io.Reader }

func (s *slow) Read(b []byte) (int, error) { return s.r.Read(b[:min(1, len(b))]) }

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }
