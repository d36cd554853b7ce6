// Package daemon is krdistd: it takes connections, finds out who is there and
// what it may do, and has a process of its own serve each session.
//
// The process that listens has the rights of root and the keytab. It
// authenticates the client, reads one protected message with the account that
// is asked for, and decides; nothing that is rdist's ever comes to it. Then it
// starts this program again as that account, and gives it the connection with
// the key of this one conversation, made for it in the AP-REP, so that the new
// process does the cryptography and all of rdist's protocol without ever having
// had the keytab or a right of root. The other way, plain octets through a pipe
// from a process that decrypts, would have more of the peer's bytes in front of
// the rights of root, and each of them copied twice more.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/internal/crowd"
	"github.com/kprop/kprop/internal/daemonlog"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// Program is the name of the daemon in messages.
const Program = "krdistd"

// Options say whom a Server serves.
type Options struct {
	Profile *profile.Profile
	Realm   string // of the service's principal, and of accounts' own ones
	Keytab  string // name; empty: the default keytab
	ACL     string // path of krdistd.acl

	Timeouts transport.Timeouts // Handshake counts
	// Silence is how long a session waits for its client; 0: 15 minutes.
	Silence time.Duration
	// Strangers is how many connections may be there that have not
	// authenticated, and StrangersPerSource how many of them from one IPv4
	// address or IPv6 network; 0: 16 and 2. One more waits up to 2 seconds,
	// and then takes the place of the oldest.
	Strangers, StrangersPerSource int
	// Sessions is how many there may be at once; 0: 64. One more is refused.
	Sessions int

	Accounts account.Files
	Log      *zap.Logger
	// SessionLog is how the processes of sessions log.
	SessionLog daemonlog.Options
	Debug      func(format string, args ...any) // steps, for a person; nil: none
}

const (
	defaultSessions = 64
	// maxDrains bounds the refused clients that are given time to read why.
	maxDrains = 16
)

// Server takes connections. Its methods are safe for concurrent use.
type Server struct {
	o         Options
	log       *zap.Logger
	acceptor  *transport.Acceptor
	strangers crowd.Crowd
	sessions  chan struct{}
	drains    chan struct{}
	// start is startProcess, but for tests of what comes before it.
	start func(c *transport.Conn, o *orders) (*process, error)
}

// New prepares a server. Errors name what in the profile is wrong.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Sessions == 0 {
		o.Sessions = defaultSessions
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Debug == nil {
		o.Debug = func(string, ...any) {}
	}
	s := &Server{
		o: o, log: o.Log,
		strangers: crowd.Crowd{Most: o.Strangers, PerSource: o.StrangersPerSource},
		sessions:  make(chan struct{}, o.Sessions),
		drains:    make(chan struct{}, maxDrains),
		start:     startProcess,
	}
	var err error
	s.acceptor, _, err = transport.HostAcceptor(ctx, o.Profile, o.Realm, o.Keytab, transport.KrdistVersion, o.Timeouts)
	return s, err
}

// ACLPath is where krdistd.acl is unless an option says otherwise: beside
// kpropd.acl.
func ACLPath(l profile.Layout) string { return filepath.Join(filepath.Dir(l.KpropdACL), "krdistd.acl") }

// acceptPause is how long Serve rests when the system cannot give a
// connection, as when it is out of descriptors.
const acceptPause = 100 * time.Millisecond

// Serve takes connections from l until ctx ends, and returns when the last
// session has. Sessions under way end with ctx: what they have not finished is
// left as it was. l is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			peer := s.strangers.Arrive(nc)
			wg.Go(func() { s.serveConn(ctx, nc, peer) })
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		s.log.Error("a connection cannot be accepted", zap.Error(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(acceptPause):
		}
	}
}

// ServeConn serves one connection to its end, and closes it.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	s.serveConn(ctx, nc, s.strangers.Arrive(nc))
}

// serveConn is ServeConn for a connection that has been counted already, in the
// order of arrival.
func (s *Server) serveConn(ctx context.Context, nc net.Conn, peer *crowd.Stranger) {
	defer peer.Leave()
	defer nc.Close()
	log := s.log.With(zap.String("peer", nc.RemoteAddr().String()))
	defer func() {
		if r := recover(); r != nil {
			log.Error("panic while serving a connection", zap.Any("error", r), zap.ByteString("stack", debug.Stack()))
		}
	}()
	s.o.Debug("connection from %s", nc.RemoteAddr())
	peer.Enter(ctx)
	c, err := s.acceptor.Accept(ctx, nc)
	if err != nil {
		s.failed(log, "a client could not be authenticated", err)
		return
	}
	defer c.Close()
	// Who chooses a principal's name need not be a friend.
	who := transport.Printable(c.Peer().String())
	log = log.With(zap.String("principal", who))
	s.o.Debug("authenticated %s", who)
	r, err := c.ReadRequest(ctx)
	if err != nil {
		s.failed(log, "a client has asked for nothing that is understood", err)
		return
	}
	peer.Leave()
	s.session(ctx, c, r, log.With(zap.String("account", r.Login)))
}

// failed reports the end of a connection before there was a session. One that
// said nothing at all is no news.
func (s *Server) failed(log *zap.Logger, what string, err error) {
	s.o.Debug("%s: %v", what, err)
	log.Warn(what, zap.String("reason", transport.Message(err)), zap.Error(err))
}

// refuse tells the client why it is not served, unless too many are being told
// that already.
func (s *Server) refuse(c *transport.Conn, log *zap.Logger, reason, hint string) {
	// Names in it are the client's.
	reason, hint = transport.Printable(reason), transport.Printable(hint)
	fields := []zap.Field{zap.String("reason", reason)}
	if hint != "" {
		fields = append(fields, zap.String("hint", hint))
	}
	log.Warn("refused", fields...)
	s.o.Debug("refused: %s", reason)
	select {
	case s.drains <- struct{}{}:
		defer func() { <-s.drains }()
		_ = c.RefuseStream(reason)
	default:
	}
}

// hostName is the short name of this host.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	for i := range name {
		if name[i] == '.' {
			return name[:i]
		}
	}
	return name
}

// busy is the refusal where there is no room.
func (s *Server) busy() string {
	return fmt.Sprintf("this host serves %d sessions already, which is all that it may (krdistd --max-sessions); try again later", s.o.Sessions)
}
