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

// utilWords makes of kdb5_util's long options with one hyphen what pflag
// understands. Those that are not for us too, since pflag would take -recurse for
// -r ecurse.
func utilWords(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		switch arg {
		case "-b6", "-b7", "-hash", "-i", "-mkey_convert", "-new_mkey_file", "-old", "-ov", "-r13", "-r18",
			"-recurse", "-rev", "-update", "-verbose":
			args[i] = "-" + arg
		}
	}
	return args
}
