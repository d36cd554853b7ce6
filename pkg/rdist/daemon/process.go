package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/confine"
	"github.com/kprop/kprop/internal/daemonlog"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/server"
	"github.com/kprop/kprop/pkg/transport"
)

// Exit statuses of the process of a session.
const (
	exitDone   = 0
	exitErrors = 1 // the client was told of errors
	exitBroken = 2 // it did not end in order
)

// RunSession is the process of a session, as startProcess starts it. It gives
// the exit status.
func RunSession(stderr io.Writer) int {
	p, err := newSessionProcess()
	if err != nil {
		fmt.Fprintf(stderr, "%s %s: %v\n", Program, SessionArg, err)
		return exitBroken
	}
	defer p.log.Sync()
	err = p.run()
	var failed *server.Failed
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &failed):
		p.report(err)
		return exitErrors
	}
	p.report(err)
	return exitBroken
}

// sessionProcess is what it knows of itself.
type sessionProcess struct {
	orders
	control *net.UnixConn
	conn    *transport.Conn
	log     *zap.Logger
	ctx     context.Context
	cancel  context.CancelCauseFunc
}

func newSessionProcess() (*sessionProcess, error) {
	p := &sessionProcess{}
	// Memory has the conversation's key: other processes of the account shall
	// not read it, nor shall it get into a file.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	unix.Umask(0o022)
	conn, err := inherited(fdConn)
	if err != nil {
		return nil, err
	}
	control, err := inherited(fdControl)
	if err != nil {
		return nil, err
	}
	var ok bool
	if p.control, ok = control.(*net.UnixConn); !ok {
		return nil, errNotByHand
	}
	lines := bufio.NewReader(p.control)
	if err := json.NewDecoder(io.LimitReader(lines, maxOrders)).Decode(&p.orders); err != nil {
		return nil, errors.New("malformed orders") // err could show secrets
	}
	log, _ := daemonlog.New(p.SessionLog)
	p.log = log.With(zap.String("peer", p.Peer), zap.String("principal", p.Principal), zap.String("account", p.Account.Name))
	p.watch(lines)
	p.conn, err = transport.Import(conn, p.Conn, transport.Timeouts{Handshake: p.Handshake})
	return p, err
}

// maxOrders bounds what is read, in bytes.
const maxOrders = 1 << 20

var errNotByHand = errors.New("this is how krdistd starts its own sessions, it is nothing to be run by hand")

// inherited takes over a socket that the parent has passed.
func inherited(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "inherited")
	if f == nil {
		return nil, errNotByHand
	}
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		return nil, errNotByHand
	}
	return nc, nil
}

// endTimeout is for how long the end of a session may take to be sent.
const endTimeout = time.Minute

var errStopped = errors.New("krdistd stops")

// watch makes the session end when the process that listens does, or says so.
// What it leaves is put in order first, if that does not take too long.
func (p *sessionProcess) watch(control io.Reader) {
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, control)
		close(closed)
	}()
	go func() {
		select {
		case <-signals:
		case <-closed:
		}
		p.cancel(errStopped)
		time.Sleep(sessionGrace)
		os.Exit(exitBroken)
	}()
}

// report tells the process that listens how the session ended.
func (p *sessionProcess) report(err error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(p.control, err.Error())
}

func (p *sessionProcess) run() error {
	defer p.conn.Close()
	r, err := p.conn.ReadRequest(p.ctx)
	if err != nil {
		return err
	}
	if err := p.becomeAccount(); err != nil {
		_ = p.conn.RefuseStream("the session cannot be started: " + err.Error())
		return err
	}
	s, err := p.conn.GrantStream(r)
	if err != nil {
		return err
	}
	err = p.serve(s)
	// Without it the client would take the end for an interruption, and not
	// believe in it. The deadline of the last answer may have passed.
	_ = s.SetWriteDeadline(time.Now().Add(endTimeout))
	_ = s.CloseWrite()
	_ = s.Close()
	return err
}

// becomeAccount makes sure that the process is the account, and that it stays
// so.
func (p *sessionProcess) becomeAccount() error {
	a := &p.Account
	uid, euid, suid := unix.Getresuid()
	gid, egid, sgid := unix.Getresgid()
	groups, err := unix.Getgroups()
	if err != nil {
		return err
	}
	for _, id := range []int{uid, euid, suid} {
		if id != a.UID {
			return fmt.Errorf("the process runs with the user number %d, not with %d of %s", id, a.UID, a.Name)
		}
	}
	if p.Switched {
		if err := p.checkGroups([]int{gid, egid, sgid}, groups); err != nil {
			return err
		}
	}
	if !p.Special {
		// No program that is run by mistake gets back what was given up. The
		// system counts it by thread; a build with cgo cannot do this.
		_, _, _ = syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	}
	if os.Chdir(a.Home) != nil {
		p.log.Warn("the home directory of the account cannot be entered", zap.String("path", a.Home))
	}
	p.confine()
	return nil
}

// confine has the kernel hold the session to what it may write, should the
// server have a fault: one protection of several, so that the session goes on
// without it. Nobody knows what special commands need, and who may write
// everything is not confined.
func (p *sessionProcess) confine() {
	if p.Special || p.Roots == nil {
		return
	}
	_, err := confine.Places{Read: []string{"/"}, Keep: p.Roots}.Apply()
	switch {
	case errors.Is(err, confine.ErrNot):
		p.log.Debug(err.Error())
	case err != nil:
		p.log.Warn("the session goes on without being confined", zap.Error(err))
	}
}

func (p *sessionProcess) checkGroups(own, groups []int) error {
	allowed := append(slices.Clone(p.Account.Groups), p.Account.GID)
	for _, g := range slices.Concat(own, groups) {
		if !slices.Contains(allowed, g) {
			return fmt.Errorf("the process is in the group with the number %d, in which %s is not", g, p.Account.Name)
		}
	}
	return nil
}

func (p *sessionProcess) serve(s *transport.Stream) error {
	log, err := message.New(message.ServerOptions(), message.Sinks{Syslog: systemLog{p.log}})
	if err != nil {
		return err
	}
	err = server.Serve(p.ctx, s, server.Options{
		Roots: p.Roots, Special: p.Special, Account: p.Account, HostName: p.HostName,
		Log: log, Timeout: p.Silence, Extensions: true,
	})
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	return err
}

// systemLog gives rdist's messages to the daemon's log.
type systemLog struct{ log *zap.Logger }

func (l systemLog) Info(text string) error   { l.log.Info(text); return nil }
func (l systemLog) Notice(text string) error { l.log.Info(text); return nil }
func (l systemLog) Debug(text string) error  { l.log.Debug(text); return nil }
