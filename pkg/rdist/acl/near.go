package acl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kprop/kprop/internal/principal"
)

// denied says what the list lacks. The client hears of no line but its own.
func (a *ACL) denied(client principal.Name, account, why string) *Denied {
	d := &Denied{}
	for i := range a.entries {
		e := &a.entries[i]
		if !e.k5login && e.principal.Equal(client) {
			d.Reason = fmt.Sprintf("line %d of %s lets %v be %s, not %s", e.Line, a.path, client, e.Account, account)
			break
		}
	}
	switch {
	case d.Reason != "":
	case why != "":
		d.Reason = fmt.Sprintf("%v may not be %s: %s", client, account, why)
	default:
		d.Reason = fmt.Sprintf("%s has no line that lets %v be %s", a.path, client, account)
	}
	for i := range a.entries {
		e := &a.entries[i]
		if e.k5login || e.principal.Equal(client) {
			continue
		}
		if near := nearMiss(e.principal, client); near != "" {
			d.Hint = fmt.Sprintf("line %d has %v, which %s", e.Line, e.principal, near)
			break
		}
	}
	return d
}

// nearMiss tells in what a principal of the list differs from the client, if
// that is little enough to be a mistake.
func nearMiss(listed, client principal.Name) string {
	same := slices.Equal(listed.Components, client.Components)
	switch {
	case same && strings.EqualFold(listed.Realm, client.Realm):
		return "has its realm in other capitals"
	case same:
		return "is of another realm"
	case listed.Realm != client.Realm:
		return ""
	case strings.EqualFold(strings.Join(listed.Components, "/"), strings.Join(client.Components, "/")):
		return "is in other capitals"
	case len(listed.Components) == 2 && len(client.Components) == 2 && listed.Components[0] == client.Components[0] &&
		firstLabel(listed.Components[1]) == firstLabel(client.Components[1]):
		return "has another form of the host's name"
	case len(listed.Components) != len(client.Components) && listed.Components[0] == client.Components[0]:
		return "has another instance"
	}
	return ""
}

func firstLabel(host string) string {
	label, _, _ := strings.Cut(host, ".")
	return strings.ToLower(label)
}
