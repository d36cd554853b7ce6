package check

import (
	"errors"
	"net"
	"syscall"

	"github.com/kprop/kprop/pkg/transport"
)

// network explains why there is no connection to the replica.
func (p Propagation) network(err error) []Finding {
	var dns *net.DNSError
	switch {
	case p.BadPort != nil:
		return []Finding{{
			Problem: "-P " + p.Port + " is neither a port nor a service in /etc/services",
			Remedy:  []string{"kprop -P 754 ..."},
		}}
	case errors.As(err, &dns):
		return []Finding{{
			Problem: "the name " + p.Replica + " has no address",
			Remedy:  []string{"getent hosts " + p.Replica + "    (then mend DNS or /etc/hosts)"},
		}}
	case errors.Is(err, syscall.ECONNREFUSED):
		return []Finding{{
			Problem: "nothing listens on port " + p.Port + " of " + p.Replica + p.tried() + ": kpropd does not run there, or a firewall rejects the connection",
			Remedy: []string{
				p.on("systemctl enable --now kpropd.socket    (stand-alone: kpropd.service)"),
				p.on("pkill -HUP inetd    (if inetd starts it: has inetd.conf its krb5_prop line?)"),
				p.on("ss -ltnp 'sport = :" + p.Port + "'"),
			},
		}}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), dialTimeout(err):
		return []Finding{{
			Problem: p.Replica + p.tried() + " cannot be reached on port " + p.Port + ": the name leads to the wrong address, the host is down, or a firewall drops the connection",
			Remedy: []string{
				"getent hosts " + p.Replica,
				"allow TCP port " + p.Port + " from " + p.thisHost() + " to " + p.Replica + " in the firewalls between them",
			},
		}}
	}
	return nil
}

func dialTimeout(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && op.Timeout()
}

// versions explains a refusal before any authentication.
func (p Propagation) versions(err error) []Finding {
	if !errors.Is(err, transport.ErrBadSendauthVersion) && !errors.Is(err, transport.ErrBadAppVersion) && !errors.Is(err, transport.ErrBadResponse) {
		return nil
	}
	return []Finding{{
		Problem: "what listens on port " + p.Port + " of " + p.Replica + p.tried() + " is not a kpropd of protocol " + transport.KpropVersion,
		Remedy:  []string{p.on("ss -ltnp 'sport = :" + p.Port + "'")},
	}}
}
