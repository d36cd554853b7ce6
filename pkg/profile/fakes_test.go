package profile

import (
	"context"
	"net"
)

// fakeDNS answers from its maps; what is not in them does not exist.
type fakeDNS struct {
	host  map[string][]string
	cname map[string]string
	addr  map[string][]string
	srv   map[string][]*net.SRV
	txt   map[string][]string
}

func notFound(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func find[V any](m map[string]V, name string) (V, error) {
	v, ok := m[name]
	if !ok {
		return v, notFound(name)
	}
	return v, nil
}

func (d fakeDNS) LookupCNAME(ctx context.Context, name string) (string, error) {
	return find(d.cname, name)
}

func (d fakeDNS) LookupHost(ctx context.Context, name string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return find(d.host, name)
}

func (d fakeDNS) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return find(d.addr, addr)
}

func (d fakeDNS) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	if service != "" || proto != "" {
		return "", nil, notFound("built name")
	}
	r, err := find(d.srv, name)
	return name, r, err
}

func (d fakeDNS) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return find(d.txt, name)
}

// testOptions keep tests away from this machine's environment and network.
func testOptions() Options {
	layout := debian()
	return Options{
		Env:           env(),
		Layout:        &layout,
		Resolver:      fakeDNS{},
		Hostname:      func() (string, error) { return "Own", nil },
		SearchDomains: func() []string { return nil },
	}
}
