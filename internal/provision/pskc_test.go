package provision_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// figure6Key is the pre-shared key of RFC 6030's figure 6, and of most vectors that others made.
const figure6Key = "12345678901234567890123456789012"

// answer is what a person does who is asked for a key or a passphrase: hexadecimal or text.
func answer(t testing.TB, want provision.Need, value string) provision.PSKCOptions {
	asked := false
	return provision.PSKCOptions{Key: func(need provision.Need) (*secret.Secret, error) {
		if asked || need != want {
			t.Errorf("asked for %+v, want %+v once", need, want)
		}
		asked = true
		if need.Passphrase {
			return secret.New([]byte(value)), nil
		}
		key, err := hex.DecodeString(value)
		return secret.New(key), err
	}}
}

func vector(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReadPSKC(t *testing.T) {
	named := provision.Need{KeyName: "Pre-shared-key"}
	const seed32 = rfcSeedHex + "313233343536373839303132"
	for _, tt := range []struct {
		name, file string
		options    provision.PSKCOptions
		want       []string
	}{
		{"reads figure 2 and refuses its four bytes", "rfc6030-figure2.xml", provision.PSKCOptions{},
			[]string{"line 5 (serial 12345678): cannot read the seed: it is shorter than 16 bytes"}},
		{"reads figure 3", "rfc6030-figure3.xml", provision.PSKCOptions{},
			[]string{"5: 987654321|Manufacturer| hotp SHA1 8 0 0 " + rfcSeedHex + " UID=jsmith,DC=example-bank,DC=net"}},
		{"reads figure 4, whose seed is elsewhere", "rfc6030-figure4.xml", provision.PSKCOptions{},
			[]string{"line 5 (serial 987654321): it has no seed"}},
		{"reads figure 5, whose second key is a PIN", "rfc6030-figure5.xml", provision.PSKCOptions{}, []string{
			"5: 987654321|Manufacturer| hotp SHA1 8 0 0 " + rfcSeedHex + " ",
			"line 36 (serial 987654321): its algorithm urn:ietf:params:xml:ns:keyprov:pskc:pin is neither HOTP nor TOTP"}},
		{"reads figure 6, with its pre-shared key", "rfc6030-figure6.xml", answer(t, named, figure6Key),
			[]string{"20: 987654321|Manufacturer| hotp SHA1 8 0 0 " + rfcSeedHex + " "}},
		{"reads figure 7, with its passphrase", "rfc6030-figure7.xml", answer(t, provision.Need{Passphrase: true, KeyName: "My Password 1"}, "qwerty"),
			[]string{"38: 987654321|TokenVendorAcme| hotp SHA1 8 0 0 " + rfcSeedHex + " "}},
		{"reads figure 8, and names its RSA", "rfc6030-figure8.xml", provision.PSKCOptions{},
			[]string{"line 23 (serial 987654321): its seed is encrypted in a way that cannot be read: http://www.w3.org/2001/04/xmlenc#rsa_1_5"}},
		{"reads figure 9, and passes over its signature", "rfc6030-figure9.xml", provision.PSKCOptions{},
			[]string{"7: 0755225266|TokenVendorAcme| hotp SHA1 6 0 0 " + rfcSeedHex + " "}},
		{"reads figure 10, two of whose keys are one device's", "rfc6030-figure10.xml", provision.PSKCOptions{}, []string{
			"4: 654321|TokenVendorAcme| hotp SHA1 8 0 0 " + rfcSeedHex + " ",
			"31: 123456|TokenVendorAcme| hotp SHA1 8 0 0 " + rfcSeedHex + " ",
			"58: 9999999|TokenVendorAcme| hotp SHA1 8 0 0 " + rfcSeedHex + " ",
			"line 85 (serial 9999999): its serial number is that of the token in line 58"}},
		{"reads the profiles' TOTP", "pskc-profiles-totp.xml", provision.PSKCOptions{},
			[]string{"3: 987654323|TokenVendorAcme| totp SHA1 6 30 0 " + rfcSeedHex + " "}},
		{"reads python-pskc's AES-192, HMAC-SHA-256 and encrypted counter", "python-pskc-psk-aes192.xml",
			answer(t, named, strings.Repeat("1234567890", 10)[:48]), []string{
				"14: P-0001|Acme| hotp SHA1 8 0 4711 " + rfcSeedHex + " anna",
				"46: P-0002|Acme|Ö 2 totp SHA256 6 60 0 " + seed32 + " bert"}},
		{"reads python-pskc's AES-256 and HMAC-SHA-512", "python-pskc-psk-aes256.xml",
			answer(t, named, strings.Repeat("1234567890", 10)[:64]), []string{
				"14: P-0001|Acme| hotp SHA1 8 0 4711 " + rfcSeedHex + " anna",
				"46: P-0002|Acme|Ö 2 totp SHA256 6 60 0 " + seed32 + " bert"}},
		{"reads python-pskc's passphrase with PBKDF2 and HMAC-SHA-256", "python-pskc-passphrase-aes256.xml",
			answer(t, provision.Need{Passphrase: true}, "correct horse"), []string{
				"25: P-0001|Acme| hotp SHA1 8 0 4711 " + rfcSeedHex + " anna",
				"51: P-0002|Acme|Ö 2 totp SHA256 6 60 0 " + seed32 + " bert"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, provision.ReadPSKC(strings.NewReader(vector(t, tt.file)), tt.options), tt.want...)
		})
	}
}

