package profile

import (
	"context"
	"errors"
	"strings"
	"time"
)

// ErrNoDefaultRealm says that there is no default realm. MIT's text is
// "Configuration file does not specify default realm".
var ErrNoDefaultRealm = errors.New("configuration file does not specify default realm: set default_realm in [libdefaults] of krb5.conf, or use -r")

// dnsTimeout bounds the lookups that have no context of their caller.
const dnsTimeout = 10 * time.Second

// DefaultRealm returns Options.Realm or [libdefaults] default_realm. Without
// both, and only if dns_lookup_realm is on, it asks for the TXT records
// _kerberos.HOST of this host's canonical name and of the domains above it.
// The error is ErrNoDefaultRealm, or that of the host name.
func (p *Profile) DefaultRealm() (string, error) {
	if p.realm != "" {
		return p.realm, nil
	}
	if realm, ok := p.Value("libdefaults", "default_realm"); ok {
		if realm == "" {
			return "", ErrNoDefaultRealm
		}
		return realm, nil
	}
	if !p.useDNS("dns_lookup_realm", false) {
		return "", ErrNoDefaultRealm
	}
	ctx, cancel := context.WithTimeout(context.Background(), dnsTimeout)
	defer cancel()
	host, err := p.CanonicalHost(ctx, "")
	if err != nil {
		return "", err
	}
	for domain := host; domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		records, err := p.resolver.LookupTXT(ctx, "_kerberos."+domain+".")
		if err == nil && len(records) > 0 && strings.TrimSuffix(records[0], ".") != "" {
			return strings.TrimSuffix(records[0], "."), nil
		}
	}
	return "", ErrNoDefaultRealm
}

// Realm is what kdc.conf (and krb5.conf) say of a realm's database, with the
// build's defaults filled in (reference kdb-formats.md chapter 7).
type Realm struct {
	Name string

	DatabaseModule string // section of [dbmodules], by default the realm's name
	DBLibrary      string // db2, klmdb, kldap
	DBModuleDirs   []string
	// DatabaseName is the file that the back end opens.
	DatabaseName string
	// NominalDatabaseName is what kdb5_util names in messages and derives the
	// update log from; it disregards [dbmodules].
	NominalDatabaseName string

	UnlockIter, DisableLastSuccess, DisableLockout bool // [dbmodules]
	MapSize                                        int  // LMDB, MiB
	MaxReaders                                     int  // LMDB, 0: LMDB's default
	NoSync                                         bool // LMDB

	StashFile     string
	MasterKeyName string // K/M
	MasterKeyType string // as written; by default aes256-cts-hmac-sha1-96

	ACLFile          string // kadm5.acl
	MaxLife          time.Duration
	MaxRenewableLife time.Duration

	IpropEnable        bool
	IpropResyncTimeout time.Duration // for a whole connection of kpropd; 0: none
	IpropLogfile       string

	// Ignored lists the values that MIT skips since it cannot read them;
	// the default took their place. Each is a *ValueError.
	Ignored []error
}

// RealmConfig returns the settings of a realm. The Profile should have been
// loaded with Options.KDC. An unreadable value in [dbmodules] is a
// *ValueError, since MIT's back ends refuse to start with it; others are
// listed in Realm.Ignored.
//
// Mind that MIT's administration library takes the LAST value of a [realms]
// relation, so that krb5.conf overrides kdc.conf there, while database_name in
// the back end and the [dbmodules] relations follow the general rule: the
// first value counts.
func (p *Profile) RealmConfig(realm string) (Realm, error) {
	r := Realm{Name: realm}
	p.adminParams(&r)
	err := p.moduleParams(&r)
	return r, err
}

// adminParams reads what kadm5_get_config_params reads.
func (p *Profile) adminParams(r *Realm) {
	path := func(tag string) []string { return []string{"realms", r.Name, tag} }
	text := func(tag, def string) string {
		if v, ok := p.LastValue(path(tag)...); ok && v != "" {
			return v
		}
		return def
	}
	r.NominalDatabaseName = text("database_name", p.layout.Database)
	r.StashFile = text("key_stash_file", p.layout.StashPrefix+r.Name)
	r.MasterKeyName = text("master_key_name", "K/M")
	r.MasterKeyType = text("master_key_type", EnctypeName(18))
	r.ACLFile = text("acl_file", p.layout.KadminACL)
	r.IpropLogfile = text("iprop_logfile", r.NominalDatabaseName+".ulog")

	r.MaxLife = lastOf(p, r, 24*time.Hour, path("max_life"), ParseDuration)
	r.MaxRenewableLife = lastOf(p, r, 0, path("max_renewable_life"), ParseDuration)
	r.IpropResyncTimeout = lastOf(p, r, 5*time.Minute, path("iprop_resync_timeout"), ParseDuration)
	r.IpropEnable = lastOf(p, r, false, path("iprop_enable"), parseBool)
}

// lastOf reads the last value at path, and notes one that is ignored.
func lastOf[T any](p *Profile, r *Realm, def T, path []string, parse func(string) (T, error)) T {
	v, err := last(p, def, path, parse)
	if err != nil {
		r.Ignored = append(r.Ignored, err)
	}
	return v
}

// moduleParams reads what the database back ends read.
func (p *Profile) moduleParams(r *Realm) error {
	text := func(def string, path ...string) string {
		if v, ok := p.Value(path...); ok {
			return v
		}
		return def
	}
	r.DatabaseModule = text(r.Name, "realms", r.Name, "database_module")
	module := func(tag string) []string { return []string{"dbmodules", r.DatabaseModule, tag} }
	r.DBLibrary = text("db2", module("db_library")...)
	r.DBModuleDirs = append(p.Values("dbmodules", "db_module_dir"), p.layout.PluginDir)
	r.DatabaseName = text(text(p.layout.Database, "realms", r.Name, "database_name"), module("database_name")...)

	var errs [5]error
	r.UnlockIter, errs[0] = p.Bool(false, module("unlockiter")...)
	r.DisableLastSuccess, errs[1] = p.Bool(false, module("disable_last_success")...)
	r.DisableLockout, errs[2] = p.Bool(false, module("disable_lockout")...)
	if r.DBLibrary == "klmdb" {
		var intErrs [2]error
		r.MapSize, intErrs[0] = p.Int(128, module("mapsize")...)
		r.MaxReaders, intErrs[1] = p.Int(0, module("max_readers")...)
		errs[3] = errors.Join(intErrs[:]...)
		r.NoSync, errs[4] = p.Bool(false, module("nosync")...)
	}
	return errors.Join(errs[:]...)
}
