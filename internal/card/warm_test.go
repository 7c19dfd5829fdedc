package card

import (
	"encoding/json"
	"testing"
)

// What warms takes the way of an operation to its end.
func TestWarm(t *testing.T) {
	found, err := Handlers(nowhere{})[opList](t.Context(), json.RawMessage(`{"accounts":true}`))
	all, ok := found.([]Found)
	if err != nil || !ok || len(all) != 1 || all[0].Why() != nil || len(all[0].Accounts) != 1 || len(all[0].Accounts[0].Code) == 0 {
		t.Errorf("the card that is nowhere is listed as %+v, %v", found, err)
	}
	Warm()
}
