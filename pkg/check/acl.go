package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/transport"
)

// Bounds of an access list, as kpropd has them: bytes, lines that are told.
const (
	maxACL  = 1 << 20
	maxTold = 8
)

// checkACL looks for the primary in kpropd.acl (reference kprop-protocol.md
// 14).
func (h *host) checkACL(ctx context.Context, path string) []Item {
	primaries := h.primaries(ctx)
	who := "host/NAME-OF-THE-PRIMARY@" + h.realm
	if len(primaries) > 0 {
		who = primaries[0].String()
	}
	mend := "echo '" + who + "' >> " + path
	f, err := openRegular(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return failItem("there is no access list "+path+", so nobody may propagate to this host", mend)
		}
		if errors.Is(err, fs.ErrPermission) {
			return failItem("this user cannot read the access list "+path, "run it as root")
		}
		return failItem("the access list "+path+" cannot be read: "+transport.Message(err), "ls -ld "+path)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxACL+1))
	if err != nil || len(text) > maxACL {
		return failItem(fmt.Sprintf("the access list %s cannot be read, or is longer than %d bytes", path, maxACL), mend)
	}
	list := parseAccess(string(text))
	items := h.judge(ctx, list, primaries, path, mend)
	if st, err := f.Stat(); err == nil && st.Mode().Perm()&0o022 != 0 {
		items = append(items, warnItem(fmt.Sprintf("%s has mode %04o, others than its owner can let themselves in", path, st.Mode().Perm()), "chmod 644 "+path)...)
	}
	return items
}

// primaries are the hosts from which a propagation is to be expected, as
// krb5.conf has them.
func (h *host) primaries(ctx context.Context) (list []principal.Name) {
	seen := map[string]bool{}
	for _, tag := range []string{"admin_server", "primary_kdc", "master_kdc"} {
		for _, v := range h.client.Values("realms", h.realm, tag) {
			name := hostOf(v)
			canonical, err := h.profile.CanonicalHost(ctx, name)
			if err != nil {
				canonical = name
			}
			if canonical != "" && !seen[canonical] && len(list) < maxTold {
				seen[canonical] = true
				list = append(list, principal.New(h.realm, "host", canonical))
			}
		}
	}
	return list
}

// hostOf drops the port of HOST:PORT, [ADDRESS]:PORT.
func hostOf(s string) string {
	s = strings.TrimSpace(s)
	if host, _, err := net.SplitHostPort(s); err == nil {
		return host
	}
	return strings.Trim(s, "[]")
}

// judge says whether one of the primaries may propagate. Where krb5.conf names
// none, any host of the realm will do.
func (h *host) judge(ctx context.Context, list []access, primaries []principal.Name, path, mend string) []Item {
	for _, a := range list {
		if strings.ContainsRune(strings.TrimRight(a.raw, "\r"), '\r') {
			return failItem(fmt.Sprintf("%s, line %d: lines end with CR alone, so all of them are one", path, a.line),
				"tr '\\r' '\\n' < "+path+" > "+path+".new && mv "+path+".new "+path)
		}
	}
	for _, p := range primaries {
		for _, a := range list {
			if a.principal == p.String() {
				return h.entry(a, path)
			}
		}
	}
	for _, a := range list {
		name, ok := a.host(h.realm)
		if ok && (len(primaries) == 0 || h.sameHost(ctx, name, primaries)) {
			items := h.entry(a, path)
			if items[0].Verdict == OK && len(primaries) == 0 {
				items[0].Text += "; krb5.conf does not say (admin_server) whether that is the primary"
			}
			return items
		}
	}
	who := "any host of " + h.realm
	if len(primaries) > 0 {
		who = "the primary, " + primaries[0].String()
	}
	text := fmt.Sprintf("%s has no line for %s", path, who)
	for _, a := range list {
		if why := a.nearMiss(primaries, h.realm); why != "" {
			return failItem(fmt.Sprintf("%s; line %d: %s", text, a.line, why), fmt.Sprintf("sed -n %dl %s    (and correct it)", a.line, path), mend)
		}
	}
	return failItem(text, mend)
}

// sameHost reports whether a listed host has an address of a primary, as where
// admin_server is an alias. A name that only differs in letters, or is the
// short one, is a mistake all the same.
func (h *host) sameHost(ctx context.Context, name string, primaries []principal.Name) bool {
	for _, p := range primaries {
		if full := strings.ToLower(p.Components[1]); strings.HasPrefix(full+".", strings.ToLower(name)+".") {
			return false
		}
	}
	mine, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return false
	}
	for _, p := range primaries {
		theirs, err := net.DefaultResolver.LookupHost(ctx, p.Components[1])
		if err != nil {
			continue
		}
		for _, a := range mine {
			for _, b := range theirs {
				if a == b {
					return true
				}
			}
		}
	}
	return false
}

