package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fobproject/fob/internal/api"
	"github.com/fobproject/fob/internal/audit"
	"github.com/fobproject/fob/internal/caller"
	"github.com/fobproject/fob/internal/grant"
	"github.com/fobproject/fob/internal/policy"
)

// Grants are remembered approvals as they travel; never nil.
func Grants(gs []grant.Grant) []api.Grant {
	out := make([]api.Grant, 0, len(gs))
	for _, g := range gs {
		w := api.Grant{
			ID: g.ID, User: g.User, Service: g.Service, Origin: g.Origin, SSHKey: g.SSHKey, Method: g.Method, MethodName: g.MethodName,
			Strength: g.Strength.String(), Made: g.Made.UTC(), Until: g.Until.UTC(), Uses: g.Uses,
		}
		if !g.Used.IsZero() {
			used := g.Used.UTC()
			w.LastUsed = &used
		}
		out = append(out, w)
	}
	return out
}

// Policy is a policy as it travels.
func Policy(p *policy.Policy) api.Policy {
	out := api.Policy{Tables: []api.PolicyTable{}}
	for _, t := range p.Rules() {
		table := api.PolicyTable{Where: fmt.Sprintf("%s:%d", t.File, t.Line), Name: t.Table, Fields: []string{}}
		for _, f := range t.Fields {
			table.Fields = append(table.Fields, f.Name+" = "+f.Value)
		}
		out.Tables = append(out.Tables, table)
	}
	return out
}

// everywhere are the places where a request may begin.
var everywhere = []caller.Place{caller.PlaceLocal, caller.PlaceUnknown, caller.PlaceRemote}

// PolicyCheck is what holds for a service and a user, as it travels.
func PolicyCheck(service, user string, x policy.Explanation) api.PolicyCheck {
	out := api.PolicyCheck{
		Service: service, User: user, Require: x.Rule.Require.String(), Places: []string{}, TimeoutMS: x.Rule.Timeout.Milliseconds(),
		RememberS: int64(x.Rule.Remember / time.Second), MinMethods: x.Rule.MinMethods, Reasons: []api.PolicyReason{},
	}
	for _, f := range x.Rule.Fallback {
		out.Fallback = append(out.Fallback, string(f))
	}
	for _, p := range everywhere {
		if x.Rule.MayBegin(p) {
			out.Places = append(out.Places, string(p))
		}
	}
	for _, r := range x.Reasons {
		out.Reasons = append(out.Reasons, api.PolicyReason{Where: r.Where, Text: r.Text})
	}
	return out
}

// LogHead reads a head of the log that was noted elsewhere: a hash of 64 hexadecimal digits, or a number, a
// colon and the hash; nil if empty. Number 0 is refused: no entry has it, and it would stand for any.
func LogHead(s string) (*audit.KnownHead, *api.Error) {
	if s == "" {
		return nil, nil
	}
	var head audit.KnownHead
	var err error
	number, hash, found := strings.Cut(s, ":")
	if !found {
		hash = s
	} else if head.Seq, err = strconv.ParseUint(number, 10, 64); err != nil {
		return nil, badHead()
	} else if head.Seq == 0 {
		return nil, api.Errorf(api.CodeBadRequest, "head has the number 0, which no entry has: the first is 1")
	}
	if head.Hash.UnmarshalText([]byte(hash)) != nil {
		return nil, badHead()
	}
	return &head, nil
}

func badHead() *api.Error {
	return api.Errorf(api.CodeBadRequest, "head is the hash of an entry, 64 hexadecimal digits, or its number, a colon and the hash")
}

// LogCheck is how a check of the log ended, as it travels.
func (e *Errors) LogCheck(v audit.Verdict, err error) api.LogCheck {
	out := api.LogCheck{
		End: true, First: v.First, Last: v.Last, Head: hex.EncodeToString(v.Head[:]),
		Signatures: v.Signatures, Receipts: v.Receipts, Pruned: v.PrunedBefore, Key: v.Key,
	}
	if broken, ok := errors.AsType[*audit.BrokenError](err); ok {
		out.BrokenAt, out.Reason = broken.Seq, broken.Reason
	} else if err != nil {
		out.Error = e.Of(err)
	}
	return out
}
