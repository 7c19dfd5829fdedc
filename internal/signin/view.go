package signin

// ForCaller is a state of the request as the call that began it may see it: without what is asked at the
// desk alone. Who is neither the user nor root learns how it goes and nothing of the user's methods and
// keys.
func (r *Request) ForCaller(v View) View {
	v.Prompts = deskless(v.Prompts)
	if r.foreign() {
		v.Offers, v.Prompts, v.Methods, v.Remember, v.Rememberable = nil, nil, nil, false, 0
		if v.Err != nil {
			v.Err = r.e.discreet(r.caller, r.user, v.Err)
		}
		if v.Pending() {
			v.Progress = "Waiting for " + r.user.Name
		}
	}
	if v.Pending() && r.Number() != "" {
		v.Progress = "Waiting for the number to be typed at the desk of " + r.user.Name
		if len(v.Prompts) > 0 {
			v.Progress += ", or: " + v.Prompts[0].Text
		}
	}
	return v
}

// deskless leaves out what is asked at the desk alone.
func deskless(prompts []Prompt) (rest []Prompt) {
	for _, p := range prompts {
		if p.Type != PromptNumber && p.Type != PromptApprove {
			rest = append(rest, p)
		}
	}
	return rest
}
