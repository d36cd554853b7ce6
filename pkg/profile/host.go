package profile

import (
	"context"
	"net"
	"strings"
)

// Hostname returns the name of this host as the system has it, without any
// canonicalisation.
func (p *Profile) Hostname() (string, error) { return p.hostname() }

// CanonicalHost returns the name of a host in its principal host/NAME
// (reference kprop-protocol.md 17.1, krb5_sname_to_principal). An empty host
// is this one.
//
// With [libdefaults] dns_canonicalize_hostname = fallback it is the name as
// given. Else it is looked up, if dns_canonicalize_hostname and rdns say so;
// failed lookups are no error and leave the name as it is. The one error from
// a lookup is a ctx that is done.
//
// As in MIT, a suffix ":something" is kept aside; it is part of the instance.
func (p *Profile) CanonicalHost(ctx context.Context, host string) (string, error) {
	host, err := p.orOwn(host)
	if err != nil {
		return "", err
	}
	mode, err := p.canonMode()
	if err != nil || mode == canonFallback {
		return host, err
	}
	return p.expandHost(ctx, host, mode == canonDNS)
}

// HostCandidates returns the names under which an acceptor looks for its key
// in the keytab, best first. It is the canonical name; with
// dns_canonicalize_hostname = fallback the name in lower case and with its
// domain, but without lookups, and then the name found with lookups, if that
// differs. The second counts only if the keytab has no entry for the first.
func (p *Profile) HostCandidates(ctx context.Context, host string) ([]string, error) {
	mode, err := p.canonMode()
	if err != nil {
		return nil, err
	}
	if mode != canonFallback {
		name, err := p.CanonicalHost(ctx, host)
		if err != nil {
			return nil, err
		}
		return []string{name}, nil
	}
	if host, err = p.orOwn(host); err != nil {
		return nil, err
	}
	plain, err := p.expandHost(ctx, host, false)
	if err != nil {
		return nil, err
	}
	found, err := p.expandHost(ctx, host, true)
	if err != nil {
		return nil, err
	}
	if found == plain {
		return []string{plain}, nil
	}
	return []string{plain, found}, nil
}

func (p *Profile) orOwn(host string) (string, error) {
	if host == "" {
		return p.hostname()
	}
	return host, nil
}

// expandHost makes the canonical name of a host, by lookups only if dns.
func (p *Profile) expandHost(ctx context.Context, host string, dns bool) (string, error) {
	host, trailer := splitTrailer(host)
	name, found := host, false
	if dns {
		if name, found = p.lookupCanonical(ctx, host); ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
	}
	if !found && !strings.Contains(name, ".") {
		if suffix := p.shortnameSuffix(); suffix != "" {
			name += "." + suffix
		}
	}
	return strings.TrimSuffix(lower(name), ".") + trailer, nil
}

// splitTrailer cuts off ":port" or ":instance". A name with two colons is an
// address.
func splitTrailer(host string) (name, trailer string) {
	i := strings.IndexByte(host, ':')
	if i < 0 || i == len(host)-1 || strings.IndexByte(host[i+1:], ':') >= 0 {
		return host, ""
	}
	return host[:i], host[i:]
}

// lookupCanonical asks for the canonical name, and with rdns for the name of
// the first address. It reports whether the forward lookup succeeded.
func (p *Profile) lookupCanonical(ctx context.Context, host string) (string, bool) {
	name, addr := host, host
	if net.ParseIP(host) == nil {
		addrs, err := p.resolver.LookupHost(ctx, host)
		if err != nil || len(addrs) == 0 {
			return host, false
		}
		addr = addrs[0]
		if canon, err := p.resolver.LookupCNAME(ctx, host); err == nil && canon != "" {
			name = canon
		}
	}
	// An unreadable value counts as the default, as in MIT.
	if rdns, _ := p.Bool(true, "libdefaults", "rdns"); rdns {
		if names, err := p.resolver.LookupAddr(ctx, addr); err == nil && len(names) > 0 {
			name = names[0]
		}
	}
	return name, true
}

// shortnameSuffix is the domain for names without a dot that DNS does not know.
func (p *Profile) shortnameSuffix() string {
	if s, ok := p.Value("libdefaults", "qualify_shortname"); ok {
		return s
	}
	if list := p.domains(); len(list) > 0 {
		return list[0]
	}
	return ""
}

// lower changes ASCII letters only, as the C locale does.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
