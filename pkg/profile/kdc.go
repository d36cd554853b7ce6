package profile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// KDC is where a KDC listens.
type KDC struct {
	Host      string // name or address, without brackets
	Port      int    // 1 to 65535
	Transport string // "udp", "tcp", or "" for both
}

// Addr returns host:port as net.Dial takes it.
func (k KDC) Addr() string { return net.JoinHostPort(k.Host, strconv.Itoa(k.Port)) }

// NoKDCError says that no KDC of a realm is known. Its text begins like MIT's.
type NoKDCError struct {
	Realm string
	Err   error // why, and what mends it
}

func (e *NoKDCError) Error() string {
	return fmt.Sprintf("Cannot find KDC for realm %q: %v", e.Realm, e.Err)
}

func (e *NoKDCError) Unwrap() error { return e.Err }

// KDCs returns the KDCs of a realm in the order in which they are to be tried:
// all kdc values of [realms], or if there is none, and dns_lookup_kdc is not
// off, those of the SRV records _kerberos._udp and _kerberos._tcp. Names are
// not resolved. One unreadable value makes a *ValueError, as it makes MIT give
// up. HTTPS proxies are left out. If nothing is left the error is a
// *NoKDCError.
//
// Beyond MIT, an IPv6 address may stand without brackets, and udp/ or tcp/ in
// front of a value chooses the transport. URI records are not asked for.
func (p *Profile) KDCs(ctx context.Context, realm string) ([]KDC, error) {
	return p.locate(ctx, realm, "kdc", "_kerberos")
}

// PrimaryKDCs returns the KDCs on the primary of a realm: all primary_kdc
// values, else all master_kdc values, else the SRV records _kerberos-master.
// MIT asks one of these again when another KDC has refused a request. Errors
// are those of KDCs.
func (p *Profile) PrimaryKDCs(ctx context.Context, realm string) ([]KDC, error) {
	tag := "primary_kdc"
	if len(p.Values("realms", realm, tag)) == 0 {
		tag = "master_kdc"
	}
	return p.locate(ctx, realm, tag, "_kerberos-master")
}

func (p *Profile) locate(ctx context.Context, realm, tag, service string) ([]KDC, error) {
	path := []string{"realms", realm, tag}
	rels := p.relations(path)
	var list []KDC
	for _, r := range rels {
		if strings.HasPrefix(r.value, httpsPrefix) {
			continue
		}
		k, err := parseRelation(r, KDC{}, path, ParseKDC)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	if len(list) > 0 {
		return list, nil
	}
	if len(rels) > 0 {
		return nil, &NoKDCError{realm, fmt.Errorf("every %s in %s is an HTTPS proxy, which is not supported: add one as HOST or HOST:PORT", tag, rels[0].file)}
	}
	return p.locateDNS(ctx, realm, tag, service)
}

func (p *Profile) locateDNS(ctx context.Context, realm, tag, service string) ([]KDC, error) {
	mend := fmt.Sprintf("add %q to the realm in [realms] of krb5.conf", tag+" = HOST")
	if !p.useDNS("dns_lookup_kdc", true) || realm == "" {
		return nil, &NoKDCError{realm, errors.New(mend)}
	}
	var list []KDC
	var failed error
	for _, proto := range []string{"udp", "tcp"} {
		name := service + "._" + proto + "." + strings.TrimSuffix(realm, ".") + "."
		_, records, err := p.resolver.LookupSRV(ctx, "", "", name)
		if err != nil {
			failed = err
		}
		list = addRecords(list, records, proto)
	}
	if len(list) > 0 {
		return list, nil
	}
	if failed == nil {
		failed = errors.New("no usable SRV records")
	}
	return nil, &NoKDCError{realm, fmt.Errorf("%s (DNS: %w)", mend, failed)}
}

// addRecords adds SRV records. A host that offers both protocols on one port
// is one KDC.
func addRecords(list []KDC, records []*net.SRV, proto string) []KDC {
	for _, r := range records {
		k := KDC{Host: strings.TrimSuffix(r.Target, "."), Port: int(r.Port), Transport: proto}
		if k.Host == "" || k.Port == 0 { // "." means that the service is not offered
			continue
		}
		same := func(o KDC) bool { return o.Host == k.Host && o.Port == k.Port }
		switch i := slices.IndexFunc(list, same); {
		case i < 0:
			list = append(list, k)
		case list[i].Transport != proto:
			list[i].Transport = ""
		}
	}
	return list
}

// useDNS reads a switch for DNS lookups: dns_fallback stands in for a missing
// one, and unknown words mean no.
func (p *Profile) useDNS(tag string, def bool) bool {
	for _, tag := range []string{tag, "dns_fallback"} {
		if s, ok := p.Value("libdefaults", tag); ok {
			on, err := parseBool(s)
			return on && err == nil
		}
	}
	return def
}

const (
	httpsPrefix = "https://"
	kdcPort     = 88
)

// ParseKDC reads the value of a kdc relation: HOST, HOST:PORT, [IPv6],
// [IPv6]:PORT or a bare IPv6 address, perhaps with udp/ or tcp/ in front. As in
// MIT, text behind a blank is ignored if no port was given.
func ParseKDC(s string) (KDC, error) {
	k := KDC{Port: kdcPort}
	for _, proto := range []string{"udp", "tcp"} {
		if rest, ok := strings.CutPrefix(lowerPrefix(s, 4), proto+"/"); ok {
			s, k.Transport = rest, proto
		}
	}
	if strings.Contains(s, "://") {
		return KDC{}, errors.New("a URL: only HOST, HOST:PORT or [IPv6]:PORT is supported")
	}
	if ip := net.ParseIP(s); ip != nil {
		k.Host = s
		return k, nil
	}
	rest := ""
	if end := strings.IndexByte(s, ']'); strings.HasPrefix(s, "[") && end > 0 {
		k.Host, rest = s[1:end], s[end+1:]
	} else if end := strings.IndexAny(s, " \t:"); end >= 0 {
		k.Host, rest = s[:end], s[end:]
	} else {
		k.Host = s
	}
	if _, err := strconv.ParseUint(k.Host, 10, 64); k.Host == "" || err == nil {
		return KDC{}, errors.New("no host name")
	}
	if strings.HasPrefix(rest, ":") {
		port, err := strconv.ParseInt(skipBlanks(rest[1:]), 10, 32)
		if err != nil || port < 1 || port > 65535 {
			return KDC{}, errors.New("the port is not a number from 1 to 65535")
		}
		k.Port = int(port)
	}
	return k, nil
}

func lowerPrefix(s string, n int) string {
	n = min(n, len(s))
	return lower(s[:n]) + s[n:]
}
