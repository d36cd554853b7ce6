package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// Sending says what to check on the primary. The zero value checks this host
// with the defaults of kprop.
type Sending struct {
	Realm  string // of -r
	Keytab string // name; empty: the default keytab
	Port   string // of replicas that name none, a number or a service name
	Dump   string // path; empty: that of kprop

	Config     string   // path of kprop.yaml
	ConfigMust bool     // it was asked for: without it nothing can be checked
	Socket     string   // of kprop serve; not looked at if empty or without a Config
	StateDir   string   // of kprop serve; its dumps are there unless Config says otherwise
	Replicas   []string // names or hosts; empty: those of Config

	Deep bool // read the whole database, however long it takes
}

// totalPatience bounds all checks but the deep one.
const totalPatience = 14 * time.Second

// target is a replica.
type target struct{ label, host, address, port, principal string }

// site is a realm on this host.
type site struct {
	realm, keytab, dump, engine, kdb5Util, database string
	replicas                                        []target
	served                                          bool // kprop serve propagates it
}

// named is where a kdb5_util is named.
func (at *site) named() string {
	if at.kdb5Util == "" {
		return ""
	}
	return "kdb5_util in kprop.yaml"
}

// Check runs all checks, replicas side by side, in at most 15 seconds unless
// Deep. It changes nothing, and sends no database.
func (s Sending) Check(ctx context.Context) []Item {
	deep := ctx
	ctx, cancel := context.WithTimeout(ctx, totalPatience)
	defer cancel()
	var first series
	cfg := s.checkConfig(ctx, &first)
	items := first.items
	sites := s.sites(cfg)
	found := make([][]Item, len(sites))
	var wg sync.WaitGroup
	for i, at := range sites {
		wg.Go(func() {
			h := s.checkSite(ctx, at)
			if found[i] = h.items; s.Deep {
				found[i] = append(found[i], h.deep(deep, at.engine, at.named(), at.kdb5Util, "")...)
			}
			if len(sites) > 1 {
				inRealm(found[i], at.realm)
			}
		})
	}
	wg.Wait()
	return append(items, slices.Concat(found...)...)
}

// inRealm says of items which of several realms they are about.
func inRealm(items []Item, realm string) {
	if realm == "" {
		realm = "(default realm)"
	}
	for i := range items {
		items[i].Realm = realm
	}
}

const nameConfig = "kprop.yaml"

// checkConfig reads kprop.yaml; nil: there is none that can be read.
func (s Sending) checkConfig(ctx context.Context, on *series) *config.Config {
	if s.Config == "" {
		return nil
	}
	cfg, err := config.Load(s.Config)
	if errors.Is(err, fs.ErrNotExist) && !s.ConfigMust {
		return nil
	}
	on.do(ctx, nameConfig, nil, func(context.Context) []Item { return readItems(s.Config, err, "kprop config check "+s.Config) })
	if err != nil {
		return nil
	}
	return cfg
}

// sites are the realms to check: with named replicas the one that has them.
func (s Sending) sites(cfg *config.Config) []site {
	plain := site{realm: s.Realm, keytab: s.Keytab, dump: s.Dump}
	if plain.dump == "" {
		plain.dump = profile.DefaultLayout().Datatrans
	}
	if cfg == nil {
		for _, name := range s.Replicas {
			plain.replicas = append(plain.replicas, target{label: name, host: name, port: s.Port})
		}
		return []site{plain}
	}
	var sites []site
	for i := range cfg.Realms {
		r := &cfg.Realms[i]
		if s.Realm == "" || r.Name == s.Realm {
			sites = append(sites, s.served(r))
		}
	}
	if len(s.Replicas) > 0 {
		sites = s.named(sites, plain)
	}
	if len(sites) == 0 {
		return []site{plain}
	}
	return sites
}

// served is a realm of kprop.yaml; options go before it.
func (s Sending) served(r *config.Realm) site {
	first := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	at := site{realm: r.Name, keytab: first(s.Keytab, r.Keytab), dump: first(s.Dump, r.Dump), engine: r.Engine, kdb5Util: r.KDB5Util, database: r.Database, served: true}
	for _, p := range r.Replicas {
		if p.Enabled {
			at.replicas = append(at.replicas, target{p.Name, p.Host, p.Address, first(s.Port, p.Port), p.Principal})
		}
	}
	return at
}

