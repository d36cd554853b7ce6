package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/daemonlog"
	"github.com/kprop/kprop/pkg/rdist/acl"
	"github.com/kprop/kprop/pkg/rdist/server"
	"github.com/kprop/kprop/pkg/transport"
)

// SessionArg is the argument by which the program is started for one session.
const SessionArg = "--session"

// Descriptors of the process of a session.
const (
	fdConn    = 3 // the client's connection
	fdControl = 4 // leads to the process that listens
)

// orders are what the process of a session is told, on its control descriptor.
type orders struct {
	Conn       []byte // of transport.Conn.Export
	Principal  string
	Peer       string
	Account    server.Account
	Switched   bool // the process was made the account, it was another before
	Roots      []string
	Special    bool
	HostName   string
	Handshake  time.Duration
	Silence    time.Duration
	SessionLog daemonlog.Options
}

// session serves a client that has authenticated.
func (s *Server) session(ctx context.Context, c *transport.Conn, r *transport.StreamRequest, log *zap.Logger) {
	d, err := s.authorize(c.Peer(), r.Login)
	var denied *acl.Denied
	switch {
	case errors.As(err, &denied):
		s.refuse(c, log, denied.Reason, denied.Hint)
		return
	case err != nil:
		s.refuse(c, log, "this host cannot tell whether it may serve you: "+strings.ReplaceAll(err.Error(), "\n", "; "), "")
		return
	}
	select {
	case s.sessions <- struct{}{}:
		defer func() { <-s.sessions }()
	default:
		s.refuse(c, log, s.busy(), "")
		return
	}
	o, err := s.orders(c, d)
	if err != nil {
		s.refuse(c, log, "the session cannot be handed to the account: "+err.Error(), "")
		return
	}
	p, err := s.start(c, o)
	if err != nil {
		s.refuse(c, log, "the session cannot be started: "+err.Error(), "")
		return
	}
	c.Close() // here; the process has it
	start := time.Now()
	log = log.With(zap.Int("pid", p.pid))
	log.Info("session", zap.Int("line", d.grant.Line), zap.Strings("roots", d.grant.Roots), zap.Bool("special", o.Special))
	s.o.Debug("process %d serves the account %s", p.pid, d.account.Name)
	why := p.wait(ctx)
	s.o.Debug("process %d has ended: %s", p.pid, why)
	fields := []zap.Field{zap.Duration("duration", time.Since(start))}
	if why != "" {
		log.Warn("session ended", append(fields, zap.String("error", why))...)
		return
	}
	log.Info("session ended", fields...)
}

func (s *Server) orders(c *transport.Conn, d *decision) (*orders, error) {
	conn, err := c.Export()
	if err != nil {
		return nil, err
	}
	a := d.account
	return &orders{
		Conn: conn, Principal: transport.Printable(c.Peer().String()), Peer: c.RemoteAddr().String(),
		Account:  server.Account{Name: a.Name, Home: a.Home, UID: a.UID, GID: a.GID, Groups: a.Groups},
		Switched: os.Geteuid() == 0, Roots: d.grant.InHome(a.Home), Special: d.grant.Special,
		HostName: hostName(), Handshake: s.o.Timeouts.Handshake, Silence: s.o.Silence, SessionLog: s.o.SessionLog,
	}, nil
}

// process is that of a session.
type process struct {
	pid     int
	control *net.UnixConn
	done    chan error // gives how it ended
}

// startProcess starts this program again, as the account: the kernel gives up
// groups and rights between fork and exec.
func startProcess(c *transport.Conn, o *orders) (*process, error) {
	conn, err := c.File()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	p := &process{control: ours, done: make(chan error, 1)}
	started := make(chan error, 1)
	go p.run(sessionCommand(o, conn, theirs), started)
	if err = <-started; err == nil {
		// It has this once the process has read it; what waits is small.
		if err = json.NewEncoder(ours).Encode(o); err != nil {
			ours.Close()
			<-p.done
		}
	}
	if err != nil {
		ours.Close()
		return nil, err
	}
	return p, nil
}

func controlPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "control")
	f := os.NewFile(uintptr(fds[0]), "control")
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return nc.(*net.UnixConn), theirs, nil
}

// sessionCommand is the command of a session.
func sessionCommand(o *orders, conn, control *os.File) *exec.Cmd {
	cmd := &exec.Cmd{
		// By this link, which needs no right to look into directories, and
		// still leads to the program after an update has replaced it.
		Path: "/proc/self/exe",
		// What a list of processes shows.
		Args:       []string{Program, SessionArg, o.Account.Name},
		Env:        environment(&o.Account),
		Dir:        "/",
		Stderr:     os.Stderr,
		ExtraFiles: []*os.File{conn, control},
		SysProcAttr: &syscall.SysProcAttr{
			Setpgid: true,
			// The control descriptor tells it, too; this takes no right.
			Pdeathsig: syscall.SIGTERM,
		},
	}
	if o.Switched {
		groups := []uint32{}
		for _, g := range o.Account.Groups {
			groups = append(groups, uint32(g))
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(o.Account.UID), Gid: uint32(o.Account.GID), Groups: groups}
	}
	return cmd
}

// kept are the variables that a session takes over.
var kept = []string{"TZ", "LANG", "GOCOVERDIR"}

// environment is that of a login to the account, and of its special commands.
func environment(a *server.Account) []string {
	path := "/usr/local/bin:/usr/bin:/bin"
	if a.UID == 0 {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	env := []string{"PATH=" + path, "HOME=" + a.Home, "USER=" + a.Name, "LOGNAME=" + a.Name, "SHELL=/bin/sh"}
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); slices.Contains(kept, name) {
			env = append(env, e)
		}
	}
	return env
}

// run starts the command and waits for it on one thread: the kernel sends
// Pdeathsig when the thread that forked ends.
func (p *process) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	p.done <- cmd.Wait()
}

const (
	// sessionGrace is for how long a session may clean up that is to end.
	sessionGrace = 10 * time.Second
	// maxReport bounds what its process may say of how it ended, in bytes.
	maxReport = 4096
)

// wait waits until the process has ended, and gives what went wrong. When ctx
// ends, the process is told to end.
func (p *process) wait(ctx context.Context) string {
	defer p.control.Close()
	defer context.AfterFunc(ctx, func() { _ = p.control.CloseWrite() })()
	report := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(p.control, maxReport))
		report <- transport.Printable(string(text))
	}()
	var err error
	select {
	case err = <-p.done:
	case <-ctx.Done():
		select {
		case err = <-p.done:
		case <-time.After(sessionGrace + 2*time.Second):
			_ = unix.Kill(-p.pid, unix.SIGKILL)
			err = <-p.done
		}
	}
	// What it left running may hold the other end.
	_ = p.control.SetReadDeadline(time.Now().Add(time.Second))
	switch why := <-report; {
	case why != "":
		return why
	case err != nil:
		return fmt.Sprintf("its process has ended by %v", err)
	}
	return ""
}
