package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
)

// stashOutcome is what came of the trial of a stash.
type stashOutcome struct {
	Tried bool   `json:"tried"`
	File  string `json:"file,omitempty"`
	KVNO  uint32 `json:"kvno,omitempty"` // of the newest master key
	EType string `json:"enctype,omitempty"`
	// Principals and Keys are how many of the sample were tried and opened.
	Principals int    `json:"principals,omitempty"`
	Keys       int    `json:"keys,omitempty"`
	Why        string `json:"why_not,omitempty"` // it was not tried, or does not open the dump
}

func (s *stashOutcome) text() string {
	switch {
	case !s.Tried:
		return "not tried: " + s.Why
	case s.Why != "":
		return s.File + " does not open it"
	}
	return fmt.Sprintf("%s opens the master key (kvno %d, %s) and %s of %s that were tried",
		s.File, s.KVNO, s.EType, plural(s.Keys, "key"), plural(s.Principals, "principal"))
}

// realmConf is the configuration of this host, as far as there is one.
type realmConf struct {
	profile *profile.Profile
	err     error
}

func (v *verifyVerb) realmConf() realmConf {
	p, err := profile.Load(profile.Options{Realm: v.realm, KDC: true})
	return realmConf{p, err}
}

// masterKeyName is that of the realm asked for, or of the default realm; empty
// if neither is configured.
func (c realmConf) masterKeyName(realm string) string {
	if c.err != nil {
		return ""
	}
	if realm == "" {
		realm, _ = c.profile.DefaultRealm()
	}
	conf, err := c.profile.RealmConfig(realm)
	if err != nil {
		return ""
	}
	return conf.MasterKeyName
}

// stashOf gives the stash of a realm on this host.
func (c realmConf) stashOf(realm string) (string, error) {
	if c.err != nil {
		return "", c.err
	}
	conf, err := c.profile.RealmConfig(realm)
	if err != nil {
		return "", err
	}
	return conf.StashFile, nil
}

// tryStash opens the master key and a sample of keys. The stash that this host
// happens to have is tried if it can be; one that was named must be there. The
// error is that of reading it.
func (v *verifyVerb) tryStash(o *verifyOutcome, rep *dump.Report, conf realmConf) error {
	path := v.stash
	if v.noStash {
		o.Stash.Why = "--no-stash"
		return nil
	}
	if path == "" {
		var err error
		if path, err = conf.stashOf(rep.Realm); err != nil {
			o.Stash.Why = "no configuration tells of a stash, name one with --stash: " + err.Error()
			return nil
		}
	}
	stash, err := kdb.LoadStash(path)
	if v.stash == "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		o.Stash.Why = err.Error() + "; name another with --stash"
		return nil
	}
	if err != nil && !errors.Is(err, kdb.ErrStash) {
		return err
	}
	o.Stash.Tried, o.Stash.File = true, path
	if err == nil {
		err = o.open(rep, stash)
	}
	if err != nil {
		o.Stash.Why = err.Error()
		o.fail(err, stashMend(path, err)...)
	}
	return nil
}

// open opens the master key entry, and with it the sample.
func (o *verifyOutcome) open(rep *dump.Report, stash *kdb.Stash) error {
	keys, err := kdb.OpenMasterKeys(rep.KM, stash)
	if err != nil {
		return err
	}
	for _, f := range keys.Findings {
		if f.Problem() {
			o.warn(f.Text)
		}
	}
	trial, err := keys.Try(rep.Sample)
	newest := keys.Newest()
	o.Stash.KVNO, o.Stash.EType = newest.KVNO, newest.EType.String()
	o.Stash.Principals, o.Stash.Keys = trial.Principals, trial.Keys
	return err
}

// stashMend tells what to do about a stash that does not open the dump, or keys
// that the master key does not.
func stashMend(path string, err error) []string {
	var wrong *kdb.MasterKeyError
	switch {
	case errors.As(err, &wrong):
		return []string{
			"if the dump is of another primary, that is right: --stash names its stash, --no-stash does without",
			"else on the primary  kdb5_util stash  and copy the file to " + path + " here, over a safe channel",
		}
	case errors.Is(err, kdb.ErrDamaged):
		return []string{
			"the key cannot be used; on the primary give the principal a new one:  kadmin.local -q 'cpw PRINCIPAL'",
			"or a replica's database is older and good: see kprop diff",
		}
	}
	return []string{"make the stash anew on the primary:  kdb5_util stash"}
}