// named keeps the replicas that were asked for. One that no realm has is
// checked in the first.
func (s Sending) named(sites []site, plain site) []site {
	if len(sites) == 0 {
		sites = []site{plain}
	}
	chosen := make([][]target, len(sites))
	for _, name := range s.Replicas {
		at, t := 0, target{label: name, host: name, port: s.Port}
		for i := range sites {
			if n := slices.IndexFunc(sites[i].replicas, func(t target) bool { return t.label == name || t.host == name }); n >= 0 {
				at, t = i, sites[i].replicas[n]
				break
			}
		}
		chosen[at] = append(chosen[at], t)
	}
	var left []site
	for i := range sites {
		if sites[i].replicas = chosen[i]; len(chosen[i]) > 0 {
			left = append(left, sites[i])
		}
	}
	return left
}

// checkSite checks this host for a realm, and then its replicas.
func (s Sending) checkSite(ctx context.Context, at site) *host {
	h := &host{series: new(series), wantRealm: at.realm, keytabOpt: at.keytab}
	h.configuration(ctx)
	h.identity(ctx)
	// Replicas and files have nothing to do with each other.
	remotes := make([]*remote, len(at.replicas))
	var wg sync.WaitGroup
	for i, t := range at.replicas {
		remotes[i] = &remote{host: h, target: t, series: h.below(t.label)}
		wg.Go(func() { remotes[i].check(ctx) })
	}
	s.checkFiles(ctx, h, at)
	wg.Wait()
	for _, r := range remotes {
		h.items = append(h.items, r.items...)
	}
	return h
}

// checkFiles checks what is on this host besides its identity.
func (s Sending) checkFiles(ctx context.Context, h *host, at site) {
	if at.database != "" {
		h.settings.DatabaseName = at.database
	}
	f := &files{host: h, dump: at.dump, served: at.served, util: at.kdb5Util, path: at.database, engine: at.engine}
	f.named = at.named()
	if at.dump != "" {
		h.do(ctx, nameDump, nil, f.checkDump)
	} else if s.StateDir != "" {
		f.history = filepath.Join(s.StateDir, "dumps")
	}
	h.do(ctx, nameStash, []string{nameKDCConf}, f.checkStash)
	f.checkEngines(ctx, at.served)
	h.do(ctx, nameDatabase, []string{nameKDCConf}, f.checkOwn)
	h.do(ctx, "space", []string{nameKDCConf}, f.checkDumpSpace)
	h.do(ctx, "key files", []string{nameKDCConf}, f.checkModes)
	h.do(ctx, "iprop", []string{nameKDCConf}, h.checkIprop)
	if at.served && s.Socket != "" {
		h.do(ctx, "kprop serve", nil, s.checkSocket)
	}
}

func (h *host) checkIprop(context.Context) []Item {
	if !h.settings.IpropEnable {
		return okItem("iprop_enable is not set, as it should be with full propagation")
	}
	return warnItem("iprop_enable is set, but kprop and kpropd propagate the whole database each time and keep no update log",
		"remove iprop_enable from kdc.conf on all KDCs, unless MIT's kpropd still polls")
}

// checkSocket sees whether kprop serve runs.
func (s Sending) checkSocket(ctx context.Context) []Item {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", s.Socket)
	if err == nil {
		nc.Close()
		return okItem("runs (%s)", s.Socket)
	}
	if errors.Is(err, fs.ErrPermission) {
		return skipItem("%s cannot be opened by this user", s.Socket)
	}
	return warnItem("there is a "+s.Config+", but kprop serve does not answer at "+s.Socket+": "+transport.Message(err),
		"systemctl enable --now kprop.service")
}

// check checks one replica from here.
func (r *remote) check(ctx context.Context) {
	r.do(ctx, "name", []string{nameRealm}, r.checkNames)
	r.do(ctx, "ticket", []string{"name", nameKey}, r.checkTicket)
	r.do(ctx, "port", []string{"name"}, r.checkPort)
	defer r.hangUp()
	r.do(ctx, "authentication", []string{"port", "ticket", nameClock}, func(context.Context) []Item {
		return r.checkHandshake(ctx) // the conversation goes on in the next check
	})
	r.do(ctx, "access list", []string{"authentication"}, r.checkAllowed)
	r.do(ctx, nameClock, []string{"authentication"}, func(context.Context) []Item { return r.checkTime(r.time, r.cred.Offset) })
}

// server is the principal of a replica.
func (h *host) server(ctx context.Context, t target) (principal.Name, error) {
	if t.principal != "" {
		return principal.Parse(t.principal, h.realm)
	}
	name, err := h.profile.CanonicalHost(ctx, t.host)
	if err != nil {
		return principal.Name{}, fmt.Errorf("canonical name of %s: %w", t.host, err)
	}
	return principal.New(h.realm, "host", name), nil
}