// container is a container with these packages, each on a line of its own.
func container(packages ...string) string {
	return `<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc">` + "\n" + strings.Join(packages, "\n") + "\n</KeyContainer>\n"
}

// pack is a package with a device, a key's attributes, parameters and data.
func pack(serial, attributes, parameters, data string) string {
	return fmt.Sprintf("<KeyPackage><DeviceInfo><SerialNo>%s</SerialNo></DeviceInfo><Key %s><AlgorithmParameters>%s</AlgorithmParameters><Data>%s</Data></Key></KeyPackage>",
		serial, attributes, parameters, data)
}

const (
	hotpKey = `Id="k" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp"`
	totpKey = `Id="k" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp"`
	format6 = `<ResponseFormat Length="6" Encoding="DECIMAL"/>`
	seedXML = `<Secret><PlainValue>` + rfcSeedBase64 + `</PlainValue></Secret>`
)

func TestReadPSKCOfPlainKeys(t *testing.T) {
	hotp := func(parameters, data string) string { return pack("1", hotpKey, parameters, data) }
	totp := func(parameters, data string) string { return pack("1", totpKey, parameters, data) }
	for _, tt := range []struct{ name, pack, want string }{
		{"takes a counter", hotp(format6, seedXML+"<Counter><PlainValue> 42 </PlainValue></Counter>"), "2: 1|| hotp SHA1 6 0 42 " + rfcSeedHex + " "},
		{"takes no counter for 0, no period for 30 and no length for 6", totp("", seedXML), "2: 1|| totp SHA1 6 30 0 " + rfcSeedHex + " "},
		{"takes a time interval", totp(format6, seedXML+"<Time><PlainValue>5</PlainValue></Time><TimeInterval><PlainValue>60</PlainValue></TimeInterval>"), "2: 1|| totp SHA1 6 60 0 " + rfcSeedHex + " "},
		{"takes HMAC-SHA256", totp("<Suite>HMAC-SHA256</Suite>"+format6, seedXML), "2: 1|| totp SHA256 6 30 0 " + rfcSeedHex + " "},
		{"takes HMAC-SHA-512", totp("<Suite> hmac-sha-512 </Suite>"+format6, seedXML), "2: 1|| totp SHA512 6 30 0 " + rfcSeedHex + " "},
		{"takes SHA1", totp("<Suite>SHA1</Suite>"+format6, seedXML), "2: 1|| totp SHA1 6 30 0 " + rfcSeedHex + " "},
		{"takes the drafts' names of algorithms", pack("1", `Algorithm="http://www.ietf.org/keyprov/pskc#hotp"`, format6, seedXML), "2: 1|| hotp SHA1 6 0 0 " + rfcSeedHex + " "},
		{"takes the drafts' names of algorithms for TOTP", pack("1", `Algorithm="http://www.ietf.org/keyprov/pskc#TOTP"`, format6, seedXML), "2: 1|| totp SHA1 6 30 0 " + rfcSeedHex + " "},
		{"takes the key's id where there is no serial number", pack(" ", hotpKey, format6, seedXML), "2: k|| hotp SHA1 6 0 0 " + rfcSeedHex + " "},
		{"takes the device's user, and a model, and no registry's name",
			`<KeyPackage><DeviceInfo><Manufacturer>oath.AC</Manufacturer><SerialNo>1</SerialNo><Model>T&#x20;1</Model><UserId>a&amp;b</UserId></DeviceInfo><Key ` + hotpKey + `><Data>` + seedXML + `</Data></Key></KeyPackage>`,
			"2: 1|AC|T 1 hotp SHA1 6 0 0 " + rfcSeedHex + " a&b"},
		{"takes CDATA, comments and instructions in text", pack("<![CDATA[1<]]><!-- 3 --><?x 4?>2", hotpKey, format6, seedXML), "2: 1<2|| hotp SHA1 6 0 0 " + rfcSeedHex + " "},
		{"passes over what extends it", hotp(format6+"<Extensions><Suite>x</Suite></Extensions>", "<Extensions><Secret><PlainValue>x</PlainValue></Secret></Extensions>"+seedXML), "2: 1|| hotp SHA1 6 0 0 " + rfcSeedHex + " "},

		{"refuses a package without a key", "<KeyPackage><DeviceInfo><SerialNo>1</SerialNo></DeviceInfo></KeyPackage>", "line 2 (serial 1): it has no key"},
		{"refuses a key without serial number and id", pack("", `Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp"`, format6, seedXML), "line 2: it has no serial number"},
		{"refuses a serial number of 65 characters", pack(strings.Repeat("1", 65), hotpKey, format6, seedXML), "line 2: its serial number is longer than 64 characters"},
		{"refuses a serial number with a bidirectional control", pack("1&#x202E;2", hotpKey, format6, seedXML), "line 2: its serial number has control characters…"},
		{"refuses a key without algorithm", pack("1", `Id="k"`, format6, seedXML), "line 2 (serial 1): it does not say what its algorithm is"},
		{"names another algorithm, cleaned", pack("1", `Algorithm="urn:acme:&#x202E;ocra&#10;x"`, format6, seedXML), "line 2 (serial 1): its algorithm urn:acme:ocra x is neither HOTP nor TOTP"},
		{"names another algorithm, cut", pack("1", `Algorithm="`+strings.Repeat("a", 10_000)+`"`, format6, seedXML), "line 2 (serial 1): its algorithm " + strings.Repeat("a", 80) + "… is neither HOTP nor TOTP"},
		{"refuses another hash", totp("<Suite>HMAC-MD5</Suite>"+format6, seedXML), "line 2 (serial 1): its algorithm HMAC-MD5 is none of SHA1, SHA256 and SHA512"},
		{"refuses codes in hexadecimal", hotp(`<ResponseFormat Length="6" Encoding="HEXADECIMAL"/>`, seedXML), "line 2 (serial 1): its codes are HEXADECIMAL, not decimal"},
		{"refuses codes with a check digit", hotp(`<ResponseFormat Length="6" Encoding="DECIMAL" CheckDigits="true"/>`, seedXML), "line 2 (serial 1): its codes have a check digit"},
		{"refuses 0 digits", hotp(`<ResponseFormat Length="0" Encoding="DECIMAL"/>`, seedXML), "line 2 (serial 1): its codes do not have 6 to 8 digits"},
		{"refuses 99 digits", hotp(`<ResponseFormat Length="99" Encoding="DECIMAL"/>`, seedXML), "line 2 (serial 1): its codes do not have 6 to 8 digits"},
		{"refuses digits that are no number", hotp(`<ResponseFormat Length="six" Encoding="DECIMAL"/>`, seedXML), "line 2 (serial 1): its codes do not have 6 to 8 digits"},
		{"refuses a period of 0", totp(format6, seedXML+"<TimeInterval><PlainValue>0</PlainValue></TimeInterval>"), "line 2 (serial 1): its period is no number of seconds from 1 to 3600"},
		{"refuses a period that is negative", totp(format6, seedXML+"<TimeInterval><PlainValue>-30</PlainValue></TimeInterval>"), "line 2 (serial 1): its time interval is no number"},
		{"refuses a period that is too great for an int", totp(format6, seedXML+"<TimeInterval><PlainValue>9999999999999999999</PlainValue></TimeInterval>"), "line 2 (serial 1): its period is no number of seconds from 1 to 3600"},
		{"refuses a counter that is no number", hotp(format6, seedXML+"<Counter><PlainValue>x</PlainValue></Counter>"), "line 2 (serial 1): its counter is no number"},
		{"refuses a counter that nobody could have reached", hotp(format6, seedXML+"<Counter><PlainValue>9000000000000000000</PlainValue></Counter>"), "line 2 (serial 1): its counter is no number that it could have reached"},
		{"refuses an empty seed", hotp(format6, "<Secret><PlainValue/></Secret>"), "line 2 (serial 1): cannot read the seed: it is empty"},
		{"refuses a short seed", hotp(format6, "<Secret><PlainValue>MTIzNA==</PlainValue></Secret>"), "line 2 (serial 1): cannot read the seed: it is shorter than 16 bytes"},
		{"refuses a seed of 10 kB", hotp(format6, "<Secret><PlainValue>"+strings.Repeat("MTIz", 3333)+"</PlainValue></Secret>"), "line 2 (serial 1): cannot read the seed: it is longer than 128 bytes"},
		{"refuses a seed that is no Base64", hotp(format6, "<Secret><PlainValue>***</PlainValue></Secret>"), "line 2 (serial 1): cannot read the seed: it is no Base64"},
		{"does not choose between two seeds", hotp(format6, seedXML+seedXML), "line 2 (serial 1): its seed is there twice"},
		{"does not choose between two values", hotp(format6, strings.Replace(seedXML, "</Secret>", "<PlainValue>"+rfcSeedBase64+"</PlainValue></Secret>", 1)), "line 2 (serial 1): its seed is there twice"},
		{"does not choose between two counters", hotp(format6, seedXML+strings.Repeat("<Counter><PlainValue>1</PlainValue></Counter>", 2)), "line 2 (serial 1): its counter is there twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, provision.ReadPSKC(strings.NewReader(container(tt.pack, pack("last", hotpKey, format6, seedXML))), provision.PSKCOptions{}),
				tt.want, "3: last|| hotp SHA1 6 0 0 "+rfcSeedHex+" ")
		})
	}
	t.Run("takes a prefix, a byte order mark and CRLF", func(t *testing.T) {
		file := strings.NewReplacer("</", "</p:", "<", "<p:", "xmlns=", "xmlns:p=", "\n", "\r\n").Replace(container(pack("1", hotpKey, format6, seedXML)))
		expect(t, provision.ReadPSKC(strings.NewReader("\xef\xbb\xbf"+file), provision.PSKCOptions{}), "2: 1|| hotp SHA1 6 0 0 "+rfcSeedHex+" ")
	})
	t.Run("counts the lines of two keys in a package", func(t *testing.T) {
		file := container("<KeyPackage><DeviceInfo><SerialNo>1</SerialNo></DeviceInfo>\n<Key " + hotpKey + "><Data>" + seedXML + "</Data></Key>\n<Key " + totpKey + "><Data>" + seedXML + "</Data></Key></KeyPackage>")
		expect(t, provision.ReadPSKC(strings.NewReader(file), provision.PSKCOptions{}), "2: 1|| hotp SHA1 6 0 0 "+rfcSeedHex+" ",
			"line 4 (serial 1): its serial number is that of the token in line 2")
	})
}

