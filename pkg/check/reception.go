package check

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/transport"
)

// Reception is what kpropd knows when it does not believe a sender, or does not
// let it in.
type Reception struct {
	Self   principal.Name // kpropd's own
	Keytab string         // its name
	ACL    string         // path
}

// Explain tells what to do on this host about an error of
// transport.Acceptor.Accept. It gives none where that is the sender's business
// alone, as when it goes away.
func (r Reception) Explain(err error) []Finding {
	var own *transport.Error
	if !errors.As(err, &own) {
		return nil
	}
	switch own.Code {
	case transport.CodeNoKey:
		return []Finding{{Problem: r.missing(), Remedy: r.ktadd()}}
	case transport.CodeBadKeyVersion:
		return []Finding{{Problem: fmt.Sprintf("the key of %v was changed, and is not in %s", r.Self, r.path()), Remedy: r.ktadd()}}
	case transport.CodeBadIntegrity:
		if own.Detail == "" {
			return nil // it is the authenticator, which no key of this host opens
		}
		return []Finding{{Problem: fmt.Sprintf("%s has another key than the KDC for %v, with the same kvno", r.path(), r.Self), Remedy: r.ktadd()}}
	case transport.CodeNotUs:
		return []Finding{{
			// The name in it is the peer's to choose.
			Problem: fmt.Sprintf("%s; this host is %v: kprop calls it by another name, or the keytab is not the KDC's", transport.Printable(own.Detail), r.Self),
			Remedy:  append([]string{"hostname -f"}, r.ktadd()...),
		}}
	case transport.CodeSkew, transport.CodeTicketNotYetValid, transport.CodeTicketExpired:
		return []Finding{{Problem: own.Detail, Remedy: []string{"date -u    (on both)", setClock}}}
	}
	return nil
}

func (r Reception) path() string {
	if path, err := keytab.Path(r.Keytab); err == nil {
		return path
	}
	return r.Keytab
}

func (r Reception) ktadd() []string {
	return []string{"klist -ke " + r.path(), "kadmin -q 'ktadd -k " + r.path() + " " + r.Self.String() + "'"}
}

// missing says why the keytab has no key of this host.
func (r Reception) missing() string {
	kt, err := keytab.Load(r.Keytab)
	if err != nil {
		return fmt.Sprintf("the keytab %s cannot be read: %s", r.path(), transport.Message(err))
	}
	h := host{own: r.Self, keytab: kt}
	return fmt.Sprintf("%s has no key of %v%s", r.path(), r.Self, h.nearMiss())
}

// Denied tells what to do about a sender that the access list does not let in:
// nothing, unless it is the primary.
func (r Reception) Denied(peer principal.Name, acl string) []Finding {
	if peer.Realm != r.Self.Realm || len(peer.Components) != 2 || peer.Components[0] != "host" {
		return nil
	}
	f := Finding{
		Problem: r.ACL + " does not let " + transport.Printable(peer.String()) + " in",
		Remedy:  []string{"only if that is the primary:  echo '" + shellQuoted(transport.Printable(peer.String())) + "' >> " + r.ACL},
	}
	for _, a := range parseAccess(acl) {
		if why := a.nearMiss([]principal.Name{peer}, r.Self.Realm); why != "" {
			f.Problem += fmt.Sprintf("; line %d: %s", a.line, why)
			break
		}
	}
	return []Finding{f}
}

// shellQuoted is a text as it stands between single quotes.
func shellQuoted(s string) string { return strings.ReplaceAll(s, "'", `'\''`) }
