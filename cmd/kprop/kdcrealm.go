package main

import (
	"slices"

	"github.com/kprop/kprop/pkg/profile"
)

// kdcRealm reads what kdc.conf says of a realm, which is by default that of
// krb5.conf.
func kdcRealm(realm string) (name string, conf *profile.Realm, err error) {
	p, err := profile.Load(profile.Options{Realm: realm, KDC: true})
	if err != nil {
		return "", nil, err
	}
	if name, err = p.DefaultRealm(); err != nil {
		return "", nil, err
	}
	found, err := p.RealmConfig(name)
	return name, &found, err
}

// mitWords makes of kdb5_util's long options with one hyphen what pflag
// understands.
func mitWords(args []string, options ...string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if slices.Contains(options, arg) {
			args[i] = "-" + arg
		}
	}
	return args
}
