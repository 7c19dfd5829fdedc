package main

import (
	"context"
	"errors"
	"strings"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/client"
)

// named is something that a person can name on the command line.
type named struct{ id, name string }

// choose finds the one that arg names: by its id, by its exact name, or by the beginning of its id.
func choose(what, lister, arg string, all []named) (string, error) {
	if strings.ContainsRune(arg, '/') {
		return "", usagef("%q looks like a path: name a %s by its id or name, see %s", client.Show(arg), what, lister)
	}
	for _, each := range all {
		if arg != "" && each.id == arg {
			return each.id, nil
		}
	}
	matches := filter(all, func(n named) bool { return n.name == arg })
	if len(matches) == 0 {
		matches = filter(all, func(n named) bool { return strings.HasPrefix(n.id, arg) })
	}
	switch {
	case arg == "" || len(matches) == 0:
		return "", api.Errorf(api.CodeNotFound, "there is no %s %q: see %s", what, client.Show(arg), lister)
	case len(matches) > 1:
		return "", usagef("%q can be more than one %s: %s", client.Show(arg), what, candidates(matches))
	}
	return matches[0].id, nil
}

// only is the choice where nothing was named: the single one that there is, or none.
func only(what string, none *api.Error, all []named) (string, error) {
	switch len(all) {
	case 0:
		return "", none
	case 1:
		return all[0].id, nil
	default:
		return "", usagef("say which %s: %s", what, candidates(all))
	}
}

func candidates(all []named) string {
	var texts []string
	for _, each := range all {
		texts = append(texts, client.Show(each.id)+" "+quoted(each.name, "(no name)"))
	}
	return strings.Join(texts, ", ")
}

func filter(all []named, keep func(named) bool) []named {
	var out []named
	for _, each := range all {
		if keep(each) {
			out = append(out, each)
		}
	}
	return out
}

// pickKey finds the plugged key that args name; where they name none, the only one.
func pickKey(ctx context.Context, c *client.Client, args []string) (api.Key, error) {
	keys, err := c.Keys(ctx)
	if err != nil {
		return api.Key{}, err
	}
	var all []named
	none := api.Errorf(api.CodeNoKey, "%s", noKeyText)
	var unusable error // why the one that args name cannot be used
	for _, k := range keys {
		if k.ID == "" { // it is there, or should be, and cannot be used
			problem := client.Show(k.Name + ": " + k.Problem)
			if len(args) > 0 && args[0] == k.Name {
				unusable = api.Errorf(api.CodeNoKey, "%s", problem)
			}
			none = api.Errorf(api.CodeNoKey, "%s (%s)", noKeyText, problem)
			continue
		}
		all = append(all, named{k.ID, k.Name})
	}
	var id string
	if len(args) > 0 {
		id, err = choose("key", "fob keys", args[0], all)
		if unusable != nil && isCode(err, api.CodeNotFound) {
			err = unusable
		}
	} else {
		id, err = only("key", none, all)
	}
	if err != nil {
		return api.Key{}, err
	}
	for _, k := range keys {
		if k.ID == id {
			return k, nil
		}
	}
	return api.Key{}, api.Errorf(api.CodeNotFound, "there is no key %q", id)
}

// pickMethod finds the sign-in method that args name; where they name none, the only one.
func (a *app) pickMethod(ctx context.Context, user string, args []string) (api.Method, error) {
	c, err := a.client()
	if err != nil {
		return api.Method{}, err
	}
	methods, err := c.Methods(ctx, user)
	if err != nil {
		return api.Method{}, err
	}
	all := make([]named, len(methods))
	for i, m := range methods {
		all[i] = named{m.ID, m.Name}
	}
	var id string
	if len(args) > 0 {
		id, err = choose("sign-in method", "fob methods", args[0], all)
	} else {
		id, err = only("sign-in method", noMethod(), all)
	}
	if err != nil {
		return api.Method{}, err
	}
	for _, m := range methods {
		if m.ID == id {
			return m, nil
		}
	}
	return api.Method{}, api.Errorf(api.CodeNotFound, "there is no sign-in method %q", id)
}

// pickRequest finds the pending request whose id is arg or begins with it. An id that is not
// pending is passed on: the daemon knows what became of it.
func pickRequest(ctx context.Context, c *client.Client, arg string) (string, error) {
	requests, err := c.Requests(ctx)
	if err != nil {
		return "", err
	}
	if arg == "" || strings.ContainsRune(arg, '/') {
		return "", usagef("%q is no request's id: see fob requests", client.Show(arg))
	}
	var matches []named
	for _, r := range requests {
		if r.ID == arg {
			return arg, nil
		}
		if strings.HasPrefix(r.ID, arg) {
			matches = append(matches, named{r.ID, subject(r)})
		}
	}
	switch len(matches) {
	case 0:
		return arg, nil
	case 1:
		return matches[0].id, nil
	default:
		return "", usagef("%q can be more than one request: %s", client.Show(arg), candidates(matches))
	}
}

func noMethod() *api.Error {
	return api.Errorf(api.CodeNoMethod, "%s", noMethodText)
}

// What the daemon says where there is nothing to sign in with; the command says it in the same words.
const (
	noMethodText = "no sign-in method is registered: add one with “fob methods add key” or “fob methods add token SERIAL”"
	noKeyText    = "no security key is plugged in: plug one in and try again"
)

// requestIDLen is the length of a request's whole id.
const requestIDLen = 10

// gone is err, or where it says that there is no such request, what became of one with this id.
// Something shorter than an id was never one.
func gone(err error, id string) error {
	if len(id) == requestIDLen && (isCode(err, api.CodeNotFound) || isCode(err, api.CodeNotPending)) {
		return api.Errorf(api.CodeNotFound, "there is no such pending request: what became of it stands in “fob log --request %s”", client.Show(id))
	}
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.CodeNotFound {
		return api.Errorf(e.Code, "%s (see fob requests)", e.Message)
	}
	return err
}
