package profile

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// names of a network where vm is an alias and its address has another name.
func hostDNS() fakeDNS {
	return fakeDNS{
		host:  map[string][]string{"vm": {"10.0.0.1", "10.0.0.2"}, "VM": {"10.0.0.1"}, "alias.ex.com": {"10.0.0.9"}, "short": {"10.0.0.8"}},
		cname: map[string]string{"vm": "vm.ex.com.", "VM": "VM.Ex.Com.", "alias.ex.com": "Real.ex.com.", "short": "short."},
		addr:  map[string][]string{"10.0.0.1": {"rev.ex.com.", "other.ex.com."}, "10.0.0.2": {"wrong."}, "::1": {"six.ex.com."}},
	}
}

func hostProfile(t *testing.T, libdefaults string) *Profile {
	t.Helper()
	o := testOptions()
	o.Resolver = hostDNS()
	o.SearchDomains = func() []string { return []string{"search.org", "two.org"} }
	p, err := Parse("krb5.conf", "[libdefaults]\n"+libdefaults, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCanonicalHost(t *testing.T) {
	const off, fallback, noRDNS = "dns_canonicalize_hostname = false\n", "dns_canonicalize_hostname = fallback\n", "rdns = no\n"
	for _, c := range []struct{ conf, host, want string }{
		{"", "VM", "rev.ex.com"},
		{"rdns = perhaps", "vm", "rev.ex.com"},
		{noRDNS, "VM", "vm.ex.com"},
		{"", "alias.ex.com", "real.ex.com"},
		{"", "Unknown", "unknown.search.org"},
		{"qualify_shortname = \"\"", "Unknown", "unknown"},
		{"qualify_shortname = Q.org", "Unknown", "unknown.q.org"},
		{"qualify_shortname = Q.org", "unknown.", "unknown"},
		{"qualify_shortname = Q.org", "a.b", "a.b"},
		{"", "short", "short"}, // found, so no suffix
		{"", "10.0.0.1", "rev.ex.com"},
		{noRDNS, "10.0.0.1", "10.0.0.1"},
		{"", "::1", "six.ex.com"},
		{"", "10.9.9.9", "10.9.9.9"},
		{off, "VM", "vm.search.org"},
		{off, "A.B.", "a.b"},
		{off + "qualify_shortname = x.y", "foo:bar", "foo.x.y:bar"},
		{off + "qualify_shortname = x.y", "foo:", "foo:.x.y"},
		{off, "\xc3\x84.Org", "\xc3\x84.org"},
		{fallback, "VM", "VM"},
		{fallback, "vm.", "vm."},
		{"", "", "own.search.org"},
		{fallback, "", "Own"},
	} {
		got, err := hostProfile(t, c.conf).CanonicalHost(context.Background(), c.host)
		if got != c.want || err != nil {
			t.Errorf("%q: CanonicalHost(%q) = %q, %v, want %q", c.conf, c.host, got, err, c.want)
		}
	}
}

func TestHostCandidates(t *testing.T) {
	for _, c := range []struct {
		conf, host string
		want       []string
	}{
		{"", "VM", []string{"rev.ex.com"}},
		{"dns_canonicalize_hostname = false", "VM", []string{"vm.search.org"}},
		{"dns_canonicalize_hostname = Fallback", "VM", []string{"vm.search.org", "rev.ex.com"}},
		{"dns_canonicalize_hostname = fallback\nqualify_shortname = \"\"", "VM", []string{"vm", "rev.ex.com"}},
		{"dns_canonicalize_hostname = fallback", "unknown", []string{"unknown.search.org"}},
		{"dns_canonicalize_hostname = fallback", "", []string{"own.search.org"}},
	} {
		got, err := hostProfile(t, c.conf).HostCandidates(context.Background(), c.host)
		if !slices.Equal(got, c.want) || err != nil {
			t.Errorf("%q: HostCandidates(%q) = %q, %v, want %q", c.conf, c.host, got, err, c.want)
		}
	}
}

// A lookup that was cut off must not pass for one that found nothing.
func TestCanonicalHostCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p := hostProfile(t, "")
	if name, err := p.CanonicalHost(ctx, "vm"); !errors.Is(err, context.Canceled) {
		t.Errorf("CanonicalHost = %q, %v", name, err)
	}
}

func TestSearchDomains(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"search\nnameserver ::1":  "",
		"search a.b c.d\n":        "a.b c.d",
		"search a\n domain b c\n": "b",
		"domain b\nsearch a\n":    "a",
	} {
		if got := strings.Join(searchDomains(bufio.NewScanner(strings.NewReader(text))), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
