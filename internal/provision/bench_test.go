package provision_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fobproject/fob/internal/provision"
	"github.com/fobproject/fob/internal/secret"
)

// benchKeys is how many keys the benchmarks' files have.
const benchKeys = 100_000

// BenchmarkPSKC reads 100,000 keys, laid out as makers of tokens do it, beside a peer.
func BenchmarkPSKC(b *testing.B) {
	dir := b.TempDir()
	plain, locked := filepath.Join(dir, "plain.xml"), filepath.Join(dir, "encrypted.xml")
	write := func(path string, write func(w *bufio.Writer) error) {
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		w := bufio.NewWriter(f)
		if err := write(w); err != nil {
			b.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	}
	write(plain, func(w *bufio.Writer) error {
		fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<KeyContainer Version=\"1.0\" xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">\n")
		for i := range benchKeys {
			fmt.Fprintf(w, benchPackage, 2_600_000_000_000+i, 2_600_000_000_000+i)
		}
		_, err := fmt.Fprintln(w, "</KeyContainer>")
		return err
	})
	write(locked, func(w *bufio.Writer) error {
		return provision.WritePSKC(w, func(yield func(provision.Seed, error) bool) {
			for i := range benchKeys {
				if !yield(token(fmt.Sprint(i)), nil) {
					return
				}
			}
		}, provision.PSKCWriteOptions{Passphrase: secret.New([]byte("qwerty")), Iterations: 1000})
	})
	for _, file := range []struct{ name, path string }{{"plain", plain}, {"encrypted", locked}} {
		b.Run(file.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := os.Open(file.path)
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for s, err := range provision.ReadPSKC(f, provision.PSKCOptions{Key: func(provision.Need) (*secret.Secret, error) {
					return secret.New([]byte("qwerty")), nil
				}}) {
					if err != nil {
						b.Fatal(err)
					}
					s.Secret.Wipe()
					n++
				}
				f.Close()
				if n != benchKeys {
					b.Fatalf("read %d keys", n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Seconds())/float64(b.N), "s/file")
		})
	}
	b.Run("pskctool", func(b *testing.B) {
		tool := program(b, "pskctool")
		for b.Loop() {
			if err := exec.Command(tool, "--info", plain).Run(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Seconds())/float64(b.N), "s/file")
	})
}

const benchPackage = `  <KeyPackage>
    <DeviceInfo>
      <Manufacturer>Acme Technology Co.,Ltd</Manufacturer>
      <SerialNo>%d</SerialNo>
    </DeviceInfo>
    <Key Id="%d" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp">
      <AlgorithmParameters>
        <ResponseFormat Length="6" Encoding="DECIMAL"/>
      </AlgorithmParameters>
      <Data>
        <Secret>
          <PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue>
        </Secret>
        <Time>
          <PlainValue>0</PlainValue>
        </Time>
        <TimeInterval>
          <PlainValue>60</PlainValue>
        </TimeInterval>
      </Data>
      <Policy>
        <StartDate>2012-09-19T00:00:00Z</StartDate>
        <ExpiryDate>2022-09-01T00:00:00Z</ExpiryDate>
      </Policy>
    </Key>
  </KeyPackage>
`
