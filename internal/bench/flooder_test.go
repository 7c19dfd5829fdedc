package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	const refusal = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}"
	for _, tt := range []struct {
		name    string
		stream  string
		refused int
		end     error
	}{
		{"counts each refusal", strings.Repeat(refusal, 20), 20, io.EOF},
		{"stops at a request that was begun", refusal + "HTTP/1.1 200 OK\r\n\r\n" + refusal, 1, errBegun},
		{"counts none where nothing is answered", "", 0, io.EOF},
	} {
		for _, piece := range []int{1, 7, 10, 4096} {
			t.Run(fmt.Sprintf("%s, in pieces of %d", tt.name, piece), func(t *testing.T) {
				client, server := net.Pipe()
				defer client.Close()
				go func() {
					defer server.Close()
					for rest := tt.stream; rest != ""; {
						n := min(piece, len(rest))
						if _, err := io.WriteString(server, rest[:n]); err != nil {
							return
						}
						rest = rest[n:]
					}
				}()
				a := answers{buf: make([]byte, 4096)}
				total := 0
				for {
					n, err := a.read(client)
					total += n
					if err == nil {
						continue
					}
					if !errors.Is(err, tt.end) || total != tt.refused {
						t.Errorf("%d refusals, then %v", total, err)
					}
					return
				}
			})
		}
	}
}