func TestReadPSKCOfEncryptedKeys(t *testing.T) {
	named := provision.Need{KeyName: "Pre-shared-key"}
	figure6, figure7 := vector(t, "rfc6030-figure6.xml"), vector(t, "rfc6030-figure7.xml")
	// Figure 6 with a second package like its first, whose serial number is another.
	from, to := strings.Index(figure6, "    <KeyPackage>"), strings.Index(figure6, "</KeyContainer>")
	twice := figure6[:to] + strings.Replace(figure6[from:to], "987654321", "2", 1) + figure6[to:]
	const first = "20: 987654321|Manufacturer| hotp SHA1 8 0 0 " + rfcSeedHex + " "
	last := func(text, old, new string) string {
		i := strings.LastIndex(text, old)
		return text[:i] + new + text[i+len(old):]
	}
	// The MAC under the encryption key itself, which drafts of RFC 6030 had.
	key, _ := hex.DecodeString(figure6Key)
	value, _ := base64.StdEncoding.DecodeString("AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv")
	mac := hmac.New(sha1.New, key)
	mac.Write(value)
	noMACKey := figure6[:strings.Index(figure6, "<MACKey>")] + figure6[strings.Index(figure6, "</MACKey>")+len("</MACKey>"):]
	noMACKey = strings.Replace(noMACKey, "Su+NvtQfmvfJzF6bmQiJqoLRExc=", base64.StdEncoding.EncodeToString(mac.Sum(nil)), 1)

	for _, tt := range []struct {
		name, file string
		options    provision.PSKCOptions
		want       []string
	}{
		{"asks once for two keys", twice, answer(t, named, figure6Key), []string{first, "54: 2|Manufacturer| hotp SHA1 8 0 0 " + rfcSeedHex + " "}},
		{"reads a file whose MACs are under the encryption key", noMACKey, answer(t, named, figure6Key), []string{"12" + first[2:]}},
		{"does not ask for a key to plain values", strings.Replace(figure6, figure6[strings.Index(figure6, "<EncryptedValue>"):strings.Index(figure6, "</Secret>")],
			"<PlainValue>"+rfcSeedBase64+"</PlainValue>", 1), provision.PSKCOptions{}, []string{first}},
		{"does not ask for a key to what it could not use", strings.Replace(figure6, "pskc:hotp", "pskc:ocra", 1), provision.PSKCOptions{},
			[]string{"line 20 (serial 987654321): its algorithm urn:ietf:params:xml:ns:keyprov:pskc:ocra is neither HOTP nor TOTP"}},
		{"notices a later value that was changed", last(twice, "AAECAwQFBgcICQoLDA0OD+cI", "AAECAwQFBgcICQoLDA0OD+cJ"), answer(t, named, figure6Key),
			[]string{first, "line 54 (serial 2): its seed has a MAC that is wrong: the file was changed or damaged"}},
		{"notices a later MAC that was changed", last(twice, "Su+N", "Tu+N"), answer(t, named, figure6Key),
			[]string{first, "line 54 (serial 2): its seed has a MAC that is wrong: the file was changed or damaged"}},
		{"refuses a value without MAC", last(twice, "<ValueMAC>Su+NvtQfmvfJzF6bmQiJqoLRExc=\n                    </ValueMAC>", ""), answer(t, named, figure6Key),
			[]string{first, "line 54 (serial 2): its seed is encrypted without a MAC, so that nobody would see a change (RFC 6030 §6.1.1)"}},
		{"refuses values of a file without MACMethod", figure6[:strings.Index(figure6, "<MACMethod")] + figure6[strings.Index(figure6, "</MACMethod>")+len("</MACMethod>"):], provision.PSKCOptions{},
			[]string{"line 10 (serial 987654321): its seed is encrypted without a MAC, so that nobody would see a change (RFC 6030 §6.1.1)"}},
		{"refuses a MAC that it cannot check", strings.Replace(figure6, "hmac-sha1", "hmac-md5", 1), provision.PSKCOptions{},
			[]string{"line 20 (serial 987654321): its seed has a MAC of a kind that cannot be checked: http://www.w3.org/2000/09/xmldsig#hmac-md5"}},
		{"refuses a MAC's key that it cannot read", strings.Replace(figure6, "aes128-cbc", "kw-aes128", 1), provision.PSKCOptions{},
			[]string{"line 20 (serial 987654321): its seed has a MAC whose key is encrypted in a way that cannot be read: http://www.w3.org/2001/04/xmlenc#kw-aes128"}},
		{"refuses triple DES", last(twice, "aes128-cbc", "tripledes-cbc"), answer(t, named, figure6Key),
			[]string{first, "line 54 (serial 2): its seed is encrypted in a way that cannot be read: http://www.w3.org/2001/04/xmlenc#tripledes-cbc"}},
		{"refuses AES key wrap", last(twice, "aes128-cbc", "kw-aes128"), answer(t, named, figure6Key),
			[]string{first, "line 54 (serial 2): its seed is encrypted in a way that cannot be read: http://www.w3.org/2001/04/xmlenc#kw-aes128"}},
		{"refuses a value for a longer key", last(twice, "aes128-cbc", "aes256-cbc"), answer(t, named, figure6Key),
			[]string{first, "line 54 (serial 2): its seed is encrypted under a key of another length than the file's"}},
		{"refuses a value that is cut off", last(twice, "IUqGv", "IUq=="), answer(t, named, figure6Key),
			[]string{first, "line 54 (serial 2): its seed is cut off, or no Base64"}},
		{"refuses a value that is no Base64", last(twice, "AAEC", "**EC"), answer(t, named, figure6Key),
			[]string{first, "line 54 (serial 2): its seed is cut off, or no Base64"}},
		{"refuses a key in a certificate", strings.Replace(figure6, "<ds:KeyName>Pre-shared-key</ds:KeyName>", "<ds:X509Data/>", 1), provision.PSKCOptions{},
			[]string{"line 20 (serial 987654321): its seed is encrypted under a key of a kind that cannot be used: X509Data"}},
		{"refuses another way to derive the key", strings.Replace(figure7, "#pbkdf2", "#pbkdf1", 1), provision.PSKCOptions{},
			[]string{"line 38 (serial 987654321): its seed is encrypted under a key that is derived in a way that cannot be used: http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#pbkdf1"}},
		{"refuses another pseudo-random function", strings.Replace(figure7, "<PRF/>", `<PRF Algorithm="urn:md5"/>`, 1), provision.PSKCOptions{},
			[]string{"line 38 (serial 987654321): its seed is encrypted under a key that is derived in a way that cannot be used: urn:md5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, provision.ReadPSKC(strings.NewReader(tt.file), tt.options), tt.want...)
		})
	}

	quiet := provision.PSKCOptions{Key: func(provision.Need) (*secret.Secret, error) { return nil, errors.New("nobody is there") }}
	passphrase := provision.Need{Passphrase: true, KeyName: "My Password 1"}
	for _, tt := range []struct {
		name, file string
		options    provision.PSKCOptions
		is         error
		want       string
	}{
		{"refuses an encrypted file where nobody can be asked", figure6, provision.PSKCOptions{}, provision.ErrEncrypted, "the file is encrypted: its key is needed"},
		{"says that a passphrase is needed", figure7, provision.PSKCOptions{}, provision.ErrEncrypted, "the file is encrypted: its passphrase is needed"},
		{"passes on why there is no key", figure6, quiet, provision.ErrEncrypted, "cannot get its key: nobody is there"},
		{"notices a wrong key", figure6, answer(t, named, "00000000000000000000000000000000"), provision.ErrWrongKey, ""},
		{"notices a wrong key where the MAC has no key of its own", noMACKey, answer(t, named, "00000000000000000000000000000000"), provision.ErrWrongKey, ""},
		{"notices a wrong passphrase", figure7, answer(t, passphrase, "qwertz"), provision.ErrWrongKey, ""},
		{"notices an empty passphrase", figure7, answer(t, passphrase, ""), provision.ErrWrongKey, ""},
		{"notices an empty key", figure6, answer(t, named, ""), provision.ErrWrongKey, "it has 0 bytes, and keys of AES have 16, 24 or 32"},
		{"says how long the key should be", figure6, answer(t, named, figure6Key+"0011223344556677"), provision.ErrWrongKey, "the key has 24 bytes, and the file was encrypted with one of 16"},
		{"takes a first value that was changed for a wrong key", strings.Replace(figure6, "D+cI", "D+cJ", 1), answer(t, named, figure6Key), provision.ErrWrongKey, "or the file was changed or damaged"},
		{"refuses more iterations than take seconds", strings.Replace(figure7, ">1000<", ">10000001<", 1), provision.PSKCOptions{}, provision.ErrFile, "iterations is no number from 1 to 10000000"},
		{"refuses no iterations", strings.Replace(figure7, ">1000<", ">0<", 1), provision.PSKCOptions{}, provision.ErrFile, "iterations is no number from 1 to 10000000"},
		{"refuses iterations that are no number", strings.Replace(figure7, ">1000<", ">many<", 1), provision.PSKCOptions{}, provision.ErrFile, "iterations is no number from 1 to 10000000"},
		{"refuses a key of 1 GiB", strings.Replace(figure7, ">16<", ">1073741824<", 1), provision.PSKCOptions{}, provision.ErrFile, "16, 24 or 32 bytes"},
		{"refuses a key without salt", strings.Replace(figure7, "Ej7/PEpyEpw=", "", 1), provision.PSKCOptions{}, provision.ErrFile, "salt is none"},
		{"refuses a key without anything", figure7[:strings.Index(figure7, "<pkcs5:")] + figure7[strings.Index(figure7, "</pkcs5:PBKDF2-params>")+len("</pkcs5:PBKDF2-params>"):], provision.PSKCOptions{}, provision.ErrFile, "how the key is made"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			for s, err := range provision.ReadPSKC(strings.NewReader(tt.file), tt.options) {
				n++
				if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) || s.Secret != nil {
					t.Errorf("got %+v, %v", s, err)
				}
			}
			if n != 1 {
				t.Errorf("yielded %d times", n)
			}
		})
	}
	t.Run("reads a counter of eight bytes", func(t *testing.T) {
		file := figure6
		i := strings.Index(file, "<PlainValue>0</PlainValue>")
		file = file[:i] + encrypted(t, []byte{0, 0, 0, 0, 0, 0, 0x12, 0x67}) + file[i+len("<PlainValue>0</PlainValue>"):]
		expect(t, provision.ReadPSKC(strings.NewReader(file), answer(t, named, figure6Key)), "20: 987654321|Manufacturer| hotp SHA1 8 0 4711 "+rfcSeedHex+" ")
	})
	t.Run("wipes the key that it was given", func(t *testing.T) {
		for file, given := range map[string][]byte{figure6: bytes.Clone(key), figure7: []byte("qwerty")} {
			for range provision.ReadPSKC(strings.NewReader(file), provision.PSKCOptions{Key: func(provision.Need) (*secret.Secret, error) { return secret.New(given), nil }}) {
			}
			if !bytes.Equal(given, make([]byte, len(given))) {
				t.Errorf("left %x", given)
			}
		}
	})
}

// encrypted is a value encrypted and authenticated as figure 6's are.
func encrypted(t *testing.T, plain []byte) string {
	t.Helper()
	key, err := hex.DecodeString(figure6Key)
	if err != nil {
		t.Fatal(err)
	}
	macKey, err := hex.DecodeString("1122334455667788990011223344556677889900")
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	padding := aes.BlockSize - len(plain)%aes.BlockSize
	// XML Encryption leaves it open what stands before the padding's last byte.
	value := slices.Concat([]byte("sixteen bytes IV"), plain, make([]byte, padding-1), []byte{byte(padding)})
	cipher.NewCBCEncrypter(block, value[:16]).CryptBlocks(value[16:], value[16:])
	mac := hmac.New(sha1.New, macKey)
	mac.Write(value)
	return `<EncryptedValue><xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/><xenc:CipherData><xenc:CipherValue>` +
		base64.StdEncoding.EncodeToString(value) + `</xenc:CipherValue></xenc:CipherData></EncryptedValue><ValueMAC>` +
		base64.StdEncoding.EncodeToString(mac.Sum(nil)) + `</ValueMAC>`
}
