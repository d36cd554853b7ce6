package profile

import (
	"bufio"
	"context"
	"net"
	"os"
	"strings"
)

// Resolver is what this package asks of DNS and the hosts file. *net.Resolver
// is one.
type Resolver interface {
	// LookupCNAME gives the canonical name of a host that has an address.
	LookupCNAME(ctx context.Context, host string) (string, error)
	// LookupHost gives the addresses of a host in order of preference.
	LookupHost(ctx context.Context, host string) ([]string, error)
	// LookupAddr gives the names of an address.
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	// LookupSRV with empty service and proto gives the SRV records at name,
	// sorted by priority.
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// SystemResolver returns the resolver of this machine.
func SystemResolver() Resolver { return net.DefaultResolver }

// systemSearchDomains returns the search list that the C library would use:
// LOCALDOMAIN, the last search or domain line of /etc/resolv.conf, or what
// follows the first dot of the host name.
func systemSearchDomains() []string {
	if list := strings.Fields(os.Getenv("LOCALDOMAIN")); len(list) > 0 {
		return list
	}
	if f, err := os.Open("/etc/resolv.conf"); err == nil {
		defer f.Close()
		if list := searchDomains(bufio.NewScanner(f)); len(list) > 0 {
			return list
		}
	}
	host, err := os.Hostname()
	if _, domain, ok := strings.Cut(host, "."); err == nil && ok && domain != "" {
		return []string{domain}
	}
	return nil
}

func searchDomains(lines *bufio.Scanner) []string {
	var list []string
	for lines.Scan() {
		switch words := strings.Fields(lines.Text()); {
		case len(words) < 2:
		case words[0] == "search":
			list = words[1:]
		case words[0] == "domain":
			list = words[1:2]
		}
	}
	return list
}
