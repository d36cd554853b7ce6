package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/transport"
)

func step(while string, err error) error { return &transport.StepError{While: while, Err: err} }

func (h *host) checkKeytab(context.Context) []Item {
	name := h.keytabName()
	h.own = principal.New(h.realm, "host", h.names[0])
	if _, err := keytab.Path(name); err != nil {
		return failItem(err.Error())
	}
	kt, err := keytab.Load(name)
	if err != nil {
		items := h.credentialItems(err)
		if errors.Is(err, fs.ErrNotExist) && h.receiver {
			// The KDC knows whether the principal is there; it is not asked yet.
			items[0].Remedy = []string{
				"kadmin -q 'addprinc -randkey " + h.own.String() + "'    (if the KDC does not know it)",
				"kadmin -q 'ktadd -k " + h.propagation().keytabPath() + " " + h.own.String() + "'",
			}
		}
		return items
	}
	h.keytab = kt
	for _, n := range h.names {
		if own := principal.New(h.realm, "host", n); len(kt.Newest(own)) > 0 {
			h.own = own
			return h.usableKeys(own)
		}
	}
	text := fmt.Sprintf("%s has no key of %v", h.propagation().keytabPath(), h.own)
	return h.credentialItems(fmt.Errorf("%w: %s", transport.ErrNoKeys, text+h.nearMiss()))
}

// usableKeys tells the keys of this host, if one of them can be used.
func (h *host) usableKeys(own principal.Name) []Item {
	allowed, err := h.profile.TktEnctypes()
	if err != nil {
		return because(err, Configuration(err))
	}
	keys := h.keytab.Newest(own)
	var types []string
	usable := false
	for _, k := range keys {
		types = append(types, enctype.ID(k.EType).String())
		usable = usable || slices.Contains(allowed, k.EType)
	}
	if !usable {
		return h.credentialItems(fmt.Errorf("%w: krb5.conf permits none of the enctypes that %s has of %v: %s",
			transport.ErrNoKeys, h.propagation().keytabPath(), own, strings.Join(types, ", ")))
	}
	return okItem("%s has %v, kvno %d (%s)", h.propagation().keytabPath(), own, keys[0].KVNO, strings.Join(types, ", "))
}

// maxNames bounds a list of names in a text.
const maxNames = 5

// nearMiss says what a keytab has instead of this host's principal.
func (h *host) nearMiss() string {
	list := h.keytab.Principals()
	for _, p := range list {
		if why := almost(p, h.own); why != "" {
			return fmt.Sprintf(", but %v: %s", p, why)
		}
	}
	var names []string
	for _, p := range list[:min(len(list), maxNames)] {
		names = append(names, p.String())
	}
	switch {
	case len(list) == 0:
		return ": it is empty"
	case len(list) > maxNames:
		names = append(names, "...")
	}
	return ", only " + strings.Join(names, ", ")
}

// almost says in what a principal differs from the one that is wanted, if it
// is little.
func almost(have, want principal.Name) string {
	if len(have.Components) != len(want.Components) || len(want.Components) != 2 || !strings.EqualFold(have.Components[0], want.Components[0]) {
		return ""
	}
	h, w := have.Components[1], want.Components[1]
	short := func(a, b string) bool { return strings.HasPrefix(strings.ToLower(b), strings.ToLower(a)+".") }
	switch {
	case have.Equal(want):
		return ""
	case have.Realm != want.Realm && strings.EqualFold(have.Realm, want.Realm):
		return "the realm is in other letters, capital and small ones differ"
	case h == w && have.Realm != want.Realm:
		return "the realm is another"
	case strings.EqualFold(h, w) && have.Realm == want.Realm:
		return "capital and small letters differ"
	case short(h, w):
		return "the name is the short one, " + w + " is wanted"
	case short(w, h):
		return "the name is the long one, but the host calls itself " + w
	}
	return ""
}
