package profile

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/config"
)

const (
	defaultUDPLimit = 1465  // bytes; longer requests go over TCP
	maxUDPLimit     = 32700 // bytes
)

// Gokrb5 returns the configuration that gokrb5 needs for an AS exchange in a
// realm, filled from this profile and not by gokrb5's own parser, which reads
// files unlike MIT. It has all KDCs of the realm as host:port; mind that
// gokrb5 tries them in random order (see Gokrb5PerKDC). Encryption types that
// gokrb5 does not have (camellia, weak ones) are left out. Errors are those of
// KDCs and TktEnctypes, and *ValueError for lifetimes.
func (p *Profile) Gokrb5(ctx context.Context, realm string) (*config.Config, error) {
	kdcs, err := p.KDCs(ctx, realm)
	if err != nil {
		return nil, err
	}
	return p.gokrb5(realm, kdcs)
}

// Gokrb5PerKDC is Gokrb5 with one configuration for each KDC, in the order of
// the profile, for a caller that tries them one after the other as MIT does.
func (p *Profile) Gokrb5PerKDC(ctx context.Context, realm string) ([]*config.Config, error) {
	kdcs, err := p.KDCs(ctx, realm)
	if err != nil {
		return nil, err
	}
	var list []*config.Config
	for _, k := range kdcs {
		cfg, err := p.gokrb5(realm, []KDC{k})
		if err != nil {
			return nil, err
		}
		list = append(list, cfg)
	}
	return list, nil
}

func (p *Profile) gokrb5(realm string, kdcs []KDC) (*config.Config, error) {
	cfg := config.New()
	l := &cfg.LibDefaults
	l.DefaultRealm = realm
	l.DNSLookupKDC = false
	l.DNSLookupRealm = false
	l.DNSCanonicalizeHostname = false
	l.Clockskew = p.ClockSkew()
	l.UDPPreferenceLimit = p.udpLimit(kdcs)
	l.AllowWeakCrypto = p.AllowWeakCrypto()
	l.NoAddresses = p.flag(true, realm, "noaddresses")
	l.Forwardable = p.flag(false, realm, "forwardable")
	l.Proxiable = p.flag(false, realm, "proxiable")
	l.Canonicalize = p.flag(false, realm, "canonicalize")
	if err := p.lifetimes(realm, l); err != nil {
		return nil, err
	}
	if err := p.gokrb5Enctypes(l); err != nil {
		return nil, err
	}
	r := config.Realm{Realm: realm}
	for _, k := range kdcs {
		r.KDC = append(r.KDC, k.Addr())
	}
	cfg.Realms = []config.Realm{r}
	for _, host := range p.Names("domain_realm") {
		if v, ok := p.Value("domain_realm", host); ok {
			cfg.DomainRealm[strings.ToLower(host)] = v
		}
	}
	return cfg, nil
}

// flag is a switch whose unreadable values count for nothing.
func (p *Profile) flag(def bool, realm, tag string) bool {
	v, _ := p.Bool(def, p.libdefault(realm, tag)...)
	return v
}

// udpLimit is the size up to which requests go over UDP first. KDCs that are
// all for TCP only leave no choice.
func (p *Profile) udpLimit(kdcs []KDC) int {
	if !slices.ContainsFunc(kdcs, func(k KDC) bool { return k.Transport != "tcp" }) {
		return 1
	}
	n, err := p.Int(defaultUDPLimit, "libdefaults", "udp_preference_limit")
	if err != nil || n < 0 {
		return defaultUDPLimit
	}
	return min(max(n, 1), maxUDPLimit) // gokrb5's word for "never UDP" is 1
}

func (p *Profile) lifetimes(realm string, l *config.LibDefaults) error {
	var err error
	if l.TicketLifetime, err = p.Duration(24*time.Hour, p.libdefault(realm, "ticket_lifetime")...); err != nil {
		return err
	}
	l.RenewLifetime, err = p.Duration(0, p.libdefault(realm, "renew_lifetime")...)
	return err
}

func (p *Profile) gokrb5Enctypes(l *config.LibDefaults) error {
	permitted, err := p.PermittedEnctypes()
	if err != nil {
		return err
	}
	tkt, err := p.TktEnctypes()
	if err != nil {
		return err
	}
	l.PermittedEnctypeIDs, l.PermittedEnctypes = forGokrb5(permitted)
	l.DefaultTktEnctypeIDs, l.DefaultTktEnctypes = forGokrb5(tkt)
	l.DefaultTGSEnctypeIDs, l.DefaultTGSEnctypes = l.PermittedEnctypeIDs, l.PermittedEnctypes
	if len(tkt) == 0 {
		return ErrNoEnctypes
	}
	return nil
}

// forGokrb5 keeps the types that gokrb5 implements.
func forGokrb5(list []int32) (ids []int32, names []string) {
	for _, id := range list {
		switch id {
		case 16, 17, 18, 19, 20, 23:
			ids = append(ids, id)
			names = append(names, EnctypeName(id))
		}
	}
	return ids, names
}
