package card

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// state is what the card keeps without power.
type state struct {
	ID       []byte    `json:"id"`
	Key      []byte    `json:"key,omitempty"` // made of the password; empty: none
	Accounts []account `json:"accounts"`
}

func (c *Card) load() error {
	c.state = state{ID: newID()}
	if c.o.StateFile == "" {
		return nil
	}
	b, err := os.ReadFile(c.o.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		if c.save() != ok {
			return fmt.Errorf("cannot write the card's state to %s", c.o.StateFile)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the card's state: %w", err)
	}
	if err := json.Unmarshal(b, &c.state); err != nil || len(c.state.ID) == 0 {
		return fmt.Errorf("cannot read the card's state: %s is not the state of a software card", c.o.StateFile)
	}
	return nil
}

// save keeps the state, and gives the status word.
func (c *Card) save() int {
	if c.o.StateFile == "" {
		return ok
	}
	b, err := json.Marshal(c.state)
	if err != nil {
		return memoryFailure
	}
	next := c.o.StateFile + ".next"
	if os.WriteFile(next, b, 0o600) != nil || os.Rename(next, c.o.StateFile) != nil {
		return memoryFailure
	}
	return ok
}
