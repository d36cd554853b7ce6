package transport

import (
	"context"
	"fmt"
	"os"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/internal/rcache"
	"github.com/kprop/kprop/pkg/profile"
)

// HostAcceptor prepares the acceptor of a service that runs as host/ this host
// in a realm: with the keytab of that name, or the default one if it is empty,
// and with replay cache, enctypes and clock skew of the profile. It also gives
// the path of the keytab's file, which need not be there yet. Errors name what
// in the profile is wrong.
func HostAcceptor(ctx context.Context, p *profile.Profile, realm, keytabName, application string, t Timeouts) (a *Acceptor, path string, err error) {
	names, err := p.HostCandidates(ctx, "")
	if err != nil {
		return nil, "", fmt.Errorf("name of this host: %w", err)
	}
	a = &Acceptor{Application: application, ClockSkew: p.ClockSkew(), Timeouts: t}
	for _, n := range names {
		a.Principals = append(a.Principals, principal.New(realm, "host", n))
	}
	if keytabName == "" {
		if keytabName, err = p.DefaultKeytab(); err != nil {
			return nil, "", err
		}
	}
	if path, err = keytab.Path(keytabName); err != nil {
		return nil, "", err
	}
	a.Keytab = func() (*keytab.Keytab, error) { return keytab.Load(keytabName) }
	typ, residual, err := p.ReplayCacheName()
	if err != nil {
		return nil, "", err
	}
	if a.Replays, err = rcache.New(typ, residual, os.Getenv); err != nil {
		return nil, "", err
	}
	a.Permitted, err = permitted(p)
	return a, path, err
}

// permitted says which enctypes a session key may have: those of the profile,
// and of the deprecated ones only those that it allows by name.
func permitted(p *profile.Profile) (func(enctype.ID) bool, error) {
	list, err := p.PermittedEnctypes()
	if err != nil {
		return nil, err
	}
	allowed := make(map[enctype.ID]bool)
	for _, id := range list {
		allowed[enctype.ID(id)] = true
	}
	allowed[enctype.DES3] = allowed[enctype.DES3] && p.AllowDES3()
	allowed[enctype.RC4] = allowed[enctype.RC4] && p.AllowRC4()
	return func(id enctype.ID) bool { return allowed[id] }, nil
}

// KeytabCredentials gets a ticket for server by one AS exchange as client, with
// the keytab of that name, and KDCs and settings of the profile. The errors are
// those of keytab.Load, of the profile and of GetCredentials.
func KeytabCredentials(ctx context.Context, p *profile.Profile, keytabName string, client, server principal.Name) (*Credentials, error) {
	kt, err := keytab.Load(keytabName)
	if err != nil {
		return nil, err
	}
	kdcs, err := p.KDCs(ctx, client.Realm)
	if err != nil {
		return nil, err
	}
	cfg, err := p.Gokrb5(ctx, client.Realm)
	if err != nil {
		return nil, err
	}
	// The enctypes of the profile, with those that gokrb5 does not have.
	if cfg.LibDefaults.DefaultTktEnctypeIDs, err = p.TktEnctypes(); err != nil {
		return nil, err
	}
	return GetCredentials(ctx, CredentialRequest{
		Client: client, Server: server, Keytab: kt, KDCs: kdcs, Config: cfg, SyncTime: syncTime(p),
	})
}

// syncTime is [libdefaults] kdc_timesync. MIT reads it as a number; anything
// but 0 means yes.
func syncTime(p *profile.Profile) bool {
	sync, err := p.Bool(true, "libdefaults", "kdc_timesync")
	return sync || err != nil
}
