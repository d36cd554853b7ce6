package distfile

import (
	"slices"
)

// shell expands ~, braces and patterns in a text, as csh does. What matches
// nothing stays as it is.
func (x *expander) shell(text []octet, how expansion) []string {
	if p := plain(text); p == "{" || p == "{}" {
		return []string{p}
	}
	shown, home, text, ok := x.tilde(text, how)
	if !ok {
		return nil
	}
	alternatives, ok := x.braces(text)
	if !ok {
		return nil
	}
	var names []string
	for len(alternatives) > 0 {
		n := 1
		for n < len(alternatives) && alternatives[n].group == alternatives[0].group {
			n++
		}
		for _, name := range x.match(home, alternatives[:n]) {
			names = append(names, shown+name)
		}
		alternatives = alternatives[n:]
		if len(names) > MaxNames {
			return names // the caller tells of it
		}
	}
	if len(names) == 0 {
		return []string{shown + plain(text)}
	}
	return names
}

// tilde takes ~ or ~user from the beginning of a text: shown stands before the
// resulting names, home before the paths that are looked up.
func (x *expander) tilde(text []octet, how expansion) (shown, home string, rest []octet, ok bool) {
	if len(text) == 0 || text[0] != '~' {
		return "", "", text, true
	}
	end := slices.Index(text, '/')
	if end < 0 {
		end = len(text)
	}
	user := plain(text[1:end])
	home, err := x.env.home(user)
	if err != nil {
		x.wrong(user+": unknown user name", "the home directory of "+whose(user)+" is needed for "+short(plain(text))+": "+err.Error())
		return "", "", nil, false
	}
	if how == expandKeepTilde {
		return plain(text[:end]), home, text[end:], true
	}
	return home, home, text[end:], true
}

func whose(user string) string {
	if user == "" {
		return "the local user"
	}
	return user
}

// match gives the names of a group of alternatives. If they are patterns, each
// name is given once, in the order of the octets.
func (x *expander) match(home string, group []alternative) []string {
	if !group[0].pattern {
		if !x.spend(len(group[0].text)) {
			return nil
		}
		return []string{plain(group[0].text)}
	}
	g := globber{x: x, home: home}
	for _, a := range group {
		g.match(a.text)
	}
	slices.Sort(g.names)
	return slices.Compact(g.names)
}
