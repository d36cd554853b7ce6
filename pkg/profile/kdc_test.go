package profile

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

// What goes beyond MIT; recorded_test.go has the rest.
func TestParseKDC(t *testing.T) {
	for text, want := range map[string]KDC{
		"::1":            {"::1", 88, ""},
		"2001:db8::1":    {"2001:db8::1", 88, ""},
		"tcp/a:99":       {"a", 99, "tcp"},
		"UDP/[::1]:99":   {"::1", 99, "udp"},
		"tcp/::1":        {"::1", 88, "tcp"},
		"[2001:db8::1]":  {"2001:db8::1", 88, ""},
		"kdc.ex.com:750": {"kdc.ex.com", 750, ""},
	} {
		if got, err := ParseKDC(text); got != want || err != nil {
			t.Errorf("ParseKDC(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "[]", "[]:5", "a:0", "http://a/", "tcp/", "udp/:5", "12"} {
		if got, err := ParseKDC(text); err == nil {
			t.Errorf("ParseKDC(%q) = %+v, want an error", text, got)
		}
	}
	if addr := (KDC{Host: "::1", Port: 88}).Addr(); addr != "[::1]:88" {
		t.Errorf("Addr() = %s", addr)
	}
}

func kdcText(list []KDC) string {
	var words []string
	for _, k := range list {
		words = append(words, strings.Trim(k.Transport+"/"+k.Addr(), "/"))
	}
	return strings.Join(words, " ")
}

func TestKDCs(t *testing.T) {
	o := testOptions()
	o.Resolver = fakeDNS{srv: map[string][]*net.SRV{
		"_kerberos._udp.DNS.":        {{Target: "one.", Port: 88}, {Target: "two.", Port: 99}},
		"_kerberos._tcp.DNS.":        {{Target: "two.", Port: 99}, {Target: "three.", Port: 88}},
		"_kerberos-master._tcp.DNS.": {{Target: "primary.", Port: 88}},
		"_kerberos._udp.NONE.":       {{Target: ".", Port: 0}},
	}}
	p, err := Parse("krb5.conf", `[realms]
FILE = {
	kdc = b:5
	kdc = https://proxy/
	kdc = a
	master_kdc = m
	primary_kdc = p
}
OLD = {
	kdc = a
	master_kdc = m
}
PROXY = {
	kdc = https://proxy/KdcProxy
}
BAD = {
	kdc = a
	kdc = a:b
}
`, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for realm, want := range map[string][2]string{
		"FILE": {"b:5 a:88", "p:88"},
		"OLD":  {"a:88", "m:88"},
		"DNS":  {"udp/one:88 two:99 tcp/three:88", "tcp/primary:88"},
	} {
		kdcs, err := p.KDCs(ctx, realm)
		primary, errP := p.PrimaryKDCs(ctx, realm)
		if got := [2]string{kdcText(kdcs), kdcText(primary)}; got != want || err != nil || errP != nil {
			t.Errorf("%s: %q, %v, %v, want %q", realm, got, err, errP, want)
		}
	}
	for realm, text := range map[string]string{
		"PROXY":   "HTTPS proxy",
		"BAD":     `krb5.conf:18: [realms] BAD kdc = "a:b"`,
		"NONE":    `Cannot find KDC for realm "NONE"`,
		"NOWHERE": "no such host",
		"":        `Cannot find KDC for realm ""`,
	} {
		if list, err := p.KDCs(ctx, realm); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, %v, want error with %q", realm, list, err, text)
		}
	}
	if _, err := p.KDCs(ctx, "NOWHERE"); !errors.As(err, new(*NoKDCError)) || !errors.As(err, new(*net.DNSError)) {
		t.Errorf("NOWHERE: %v", err)
	}
}

func TestDefaultRealm(t *testing.T) {
	o := testOptions()
	o.Hostname = func() (string, error) { return "Host.Sub.Ex.Com", nil }
	o.Resolver = fakeDNS{txt: map[string][]string{"_kerberos.ex.com.": {"EX.COM."}, "_kerberos.sub.ex.com.": {"."}}}
	for _, c := range []struct{ conf, option, want string }{
		{"", "", ""},
		{"default_realm = A\ndefault_realm = B", "", "A"},
		{"default_realm = A", "OPT", "OPT"},
		{"default_realm = \"\"", "", ""},
		{"dns_lookup_realm = yes", "", "EX.COM"},
		{"dns_fallback = yes", "", "EX.COM"},
		{"dns_lookup_realm = perhaps", "", ""},
	} {
		o.Realm = c.option
		p, err := Parse("krb5.conf", "[libdefaults]\n"+c.conf, o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.DefaultRealm()
		if got != c.want || errors.Is(err, ErrNoDefaultRealm) != (c.want == "") {
			t.Errorf("%q, -r %q: %q, %v, want %q", c.conf, c.option, got, err, c.want)
		}
	}
}

func TestGokrb5(t *testing.T) {
	p := mustParse(t, `[libdefaults]
	clockskew = 60
	ticket_lifetime = 10h
	R = {
		ticket_lifetime = 1h
		noaddresses = no
	}
	forwardable = yes
	default_tkt_enctypes = camellia aes256-sha2 aes128-cts
	udp_preference_limit = 99999
[realms]
R = {
	kdc = b
	kdc = [::1]:5
}
T = {
	kdc = tcp/b
}
[domain_realm]
	.Ex.com = R
`)
	ctx := context.Background()
	cfg, err := p.Gokrb5(ctx, "R")
	if err != nil {
		t.Fatal(err)
	}
	l := cfg.LibDefaults
	if !slices.Equal(l.DefaultTktEnctypeIDs, []int32{20, 17}) || !slices.Equal(l.PermittedEnctypeIDs, []int32{18, 17, 20, 19, 16, 23}) {
		t.Errorf("enctypes %v, %v", l.DefaultTktEnctypeIDs, l.PermittedEnctypeIDs)
	}
	if l.DefaultRealm != "R" || l.Clockskew.Seconds() != 60 || l.TicketLifetime.Hours() != 1 || l.NoAddresses || !l.Forwardable || l.Proxiable || l.UDPPreferenceLimit != 32700 || l.DNSLookupKDC {
		t.Errorf("%+v", l)
	}
	if len(cfg.Realms) != 1 || cfg.Realms[0].Realm != "R" || !slices.Equal(cfg.Realms[0].KDC, []string{"b:88", "[::1]:5"}) {
		t.Errorf("realms %+v", cfg.Realms)
	}
	if cfg.ResolveRealm("x.ex.com") != "R" {
		t.Errorf("domain_realm %v", cfg.DomainRealm)
	}
	each, err := p.Gokrb5PerKDC(ctx, "R")
	if err != nil || len(each) != 2 || each[0].Realms[0].KDC[0] != "b:88" || each[1].Realms[0].KDC[0] != "[::1]:5" {
		t.Errorf("per KDC: %v, %v", each, err)
	}
	if cfg, err = p.Gokrb5(ctx, "T"); err != nil || cfg.LibDefaults.UDPPreferenceLimit != 1 {
		t.Errorf("TCP only: %v, %v", cfg, err)
	}
}

func TestGokrb5Refuses(t *testing.T) {
	for _, text := range []string{"permitted_enctypes = bogus", "ticket_lifetime = x", "renew_lifetime = x"} {
		p := mustParse(t, "[libdefaults]\n"+text+"\n[realms]\nR = {\nkdc = a\n}\n")
		if _, err := p.Gokrb5(context.Background(), "R"); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
