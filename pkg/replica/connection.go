package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/crowd"
	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/transport"
)

// ServeConn serves one connection and closes it. It reports whether a database
// was received and loaded.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) (loaded bool) {
	return s.serveConn(ctx, nc, s.strangers.Arrive(nc))
}

// serveConn is ServeConn for a connection that has been counted already, in the
// order of arrival.
func (s *Server) serveConn(ctx context.Context, nc net.Conn, peer *crowd.Stranger) (loaded bool) {
	defer peer.Leave()
	defer nc.Close()
	log := s.log.With(zap.String("peer", nc.RemoteAddr().String()))
	defer func() {
		if r := recover(); r != nil {
			log.Error("kpropd: panic while serving a connection", zap.Any("error", r), zap.ByteString("stack", debug.Stack()))
		}
	}()
	host := peerHost(nc)
	log.Info("Connection from " + host)
	s.o.Debug("Connection from %s", host)
	s.o.Debug("krb5_recvauth(%s, %s, %v, ...)", nc.RemoteAddr(), transport.KpropVersion, s.Principal())
	peer.Enter(ctx)
	c, err := s.acceptor.Accept(ctx, nc)
	if err != nil {
		found := s.reception().Explain(err)
		log.Error("Error in krb5_recvauth: "+transport.Message(err), append(advice(found), zap.Error(err))...)
		s.show(found)
	} else {
		defer c.Close()
		log = log.With(zap.String("principal", c.Peer().String()))
		loaded = s.serve(ctx, c, log, peer.Leave)
	}
	s.o.Debug("Database load process for full propagation completed.")
	return loaded
}

func peerHost(nc net.Conn) string {
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return nc.RemoteAddr().String()
}

// serve goes on with a peer that has authenticated. It calls known when the
// peer has shown that it may propagate and is there now.
func (s *Server) serve(ctx context.Context, c *transport.Conn, log *zap.Logger, known func()) bool {
	// Who chooses a principal's name need not be a friend.
	peer := transport.Printable(c.Peer().String())
	s.o.Debug("authenticated client: %s (etype == %v)", peer, c.TicketEnctype())
	if why, found := s.authorize(c.Peer(), c.TicketEnctype()); why != "" {
		known()
		log.Warn("Rejected connection from unauthorized principal "+peer, append(advice(found), zap.String("reason", why))...)
		s.o.Debug("Rejected connection from unauthorized principal %s", peer)
		s.show(found)
		s.refuse(c, fmt.Sprintf("%s is not allowed to propagate to this host: %s", peer, why))
		return false
	}
	start := time.Now()
	r, err := s.receive(ctx, c, log, known)
	if err != nil {
		s.report(c, log, err)
		return false
	}
	log.Info("database loaded", append(r.loading.fields(), zap.Int64("bytes", r.transfer.Size), zap.Int("principals", r.report.Principals),
		zap.Int("policies", r.report.Policies), zap.Duration("duration", time.Since(start)))...)
	if err := r.transfer.Acknowledge(); err != nil {
		log.Error(mitStep(err), zap.Error(err))
	}
	// The database was durable before; this is the copy of its dump.
	if err := r.file.SyncName(); err != nil {
		log.Error(s.fileRefusal(err).mit, zap.Error(err))
	}
	r.later()
	return true
}

// authorize gives the reason of a refusal, and what to do about it.
func (s *Server) authorize(who principal.Name, ticket enctype.ID) (why string, found []check.Finding) {
	acl, err := LoadACL(s.o.ACL)
	if err != nil {
		why = "the access list " + s.o.ACL + " cannot be read: " + transport.Message(err)
		return why, s.reception().Denied(who, "")
	}
	ok, why := acl.Allows(who.String(), ticket)
	if ok {
		return "", nil
	}
	return why + " (" + s.o.ACL + ")", s.reception().Denied(who, strings.Join(acl.lines, "\n"))
}

