package provision_test

import (
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/provision"
)

func TestSniff(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		want       provision.Format
	}{
		{"knows PSKC", vector(t, "rfc6030-figure6.xml"), provision.FormatPSKC},
		{"knows PSKC with a prefix and a byte order mark", "\xef\xbb\xbf\r\n" + vector(t, "rfc6030-figure7.xml"), provision.FormatPSKC},
		{"knows half of PSKC", vector(t, "rfc6030-figure6.xml")[:100], provision.FormatPSKC},
		{"knows Entra's table", entraHeader + "a@b,1,", provision.FormatEntra},
		{"knows Entra's table as a spreadsheet writes it", "\xef\xbb\xbfUPN;\"Serial Number\";Secret Key;Time interval;Manufacturer;Model\r\n", provision.FormatEntra},
		{"knows Entra's table without a line's end", strings.TrimSpace(entraHeader), provision.FormatEntra},
		{"takes Entra's columns in another order for a table", "serial number,upn,secret key,time interval,manufacturer,model\n", provision.FormatCSV},
		{"takes fewer of Entra's columns for a table", "serial number,secret key,time interval,manufacturer,model\n", provision.FormatCSV},
		{"knows Graph's object", `{ "@context": "#$delta", "value": [`, provision.FormatGraph},
		{"knows Graph's array", `[ { "@contentId": "1", "serialNumber": "1"`, provision.FormatGraph},
		{"knows one of Graph's tokens", `{"secretKey":`, provision.FormatGraph},
		{"knows tables of tabs and semicolons", "serial\tseed\n1\t2\n", provision.FormatCSV},
		{"knows nothing", "", provision.FormatUnknown},
		{"knows nothing of spaces", " \n ", provision.FormatUnknown},
		{"knows no other XML", "<html><body>", provision.FormatUnknown},
		{"knows no other JSON", `{"db":{"entries":[]}}`, provision.FormatUnknown},
		{"knows no text", "hello\nworld\n", provision.FormatUnknown},
		{"knows no URI", "otpauth://totp/x?secret=A\n", provision.FormatUnknown},
		{"knows no UTF-16", "\xff\xfea\x00,\x00b\x00", provision.FormatUnknown},
		{"knows no bytes", "\x00\x01,\x02\xff", provision.FormatUnknown},
		{"knows no quotation mark that is not closed", `"a,b`, provision.FormatUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := provision.Sniff([]byte(tt.head)); got != tt.want {
				t.Errorf("took it for %q, want %q", got, tt.want)
			}
		})
	}
}
