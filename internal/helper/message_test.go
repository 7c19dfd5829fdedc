package helper

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestFrame(t *testing.T) {
	t.Run("is read as it was written", func(t *testing.T) {
		for _, n := range []int{0, 1, 64 << 10, 64<<10 + 1, MaxMessage} {
			want := bytes.Repeat([]byte("x"), n)
			b, err := frame(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readFrame(bytes.NewReader(b))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: %d, %v", n, len(got), err)
			}
		}
	})
	t.Run("is not written beyond the limit", func(t *testing.T) {
		if _, err := frame(make([]byte, MaxMessage+1)); !errors.Is(err, errTooLong) {
			t.Errorf("error %v", err)
		}
	})
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"ends between messages", "", io.EOF},
		{"ends inside the length", "\x00\x00", io.ErrUnexpectedEOF},
		{"ends after the length", "\x00\x00\x00\x05", io.ErrUnexpectedEOF},
		{"ends inside a message", "\x00\x00\x00\x05abc", io.ErrUnexpectedEOF},
		{"ends inside a long message", "\x00\x0f\x00\x00abc", io.ErrUnexpectedEOF},
		{"is longer than allowed", "\x00\x10\x00\x01", errTooLong},
		{"is absurd", "\xff\xff\xff\xff", errTooLong},
	} {
		t.Run("is refused where it "+c.name, func(t *testing.T) {
			if _, err := readFrame(bytes.NewReader([]byte(c.in))); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

var requests = map[string]bool{
	`{"do":"run","op":"fido.info","args":{"path":"/x"}}`: true,
	`{"do":"run","op":"fido.info"}`:                      true,
	`{"do":"cancel"}`:                                    true,
	`{"do":"cancel","op":"x"}`:                           false,
	`{"do":"cancel","args":1}`:                           false,
	`{"do":"run"}`:                                       false,
	`{"do":"run","op":"x","more":1}`:                     false,
	`{"do":"run","op":"x"}{}`:                            false,
	`{"do":"stop"}`:                                      false,
	`{}`:                                                 false,
	``:                                                   false,
	`null`:                                               false,
	`[]`:                                                 false,
}

var replies = map[string]bool{
	`{"state":"ready"}`:                                               true,
	`{"state":"begun"}`:                                               true,
	`{"state":"done","result":{"a":1}}`:                               true,
	`{"state":"done","result":null}`:                                  true,
	`{"state":"failed","error":{"code":49,"name":"X"}}`:               true,
	`{"state":"failed","error":{"code":-9,"name":"X","cause":"y"}}`:   true,
	`{"state":"news","result":[]}`:                                    true,
	`{"state":"news"}`:                                                false,
	`{"state":"ready","result":1}`:                                    false,
	`{"state":"done"}`:                                                false,
	`{"state":"failed"}`:                                              false,
	`{"state":"failed","result":1,"error":{"code":1,"name":"X"}}`:     false,
	`{"state":"done","result":1,"error":{"code":1,"name":"X"}}`:       false,
	`{"state":"done","result":1,"extra":1}`:                           false,
	`{"state":"failed","error":{"code":1,"name":"X","further":true}}`: false,
	`{"state":"done","result":1} x`:                                   false,
	`{"state":"other"}`:                                               false,
	`{"state":"failed","error":{"code":1e99,"name":"X"}}`:             false,
}

func TestParse(t *testing.T) {
	for in, ok := range requests {
		if _, err := parseRequest([]byte(in)); (err == nil) != ok {
			t.Errorf("request %s: %v", in, err)
		}
	}
	for in, ok := range replies {
		if _, err := parseReply([]byte(in)); (err == nil) != ok {
			t.Errorf("reply %s: %v", in, err)
		}
	}
}

func FuzzMessages(f *testing.F) {
	for in := range requests {
		f.Add([]byte(in))
	}
	for in := range replies {
		f.Add([]byte(in))
	}
	f.Add([]byte("\x00\x00\x00\x05abc"))
	f.Add([]byte("\xff\xff\xff\xffabc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, err := readFrame(bytes.NewReader(b)); err == nil && len(body) > len(b) {
			t.Errorf("read %d bytes out of %d", len(body), len(b))
		}
		if q, err := parseRequest(b); err == nil && q.Do != doRun && q.Do != doCancel {
			t.Errorf("request %+v", q)
		}
		if p, err := parseReply(b); err == nil && p.State == stateDone && p.Result == nil {
			t.Errorf("reply %+v", p)
		}
	})
}
