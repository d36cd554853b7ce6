// Package replica is the receiving service: it takes connections, decides who
// may propagate, verifies what arrives, and has it loaded into the database.
package replica

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/crowd"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// Options say what a Server serves. Realm, File, KDB5Util and ACL are needed.
type Options struct {
	Profile  *profile.Profile // loaded with KDC
	Realm    string
	Keytab   string // name; empty: the default keytab
	File     string // takes the received dump (from_master)
	KDB5Util string // path of the program that loads it
	// MITLoader says that KDB5Util is MIT's program, whose other commands are
	// there, too, and whose faults are known.
	MITLoader bool
	// Engine says what loads: kdb.Auto, also if empty, kdb.DB2 or kdb.KDB5Util.
	Engine kdb.Engine
	// Named says that the user has named KDB5Util, so that Auto takes that.
	Named bool
	// KeepLockout keeps what the database has of logins; see kdb.WatchOptions.
	KeepLockout bool
	Database    string // passed to it as -d if not empty
	ACL         string // path of kpropd.acl

	Timeouts transport.Timeouts
	// LockWait is how long a propagation waits for another one to end; 0: 30
	// seconds.
	LockWait time.Duration
	// LoadTimeout ends a run of kdb5_util that makes no progress; 0: 30 minutes.
	LoadTimeout time.Duration
	// Strangers is how many connections may be there that have not
	// authenticated, and StrangersPerSource how many of them from one IPv4
	// address or IPv6 network; 0: 16 and 2. One more waits up to 2 seconds,
	// and then takes the place of the oldest.
	Strangers, StrangersPerSource int

	// MaxShrink is how many percent of the loaded principals a dump may lack
	// beyond 10 principals; 100: any number.
	MaxShrink   int
	RefuseOlder bool // a dump that is older than what is loaded
	CheckSpace  bool // refuse a dump for which there is no room
	// ReadBack makes sure after the load that the database is the dump's, if
	// there is a MITLoader.
	ReadBack bool
	// Keep is how many of the loaded dumps are kept in HistoryDir, by default
	// File with .history behind it; 0: none.
	Keep       int
	HistoryDir string
	// VerbArgs are the options, with a blank in front, that a person must give
	// to kpropd accept and rollback for this database; they stand in messages.
	VerbArgs string

	Log   *zap.Logger                      // nil: none
	Debug func(format string, args ...any) // MIT's lines of -d; nil: none
	// Once makes Serve return after one connection (-t).
	Once bool
}

// Bounds on peers that have authenticated.
const (
	maxPropagations = 32 // of principals that may propagate; most of them wait
	maxDrains       = 16 // refused ones that are given time to read the reason
)

// Server receives propagations. Its methods are safe for concurrent use.
type Server struct {
	o        Options
	realm    profile.Realm
	acceptor *transport.Acceptor
	log      *zap.Logger

	keytabName string // as in the options, or the default
	keytab     string // path of the file

	strangers    crowd.Crowd
	propagations chan struct{}
	drains       chan struct{}
}

// New prepares a server. What a load has left that was broken off when another
// process ended is put in order. Errors name what in the profile is wrong.
func New(ctx context.Context, o Options) (*Server, error) {
	s, err := newLoader(o)
	if err != nil {
		return nil, err
	}
	if err := s.recoverStaging(ctx); err != nil {
		s.log.Error("what an earlier kpropd has left could not be cleared away; the next load tries again", zap.Error(err))
	}
	s.recoverAtStart(ctx)
	if s.keytabName = o.Keytab; s.keytabName == "" {
		if s.keytabName, err = o.Profile.DefaultKeytab(); err != nil {
			return s, err
		}
	}
	s.acceptor, s.keytab, err = transport.HostAcceptor(ctx, o.Profile, o.Realm, s.keytabName, transport.KpropVersion, o.Timeouts)
	return s, err
}

// newLoader prepares a server that takes no connections.
func newLoader(o Options) (*Server, error) {
	s := &Server{
		o: o, log: o.Log,
		strangers:    crowd.Crowd{Most: o.Strangers, PerSource: o.StrangersPerSource},
		propagations: make(chan struct{}, maxPropagations),
		drains:       make(chan struct{}, maxDrains),
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.o.Debug == nil {
		s.o.Debug = func(string, ...any) {}
	}
	if s.o.LockWait == 0 {
		s.o.LockWait = 30 * time.Second
	}
	if s.o.LoadTimeout == 0 {
		s.o.LoadTimeout = 30 * time.Minute
	}
	var err error
	s.realm, err = o.Profile.RealmConfig(o.Realm)
	return s, err
}

// Principal is the server's own name.
func (s *Server) Principal() principal.Name { return s.acceptor.Principals[0] }

// Serve takes connections from l until ctx ends, and returns when the last of
// them has. A load that is under way is finished, a transfer is broken off.
// With Options.Once it returns after the first connection. l is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		s.o.Debug("waiting for a kprop connection")
		nc, err := s.accept(ctx, l)
		if err != nil || nc == nil {
			return err
		}
		if s.o.Once {
			s.ServeConn(ctx, nc)
			return nil
		}
		peer := s.strangers.Arrive(nc)
		wg.Go(func() { s.serveConn(ctx, nc, peer) })
	}
}

// acceptPause is how long Serve rests when the system cannot give a
// connection, as when it is out of descriptors.
const acceptPause = 100 * time.Millisecond

// accept waits for a connection; nil without an error means that ctx ended.
func (s *Server) accept(ctx context.Context, l net.Listener) (net.Conn, error) {
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			return nc, nil
		case ctx.Err() != nil:
			return nil, nil
		case errors.Is(err, net.ErrClosed):
			return nil, err
		}
		s.log.Error(mitError(err, "while accepting connection"))
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(acceptPause):
		}
	}
}