// entry judges the rest of a line that has the principal.
func (h *host) entry(a access, path string) []Item {
	if a.enctype == "" {
		return okItem("%s lets %s propagate (line %d)", path, a.principal, a.line)
	}
	id, known := enctype.ByName(a.enctype)
	where := fmt.Sprintf("%s, line %d", path, a.line)
	mend := fmt.Sprintf("sed -n %dl %s    (and remove what follows the principal)", a.line, path)
	switch {
	case !known:
		return failItem(fmt.Sprintf("%s: %q is no enctype, so the line lets nobody in", where, a.enctype), mend)
	case h.issued.etype != 0 && id != h.issued.etype:
		return failItem(fmt.Sprintf("%s asks for a ticket in %v, but the KDC issues them in %v for this host", where, id, h.issued.etype), mend)
	case a.trailing:
		return warnItem(where+": there are blanks or a CR behind the enctype, with which MIT's kpropd lets nobody in", "sed -i 's/[[:space:]]*$//' "+path)
	}
	return okItem("%s lets %s propagate with a ticket in %v", where, a.principal, id)
}

// access is a line of kpropd.acl.
type access struct {
	line      int
	raw       string // without the line's end
	principal string // as it is compared
	enctype   string // what follows
	trailing  bool   // white space follows that
}

const aclBlanks = " \t\v\f\r"

// parseAccess reads the lines, without empty ones and comments.
func parseAccess(text string) (list []access) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if trimmed := strings.Trim(line, aclBlanks); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		a := access{line: n, raw: line, principal: line}
		if i := strings.IndexAny(line, aclBlanks); i >= 0 {
			a.principal = line[:i]
			rest := strings.TrimLeft(line[i:], aclBlanks)
			rest, _, _ = strings.Cut(" "+rest, " #")
			a.enctype = strings.Trim(rest, aclBlanks)
			a.trailing = a.enctype != "" && strings.TrimLeft(rest, aclBlanks) != a.enctype
		}
		list = append(list, a)
	}
	return list
}

// host is the host of a line for host/NAME@realm.
func (a access) host(realm string) (string, bool) {
	p, err := principal.Parse(a.principal, "")
	if err != nil || a.principal != p.String() || p.Realm != realm || len(p.Components) != 2 || p.Components[0] != "host" {
		return "", false
	}
	return p.Components[1], p.Components[1] != ""
}

// nearMiss says why a line does not let in whom it seems to be for.
func (a access) nearMiss(primaries []principal.Name, realm string) string {
	text := strings.Trim(strings.TrimPrefix(a.raw, "\ufeff"), aclBlanks+"\u00a0\"'")
	word, _, _ := strings.Cut(text, " ")
	word, _, _ = strings.Cut(word, "\r")
	for _, p := range primaries {
		if word == p.String() {
			return a.surroundings()
		}
	}
	have, err := principal.Parse(word, "")
	if err != nil {
		return ""
	}
	for _, p := range primaries {
		switch {
		case have.Realm == "" && have.Is(p.Components...):
			return word + " lacks the realm, @" + p.Realm
		case have.Realm == p.Realm && have.Is(p.Components[1]):
			return word + " lacks host/ in front"
		}
		if why := almost(have, p); why != "" {
			return word + ": " + why
		}
	}
	if len(primaries) > 0 {
		return ""
	}
	switch {
	case have.Realm == realm && len(have.Components) == 2 && have.Components[0] == "host":
		return a.surroundings()
	case len(have.Components) == 2 && have.Realm == "":
		return word + " lacks the realm, @" + realm
	case len(have.Components) == 2 && have.Realm != realm:
		return word + " is of another realm than " + realm
	}
	return ""
}

// surroundings says what around a principal keeps it from being found.
func (a access) surroundings() string {
	switch {
	case strings.HasPrefix(a.raw, "\ufeff"):
		return "there is an invisible mark (BOM) in front of the principal"
	case strings.Trim(a.raw[:1], aclBlanks) == "":
		return "there are blanks in front of the principal, so it never matches"
	case strings.ContainsAny(a.raw, "\"'"):
		return "the principal stands in quotation marks, which count as part of it"
	}
	return "there are characters around the principal that count as part of it"
}
