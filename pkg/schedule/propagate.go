// Package schedule is the sending side. A [Sender] propagates one dump to
// replicas of a realm, as kprop does by hand; a [Service] keeps all replicas of
// all realms current, by schedule and by change, as kprop serve does.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// Sender propagates to the replicas of one realm. It may be used for several
// replicas at once.
type Sender struct {
	Profile  *profile.Profile
	Realm    string             // of both principals
	Keytab   string             // name; empty: the default keytab
	Port     string             // number or service name; empty: krb5_prop, else 754
	Timeouts transport.Timeouts // Handshake is 2 minutes if 0

	// NoVerify makes Run send a dump as it is. Else it sends none that is
	// damaged, cut or of another realm.
	NoVerify      bool
	MasterKeyName string // of kdc.conf; empty: K/M

	// ConnectTimeout bounds the connection to one address; 0: 30 seconds.
	ConnectTimeout time.Duration
	// Progress is called after each block with the bytes sent so far and
	// those of the dump, from a goroutine for each host.
	Progress func(host string, sent, size int64)
}

// Names are the principals of a propagation.
type Names struct {
	Client principal.Name // of this host
	Server principal.Name // of the replica
	Keytab string         // where the client's key is
}

// Names works out the principals for a replica: its own follows from its name
// as the user typed it (reference kprop-protocol.md 17.1), unless the target
// gives it. The error is a transport.StepError.
func (s *Sender) Names(ctx context.Context, t Target) (n Names, err error) {
	own, err := s.Profile.CanonicalHost(ctx, "")
	if err != nil {
		return n, while("while setting client principal name", err)
	}
	n.Client = principal.New(s.Realm, "host", own)
	if n.Server, err = s.server(ctx, t); err != nil {
		return n, while("while setting server principal name", err)
	}
	n.Keytab = s.Keytab
	if n.Keytab == "" {
		n.Keytab, err = s.Profile.DefaultKeytab()
	}
	if err == nil {
		if _, err = keytab.Path(n.Keytab); err != nil {
			err = fmt.Errorf("%w: %w", transport.ErrKeytabType, err)
		}
	}
	return n, while("while resolving keytab", err)
}

func (s *Sender) server(ctx context.Context, t Target) (principal.Name, error) {
	if t.Principal != "" {
		return principal.Parse(t.Principal, s.Realm)
	}
	host, err := s.Profile.CanonicalHost(ctx, t.Host)
	return principal.New(s.Realm, "host", host), err
}

func while(what string, err error) error {
	if err == nil {
		return nil
	}
	return &transport.StepError{While: what, Err: err}
}

// Credentials gets the ticket for a replica from the KDC. The error is a
// transport.StepError "while getting initial credentials".
func (s *Sender) Credentials(ctx context.Context, n Names) (*transport.Credentials, error) {
	cred, err := transport.KeytabCredentials(ctx, s.Profile, n.Keytab, n.Client, n.Server)
	return cred, while("while getting initial credentials", err)
}

// LookupError says that a replica's name or the port's name is not known.
type LookupError struct {
	Host string
	Port bool   // the port's name is not known
	Text string // that of the C library's gai_strerror
	Err  error
}

func (e *LookupError) Error() string { return e.Host + ": " + e.Text }
func (e *LookupError) Unwrap() error { return e.Err }

// ConnectError says that no address of a replica took the connection.
type ConnectError struct {
	Address string // the last that was tried, host:port
	Err     error
}

func (e *ConnectError) Error() string { return fmt.Sprintf("connect to %s: %v", e.Address, e.Err) }
func (e *ConnectError) Unwrap() error { return e.Err }

// PortNumber gives the port to connect to where the target names none.
func (s *Sender) PortNumber() (int, error) { return transport.KpropService.LookupPort(s.Port) }

// port is the port of a target as it is configured; may be empty.
func (s *Sender) port(t Target) string {
	if t.Port != "" {
		return t.Port
	}
	return s.Port
}

// connect resolves the replica's name and connects. The error is a
// *LookupError or a *ConnectError.
func (s *Sender) connect(ctx context.Context, t Target) (net.Conn, error) {
	host := t.address()
	port, err := transport.KpropService.LookupPort(s.port(t))
	if err != nil {
		return nil, &LookupError{Host: host, Port: true, Text: "Servname not supported for ai_socktype", Err: err}
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, &LookupError{Host: host, Text: gaiText(err), Err: err}
	}
	var addrs []string
	for _, ip := range ips {
		addrs = append(addrs, net.JoinHostPort(ip.Unmap().String(), strconv.Itoa(port)))
	}
	timeout := s.ConnectTimeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	nc, err := transport.DialAll(ctx, addrs, timeout)
	if err != nil {
		last := ""
		if len(addrs) > 0 {
			last = addrs[len(addrs)-1]
		}
		return nil, &ConnectError{Address: last, Err: err}
	}
	return nc, nil
}

func gaiText(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsTemporary && !dns.IsNotFound {
		return "Temporary failure in name resolution"
	}
	return "Name or service not known"
}

// send carries an open dump to a replica and returns when the replica has
// loaded it. The dump may be sent to several replicas at once. nc is closed.
func (s *Sender) send(ctx context.Context, nc net.Conn, cred *transport.Credentials, dump *kdb.DumpFile, t Target, w *stopwatch, o observer) error {
	w.enter("authenticate")
	c, err := transport.Initiate(ctx, nc, cred, transport.KpropVersion, s.Timeouts)
	if err != nil {
		return err
	}
	defer c.Close()
	w.enter("send")
	progress := func(sent int64) {
		if o.progress != nil {
			o.progress(sent, dump.Size())
		}
		if sent == dump.Size() {
			w.enter("load")
		}
	}
	// One byte more than announced, so that a dump that grew is noticed.
	r := &steadyReader{dump: dump, r: io.NewSectionReader(dump.File(), 0, dump.Size()+1)}
	return c.SendDatabase(ctx, limited(ctx, r, t.RateLimit), dump.Size(), progress)
}
