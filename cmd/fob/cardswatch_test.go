package main

import (
	"strings"
	"testing"

	"github.com/fobproject/fob/internal/api"
)

func TestReaderNews(t *testing.T) {
	readers := func(rs ...api.Reader) api.Readers { return api.Readers{Readers: rs} }
	empty, in := api.Reader{Reader: "R"}, api.Reader{Reader: "R", Card: true}
	mute, taken := api.Reader{Reader: "R", Card: true, Mute: true}, api.Reader{Reader: "R", Card: true, Exclusive: true}
	away := api.Readers{Problem: api.Errorf(api.CodeNoCardService, "the smart card service does not run")}
	for _, c := range []struct {
		name   string
		before *api.Readers
		now    api.Readers
		want   string
	}{
		{"at first", nil, readers(empty, api.Reader{Reader: "S\x1b[31m", Card: true}), "The reader “R” is empty.\nA card is in the reader “S"},
		{"no reader", nil, readers(), "There is no reader, and no key that is one. Waiting for one; Ctrl-C stops."},
		{"a card comes", new(readers(empty)), readers(in), "A card is in the reader “R”."},
		{"a card goes", new(readers(in)), readers(empty), "The card was taken out of the reader “R”."},
		{"a reader comes", new(readers()), readers(empty), "The reader “R” was plugged in."},
		{"a key comes", new(readers()), readers(in), "The reader “R” was plugged in.\nA card is in the reader “R”."},
		{"a reader goes", new(readers(in, api.Reader{Reader: "S"})), readers(api.Reader{Reader: "S"}), "The reader “R” was unplugged."},
		{"the wrong way round", new(readers(empty)), readers(mute), "The card in the reader “R” does not answer: take it out, and put it in the other way round."},
		{"taken", new(readers(in)), readers(taken), "Another program has the card in the reader “R” for itself: close it to use the card."},
		{"free", new(readers(taken)), readers(in), "The card in the reader “R” can be used again."},
		{"no service", new(readers(in)), away, "No card service is running: install pcscd"},
		{"a service again", &away, readers(in), "Cards can be seen again.\nA card is in the reader “R”."},
		{"another trouble", nil, api.Readers{Problem: api.Errorf(api.CodeCardFailed, "fob-helper failed")}, "Fob-helper failed."},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(readerNews(c.before, c.now), "\n")
			if !strings.HasPrefix(got, c.want) || c.name != "at first" && c.name != "no service" && got != c.want || strings.Contains(got, "\x1b") {
				t.Errorf("it says\n%s\nnot\n%s", got, c.want)
			}
		})
	}
}
