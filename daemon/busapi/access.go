package busapi

import "github.com/fobproject/fob/internal/caller"

// Method is one method of the interface, and who may call it at all.
type Method struct {
	Name   string
	Access caller.Access
}

// Methods lists the whole interface.
func Methods() []Method {
	var all []Method
	for _, m := range (&session{}).table() {
		all = append(all, Method{m.name, m.access})
	}
	return all
}