func (s *Server) reception() check.Reception {
	return check.Reception{Self: s.Principal(), Keytab: s.keytabName, ACL: s.o.ACL}
}

// advice is the first finding for the log.
func advice(found []check.Finding) []zap.Field {
	if len(found) == 0 {
		return nil
	}
	return []zap.Field{zap.String("cause", found[0].Problem), zap.Strings("remedy", found[0].Remedy)}
}

// show prints findings for people who watch.
func (s *Server) show(found []check.Finding) {
	for _, f := range found {
		s.o.Debug("%s", f)
	}
}

// refusal is a failure of which the sender must be told.
type refusal struct {
	mit  string // what MIT's kpropd logs of it, or what we do
	tell string // for the sender
	err  error
	// found is what to do about it on this host, where tell does not say.
	found []check.Finding
}

func (r *refusal) Error() string { return r.mit }
func (r *refusal) Unwrap() error { return r.err }

// report logs a failure, and tells the sender where it does not know yet.
func (s *Server) report(c *transport.Conn, log *zap.Logger, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		log.Error(mitStep(err), zap.Error(err))
		s.linger(c)
		return
	}
	fields := advice(r.found)
	if r.err != nil {
		fields = append(fields, zap.Error(r.err))
	}
	log.Error("kpropd: "+r.mit, fields...)
	s.o.Debug("%s", r.tell)
	s.show(r.found)
	s.refuse(c, r.tell)
}

// refuse tells the sender the reason.
func (s *Server) refuse(c *transport.Conn, text string) {
	c.Tell(text)
	s.linger(c)
}

// linger gives the sender time to read what it was told, unless too many are
// given that already.
func (s *Server) linger(c *transport.Conn) {
	select {
	case s.drains <- struct{}{}:
		defer func() { <-s.drains }()
		c.Drain()
	default:
	}
}

// mitError is a com_err line of MIT's kpropd.
func mitError(err error, while string) string {
	return "kpropd: " + transport.Message(err) + " " + while
}

func mitStep(err error) string {
	var remote *transport.RemoteError
	var step *transport.StepError
	switch {
	case errors.As(err, &remote):
		if remote.Code == transport.CodeGeneric {
			return "Generic remote error: " + remote.Text
		}
		return fmt.Sprintf("kpropd: %v signaled from server; Error text from client: %s", remote.Code, remote.Text)
	case errors.As(err, &step):
		return mitError(step.Err, step.While)
	}
	return "kpropd: " + strings.ReplaceAll(err.Error(), "\n", "; ")
}

// lockPoll is how often a waiting propagation looks whether the file is free.
const lockPoll = 50 * time.Millisecond

// incoming opens the file for the dump, waiting for another propagation. This
// is what serialises loads, also between processes and with MIT's kpropd.
func (s *Server) incoming(ctx context.Context) (*kdb.Incoming, error) {
	var in *kdb.Incoming
	err := s.untilFree(ctx, func() (err error) {
		in, err = kdb.NewIncoming(s.o.File)
		return err
	})
	if err != nil && ctx.Err() != nil {
		return nil, &refusal{mit: "shutting down", tell: "kpropd is shutting down"}
	}
	if err != nil {
		return nil, s.fileRefusal(err)
	}
	return in, nil
}

// untilFree tries again, for LockWait at most, while the error is ErrLocked.
func (s *Server) untilFree(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(s.o.LockWait)
	for {
		err := try()
		if !errors.Is(err, kdb.ErrLocked) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lockPoll):
		}
	}
}

func (s *Server) fileRefusal(err error) *refusal {
	r := &refusal{mit: err.Error(), tell: err.Error(), err: err}
	var file *kdb.IncomingError
	if errors.As(err, &file) {
		r.mit = file.MITText()
		r.tell = file.MITText()
	}
	if errors.Is(err, kdb.ErrLocked) {
		r.tell = fmt.Sprintf("another propagation to this host is under way and did not end within %v", s.o.LockWait)
	}
	return r
}
