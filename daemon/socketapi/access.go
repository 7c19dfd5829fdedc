package socketapi

import "github.com/fobproject/fob/internal/caller"

// Route is one method of the door, and who may call it at all.
type Route struct {
	Method  string
	Pattern string // below /v1, as net/http writes patterns
	Access  caller.Access
}

// Routes lists the whole door.
func Routes() []Route {
	var all []Route
	for _, r := range (&Server{}).routes() {
		all = append(all, Route{r.method, r.pattern, r.access})
	}
	return all
}
