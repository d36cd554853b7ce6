package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

// Dialer opens Streams to the krdistd of hosts. It may be used for several at
// once.
type Dialer struct {
	Profile *profile.Profile
	Realm   string // of the servers; empty: the default realm

	// With AsHost the client is host/ this host, by a key in the keytab of that
	// name, as kprop is (empty: the default keytab). Else it is who has the
	// credential cache of that name (empty: the default one).
	AsHost bool
	Keytab string
	Cache  string

	Port     string   // number or service name; empty: krdist, else 755
	Compress []string // words of StreamRequest
	Timeouts Timeouts // Handshake is 2 minutes if 0

	// ConnectTimeout bounds the connection to one address; 0: 30 seconds.
	ConnectTimeout time.Duration
}

// DialError says what keeps a Dialer from a host, and what to do about it.
type DialError struct {
	Host string // as given
	Step string // "connect to 192.0.2.1:755"
	Err  error
	Mend string // a sentence, or empty
}

func (e *DialError) Error() string {
	s := e.Host + ": " + e.Step + ": " + e.Err.Error()
	if e.Mend != "" {
		s += " (" + e.Mend + ")"
	}
	return s
}

func (e *DialError) Unwrap() error { return e.Err }

// Dial opens a Stream to the account login on a host. The ticket is for the host
// by the name that the profile makes of it (reference kprop-protocol.md 17.1).
// The error is a *DialError; within it is a *RefusedError where krdistd has said
// no.
func (d *Dialer) Dial(ctx context.Context, login, host string) (*Stream, error) {
	failed := func(step string, err error) error {
		return &DialError{Host: host, Step: step, Err: err, Mend: d.mend(err, host)}
	}
	server, err := d.Server(ctx, host)
	if err != nil {
		return nil, failed("its principal", err)
	}
	cred, err := d.Credentials(ctx, server)
	if err != nil {
		return nil, failed("get a ticket for "+server.String(), err)
	}
	nc, step, err := d.connect(ctx, host)
	if err != nil {
		return nil, failed(step, err)
	}
	c, err := Initiate(ctx, nc, cred, KrdistVersion, d.Timeouts)
	if err != nil {
		return nil, failed("as "+cred.Client.String(), err)
	}
	s, err := c.RequestStream(ctx, StreamRequest{Login: login, Compress: d.Compress})
	if err != nil {
		return nil, failed(fmt.Sprintf("as %v, for the account %s", cred.Client, login), err)
	}
	return s, nil
}

// Server is the principal of the krdistd on a host.
func (d *Dialer) Server(ctx context.Context, host string) (n principal.Name, err error) {
	realm := d.Realm
	if realm == "" {
		if realm, err = d.Profile.DefaultRealm(); err != nil {
			return n, err
		}
	}
	name, err := d.Profile.CanonicalHost(ctx, host)
	return principal.New(realm, "host", name), err
}

// Credentials gets the ticket for a server.
func (d *Dialer) Credentials(ctx context.Context, server principal.Name) (_ *Credentials, err error) {
	if !d.AsHost {
		name := d.Cache
		if name == "" {
			if name, err = d.Profile.DefaultCCache(); err != nil {
				return nil, err
			}
		}
		return CacheCredentials(ctx, d.Profile, name, server)
	}
	own, err := d.Profile.CanonicalHost(ctx, "")
	if err != nil {
		return nil, err
	}
	name := d.Keytab
	if name == "" {
		if name, err = d.Profile.DefaultKeytab(); err != nil {
			return nil, err
		}
	}
	return KeytabCredentials(ctx, d.Profile, name, principal.New(server.Realm, "host", own), server)
}

// connect also tells during which step it failed.
func (d *Dialer) connect(ctx context.Context, host string) (nc net.Conn, step string, err error) {
	port, err := KrdistService.LookupPort(d.Port)
	if err != nil {
		return nil, "port " + d.Port, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, "look up its address", err
	}
	var addrs []string
	for _, ip := range ips {
		addrs = append(addrs, net.JoinHostPort(ip.Unmap().String(), strconv.Itoa(port)))
	}
	step = "connect"
	if len(addrs) > 0 {
		step = "connect to " + addrs[len(addrs)-1]
	}
	nc, err = DialAll(ctx, addrs, orDefault(d.ConnectTimeout, 30*time.Second))
	return nc, step, err
}

// mend says what to do about an error that does not say it itself.
func (d *Dialer) mend(err error, host string) string {
	var (
		remote *RemoteError
		own    *Error
		late   net.Error
	)
	switch {
	case errors.Is(err, ErrBadAppVersion):
		return "another service listens there: give the port of krdistd"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start krdistd on " + host + ", for instance by systemctl enable --now krdistd.socket"
	case errors.Is(err, ErrNoKeys), d.AsHost && errors.Is(err, fs.ErrNotExist), errors.Is(err, keytab.ErrFormat):
		return "put the key of this host into the keytab: kadmin ktadd host/NAME"
	case errors.Is(err, ErrRejected) && errors.As(err, &remote):
		switch remote.Code {
		case CodeNoKey, CodeBadKeyVersion, CodeNotUs, CodeBadIntegrity:
			return "the keytab of " + host + " does not have the key that the KDC has: kadmin ktadd there"
		case CodeSkew:
			return "set the clocks right"
		}
	case errors.As(err, &remote) && remote.Code == CodeServerUnknown:
		return "the KDC does not know the host by this name: kadmin addprinc -randkey for it, or call the host by its full name"
	case errors.As(err, &own) && own.Code == CodeMutualFailed:
		return "what answers is not the host that was asked for"
	case errors.As(err, &late) && late.Timeout():
		return "is the host up, and does a packet filter let the port through?"
	}
	return ""
}
