package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

// Names of the checks on which others depend.
const (
	nameKrb5Conf = "krb5.conf"
	nameKDCConf  = "kdc.conf"
	nameRealm    = "realm"
	nameHost     = "host name"
	nameKeytab   = "keytab"
	nameKDC      = "kdc"
	nameKey      = "own key"
	nameClock    = "clock"
	nameDump     = "dump"
	nameStash    = "stash"
	nameDatabase = "database"
)

// host is what is common to the checks of both sides, and what they learn.
type host struct {
	*series
	receiver  bool
	wantRealm string // -r
	keytabOpt string // -s

	client   *profile.Profile // krb5.conf alone
	profile  *profile.Profile // as the program reads it
	realm    string
	settings profile.Realm
	names    []string // of this host, best first
	own      principal.Name
	keytab   *keytab.Keytab
	kdcs     []profile.KDC // that answer
	issued   issued        // what the KDC encrypts tickets for this host in
}

// configuration checks what everything else builds on.
func (h *host) configuration(ctx context.Context) {
	h.do(ctx, nameKrb5Conf, nil, h.checkKrb5Conf)
	h.do(ctx, nameRealm, []string{nameKrb5Conf}, h.checkRealm)
	h.do(ctx, nameKDCConf, []string{nameRealm}, h.checkKDCConf)
	h.do(ctx, nameHost, []string{nameKrb5Conf}, h.checkName)
}

// identity checks that this host can prove who it is.
func (h *host) identity(ctx context.Context) {
	h.do(ctx, nameKeytab, []string{nameRealm, nameHost}, h.checkKeytab)
	h.askKDC(ctx)
}

func (h *host) checkKrb5Conf(context.Context) []Item {
	p, err := profile.Load(profile.Options{Realm: h.wantRealm})
	if err != nil {
		return because(err, Configuration(err))
	}
	h.client, h.profile = p, p
	if len(p.Files()) == 0 {
		return warnItem("there is no "+krb5Conf(), "copy it from the primary")
	}
	return okItem("read %s", strings.Join(p.Files(), ", "))
}

func (h *host) checkRealm(ctx context.Context) []Item {
	realm, err := h.client.DefaultRealm()
	if err != nil && h.receiver {
		// kpropd reads kdc.conf before krb5.conf.
		if p, bad := profile.Load(profile.Options{KDC: true}); bad == nil {
			realm, err = p.DefaultRealm()
		}
	}
	if err != nil {
		return because(err, Configuration(err))
	}
	h.realm = realm
	if h.wantRealm != "" {
		return okItem("%s, by -r", realm)
	}
	return okItem("%s", realm)
}

func (h *host) checkKDCConf(context.Context) []Item {
	p, err := profile.Load(profile.Options{KDC: true, Realm: h.wantRealm})
	if err != nil {
		return because(err, Configuration(err))
	}
	if h.settings, err = p.RealmConfig(h.realm); err != nil {
		return because(err, Configuration(err))
	}
	if h.receiver {
		h.profile = p
	}
	var items []Item
	for _, bad := range h.settings.Ignored {
		items = append(items, warnItem("krb5kdc ignores a value: "+bad.Error())...)
	}
	if len(items) > 0 {
		return items
	}
	if len(p.Files()) <= len(h.client.Files()) {
		return okItem("there is none, so the built-in values count: database %s", h.settings.DatabaseName)
	}
	return okItem("database %s, stash %s", h.settings.DatabaseName, h.settings.StashFile)
}

// checkName is about the name in this host's principal.
func (h *host) checkName(ctx context.Context) []Item {
	raw, err := h.profile.Hostname()
	if err != nil {
		return failItem("this host has no name: "+err.Error(), "hostnamectl set-hostname NAME.DOMAIN")
	}
	if h.receiver {
		h.names, err = h.profile.HostCandidates(ctx, "")
	} else {
		h.names = make([]string, 1)
		h.names[0], err = h.profile.CanonicalHost(ctx, "")
	}
	if err != nil {
		return because(err, Configuration(err))
	}
	name := h.names[0]
	if isLocalhost(name) {
		return failItem(fmt.Sprintf("this host (%s) takes %s for its name, which every host has", raw, name),
			"hostnamectl set-hostname NAME.DOMAIN", "getent hosts "+raw+"    (then mend /etc/hosts: the name belongs in front of localhost, or on a line of its own)")
	}
	if !h.lookups() {
		return okItem("%s, so its principal is host/%s", raw, name)
	}
	if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name); err != nil {
		return warnItem(fmt.Sprintf("this host's name %s has no address here, so it can change with the resolver", name),
			"getent hosts "+name+"    (then mend DNS or /etc/hosts)")
	}
	return okItem("%s, after lookups %s, so its principal is host/%s", raw, name, name)
}

// lookups reports whether names in principals are looked up.
func (h *host) lookups() bool {
	on, err := h.profile.Bool(true, "libdefaults", "dns_canonicalize_hostname")
	return on && err == nil
}

// reverseLookups reports whether the name of an address counts for principals.
func (h *host) reverseLookups() bool {
	on, err := h.profile.Bool(true, "libdefaults", "rdns")
	return h.lookups() && on && err == nil
}

func isLocalhost(name string) bool {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.IsLoopback()
	}
	return name == "localhost" || strings.HasPrefix(name, "localhost.")
}

// propagation is the common part of what Explain needs.
func (h *host) propagation() Propagation {
	return Propagation{Realm: h.realm, Client: h.own.String(), Server: h.own.String(), Keytab: h.keytabName(), Replica: "this host"}
}

func (h *host) keytabName() string {
	if h.keytabOpt != "" {
		return h.keytabOpt
	}
	name, err := h.profile.DefaultKeytab()
	if err != nil {
		return "the default keytab"
	}
	return name
}

// credentialItems explains an error of an AS exchange. A replica has no
// kadmin.local that could change the realm.
func (h *host) credentialItems(err error) []Item {
	items := because(err, h.propagation().Explain(step("while getting initial credentials", err)))
	if !h.receiver {
		return items
	}
	for i := range items {
		items[i].Text = strings.Replace(items[i].Text, "kprop must", "kpropd must", 1)
		for n, r := range items[i].Remedy {
			items[i].Remedy[n] = strings.Replace(r, "kadmin.local -q", "kadmin -q", 1)
		}
	}
	return items
}
