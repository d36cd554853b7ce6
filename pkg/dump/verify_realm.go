package dump

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/kprop/kprop/internal/principal"
)

// realms finds the master key entry and the ticket-granting principals. Realms
// are kept escaped, as they stand in names, until the verdict.
type realms struct {
	want    string // realm asked for, escaped; empty = any
	prefix  []byte // master key entry up to and with its @
	km      *Principal
	kmRealm string
	others  []string // realms of other master key entries
	own     []string // R of each krbtgt/R@R
}

// maxRealms bounds what a hostile dump can make us keep.
const maxRealms = 64

func (r *realms) init(masterKeyName, realm string) error {
	if masterKeyName == "" {
		masterKeyName = "K/M"
	}
	name, err := principal.Parse(masterKeyName, realm)
	if err != nil {
		return fmt.Errorf("verify dump: master key name: %w", err)
	}
	if realm != "" {
		r.want = strings.TrimPrefix(principal.New(realm, "").String(), "@")
	}
	name.Realm = ""
	r.prefix = []byte(name.String())
	return nil
}

var krbtgtPrefix = []byte("krbtgt/")

// concerns says whether note may have something to do for a name.
func (r *realms) concerns(name []byte) bool {
	return bytes.HasPrefix(name, krbtgtPrefix) || bytes.HasPrefix(name, r.prefix)
}

// note looks at a name and says whether it is a master key entry.
func (r *realms) note(p *Principal) bool {
	if bytes.HasPrefix(p.Name, krbtgtPrefix) {
		r.noteKrbtgt(p.Name[len(krbtgtPrefix):])
	}
	realm, ok := bytes.CutPrefix(p.Name, r.prefix)
	if !ok {
		return false
	}
	// As MIT's load does, the last of several with the same name counts.
	if string(realm) == r.want || r.want == "" && (r.km == nil || string(realm) == r.kmRealm) {
		r.km, r.kmRealm = p.Clone(), string(realm)
	} else if len(r.others) < maxRealms {
		r.others = append(r.others, string(realm))
	}
	return true
}

// noteKrbtgt takes what follows "krbtgt/". The text of a component and that of
// a realm are escaped alike, so equal halves are equal realms.
func (r *realms) noteKrbtgt(rest []byte) {
	n := len(rest) / 2
	if len(rest)%2 == 1 && rest[n] == '@' && bytes.Equal(rest[:n], rest[n+1:]) && len(r.own) < maxRealms {
		r.own = append(r.own, string(rest[:n]))
	}
}

// verdict fills in the report.
func (r *realms) verdict(rep *Report) error {
	if r.km == nil {
		name := string(r.prefix) + r.want
		if len(r.others) > 0 {
			return fmt.Errorf("%w: it has %s%s instead of %s", ErrWrongRealm, r.prefix, quote(r.others[0]), name)
		}
		return fmt.Errorf("%w: there is no %s", ErrNoKM, strings.TrimSuffix(name, "@"))
	}
	rep.KM = r.km
	rep.Realm = r.kmRealm
	if n, err := principal.Parse("@"+r.kmRealm, ""); err == nil {
		rep.Realm = n.Realm
	}
	if len(r.km.Keys) == 0 {
		return fmt.Errorf("%w: %s has no key", ErrNoKM, r.km.Name)
	}
	for _, own := range r.own {
		if own == r.kmRealm {
			rep.HasKrbtgt = true
			return nil
		}
	}
	return fmt.Errorf("%w: there is no krbtgt/%s@%s", ErrNoKrbtgt, r.kmRealm, r.kmRealm)
}
