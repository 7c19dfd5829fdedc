package socketapi

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// BenchmarkImport imports 10,000 tokens a time, as fob sends them.
func BenchmarkImport(b *testing.B) {
	const tokens = 10_000
	s := serve(b)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		body := bytes.NewBufferString(`{"options":{"source":"bench.xml"}}` + "\n")
		for i := range tokens {
			fmt.Fprintf(body, `{"token":{"line":%d,"serial":"B%d-%06d","manufacturer":"Bench","kind":"hotp","algorithm":"SHA1","digits":6,"seed":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="}}`+"\n", i, n, i)
		}
		body.WriteString(`{"commit":true}` + "\n")
		answer, err := s.client.Post("http://fob/v1/tokens", "application/x-ndjson", body)
		if err != nil {
			b.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != 200 {
			b.Fatal(string(text))
		}
	}
	b.ReportMetric(float64(tokens), "tokens/op")
}
