package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/transport"
)

// remote is a replica as it is seen from here.
type remote struct {
	*host
	*series
	target target

	principal principal.Name
	addrs     []netip.Addr
	cred      *transport.Credentials
	nc        net.Conn // to the first address that answers
	address   string
	session   *recorder
	time      time.Time // by the replica's clock, when it told it
}

func (r *remote) do(ctx context.Context, name string, needs []string, run func(context.Context) []Item) {
	r.series.do(ctx, name, needs, run)
}

func (r *remote) connectTo() string {
	if r.target.address != "" {
		return r.target.address
	}
	return r.target.host
}

func (r *remote) propagation() Propagation {
	p := r.host.propagation()
	p.Replica, p.Address, p.Server = r.target.label, r.address, r.principal.String()
	p.Port = r.target.port
	n, err := transport.KpropService.LookupPort(p.Port)
	if err != nil {
		p.BadPort = err
	} else {
		p.Port = strconv.Itoa(n)
	}
	return p
}

// checkNames resolves the replica's name in both directions.
func (r *remote) checkNames(ctx context.Context) []Item {
	var err error
	if r.principal, err = r.server(ctx, r.target); err != nil {
		return failItem(err.Error())
	}
	where := r.connectTo()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", where)
	if err != nil || len(addrs) == 0 {
		dns := &net.DNSError{Name: where, IsNotFound: true}
		errors.As(err, &dns)
		p := r.propagation()
		p.Replica = where
		return because(dns, p.network(dns))
	}
	var families []string
	for _, a := range addrs {
		a = a.Unmap()
		if slices.Contains(r.addrs, a) {
			continue
		}
		r.addrs = append(r.addrs, a)
		if f := family(a); !slices.Contains(families, f) {
			families = append(families, f)
		}
	}
	text := fmt.Sprintf("%s is %s (%s), principal %v", where, joinAddrs(r.addrs), strings.Join(families, " and "), r.principal)
	if odd := r.leadsHere(where); odd != "" {
		return warnItem(odd, "getent ahosts "+where+"    (then mend /etc/hosts or DNS)")
	}
	back, odd := r.reverse(ctx)
	if odd {
		return warnItem(text+"; "+back, "mend the reverse entry in DNS or /etc/hosts, or set rdns = false in [libdefaults]")
	}
	return okItem("%s; %s", text, back)
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func joinAddrs(addrs []netip.Addr) string {
	var list []string
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return strings.Join(list, ", ")
}

// leadsHere finds the line of /etc/hosts that gives another host's name to
// this one.
func (r *remote) leadsHere(where string) string {
	if isLocalhost(where) || slices.Contains(r.names, r.principal.Components[len(r.principal.Components)-1]) {
		return ""
	}
	for _, a := range r.addrs {
		if a.IsLoopback() {
			return fmt.Sprintf("the name %s leads to %v, which is this host itself", where, a)
		}
	}
	return ""
}

// reverse tells the names of the addresses. They matter only if krb5.conf says
// that principals follow from them.
func (r *remote) reverse(ctx context.Context) (text string, odd bool) {
	if len(r.addrs) == 0 {
		return "no address", true
	}
	var names []string
	matters := r.reverseLookups() && r.target.principal == ""
	for _, a := range r.addrs {
		list, err := net.DefaultResolver.LookupAddr(ctx, a.String())
		if err != nil || len(list) == 0 {
			continue
		}
		name := strings.TrimSuffix(list[0], ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		forth, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		if matters && (err != nil || !slices.ContainsFunc(forth, func(b netip.Addr) bool { return b.Unmap() == a })) {
			return fmt.Sprintf("the reverse name of %v is %s, which does not lead back to it", a, name), true
		}
	}
	if len(names) == 0 {
		return "no reverse name", false
	}
	if matters && len(names) > 1 {
		return "its addresses have several reverse names, so the principal is a matter of chance: " + strings.Join(names, ", "), true
	}
	return "reverse " + strings.Join(names, ", "), false
}

// checkTicket asks for the ticket of a propagation.
func (r *remote) checkTicket(ctx context.Context) []Item {
	var err error
	if r.cred, err = r.ticket(ctx, r.kdcs, r.principal); err != nil {
		return because(err, r.propagation().Explain(step("while getting initial credentials", err)))
	}
	key := keyOf(r.cred.Ticket)
	return okItem("%v issued, kvno %d, %v", r.principal, key.kvno, key.etype)
}

// dialPatience bounds the connection to one address; all are tried at once.
const dialPatience = 4 * time.Second

// checkPort connects to every address of the replica, and keeps the
// connection to the first that answers.
func (r *remote) checkPort(ctx context.Context) []Item {
	port, err := transport.KpropService.LookupPort(r.target.port)
	if err != nil {
		return because(err, r.propagation().network(err))
	}
	conns := make([]net.Conn, len(r.addrs))
	errs := make([]error, len(r.addrs))
	var wg sync.WaitGroup
	for i, a := range r.addrs {
		wg.Go(func() {
			d := net.Dialer{Timeout: dialPatience}
			conns[i], errs[i] = d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, uint16(port)).String())
		})
	}
	wg.Wait()
	var refused []string
	for i, nc := range conns {
		at := netip.AddrPortFrom(r.addrs[i], uint16(port)).String()
		switch {
		case nc == nil:
			refused = append(refused, at+" "+outcome(errs[i]))
			err = errs[i]
		case r.nc != nil:
			nc.Close()
		default:
			r.nc, r.address = nc, at
		}
	}
	if r.nc == nil {
		r.address = netip.AddrPortFrom(r.addrs[0], uint16(port)).String()
		return because(err, r.propagation().network(err))
	}
	if len(refused) > 0 {
		return warnItem(fmt.Sprintf("%s takes connections, but %s: kprop tries the addresses in turn", r.address, strings.Join(refused, ", ")),
			"on "+r.target.label+":  ss -ltnp 'sport = :"+strconv.Itoa(port)+"'")
	}
	return okItem("%s takes connections", r.address)
}

// outcome is a word for a connection that failed.
func outcome(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refuses"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), dialTimeout(err):
		return "does not answer (filtered, or down)"
	}
	return "cannot be reached (" + transport.Message(err) + ")"
}

func (r *remote) hangUp() {
	if r.nc != nil {
		r.nc.Close()
	}
}
