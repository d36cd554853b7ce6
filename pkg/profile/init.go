package profile

import (
	"errors"
	"strings"
	"time"
)

// canonMode is [libdefaults] dns_canonicalize_hostname.
type canonMode int

const (
	canonDNS canonMode = iota
	canonPlain
	canonFallback
)

var errNotCanonMode = errors.New("not one of true, false, fallback")

// checkInit refuses the values that keep MIT's library from starting.
func (p *Profile) checkInit() error {
	for _, tag := range []string{"allow_weak_crypto", "allow_des3", "allow_rc4",
		"ignore_acceptor_hostname", "enforce_ok_as_delegate"} {
		if _, err := p.Bool(false, "libdefaults", tag); err != nil {
			return err
		}
	}
	_, err := p.canonMode()
	return err
}

func (p *Profile) canonMode() (canonMode, error) {
	return first(p, canonDNS, []string{"libdefaults", "dns_canonicalize_hostname"}, func(s string) (canonMode, error) {
		if strings.EqualFold(s, "fallback") {
			return canonFallback, nil
		}
		on, err := parseBool(s)
		if err != nil {
			return 0, errNotCanonMode
		}
		if on {
			return canonDNS, nil
		}
		return canonPlain, nil
	})
}

// ClockSkew returns [libdefaults] clockskew, by default 5 minutes. As in MIT,
// it is a plain number of seconds, and anything else counts for nothing.
func (p *Profile) ClockSkew() time.Duration {
	seconds, _ := p.Int(300, "libdefaults", "clockskew")
	return time.Duration(seconds) * time.Second
}

// libdefault returns the path of a [libdefaults] relation that may also stand
// in a subsection for the realm: that one if it is there, else the general
// one.
func (p *Profile) libdefault(realm, tag string) []string {
	if path := []string{"libdefaults", realm, tag}; len(p.relations(path)) > 0 {
		return path
	}
	return []string{"libdefaults", tag}
}
