package libfido

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"runtime"
	"sync"

	"github.com/fobproject/fob/internal/fido"
)

// threads is how many threads an operation may need at once: for itself, its time limit, stdin, and
// those that take over where one of these blocks.
const threads = 6

// Warm runs an assertion that goes nowhere, on /dev/null, and makes the runtime start its threads.
// The first operation of a process costs a millisecond more than the next ones, for pages, threads
// and tables that are not there yet: a spare helper has that behind it when it is needed. It never
// fails.
func Warm() {
	var all, started sync.WaitGroup
	started.Add(threads)
	for range threads {
		all.Go(func() {
			runtime.LockOSThread() // each on a thread of its own, until all of them are there
			defer runtime.UnlockOSThread()
			started.Done()
			started.Wait()
		})
	}
	all.Wait()
	args, err := json.Marshal(fido.AssertArgs{
		Target:         fido.Target{Path: "/dev/null", TimeoutMS: 100},
		RPID:           "fob:",
		ClientDataHash: make([]byte, sha256.Size),
		Allow:          [][]byte{{0}},
	})
	if err != nil {
		return
	}
	if _, err := Handlers()[fido.OpAssert](context.Background(), args); err != nil {
		_, _ = json.Marshal(fido.AssertResult{Assertions: []fido.Assertion{{}}})
	}
}
