package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/server"
)

// RunStandard serves one session on standard input and output with all that
// this process may do: an rdistd for a remote shell, which has authenticated the
// user. It gives the exit status.
func RunStandard(debug bool, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	unix.Umask(0o022)
	a, err := ownAccount()
	if err != nil {
		fmt.Fprintf(stderr, "%s -S: %v\n", Program, err)
		return exitErrors
	}
	log, err := message.New(standardLog(debug))
	if err != nil {
		fmt.Fprintf(stderr, "%s -S: %v\n", Program, err)
		return exitErrors
	}
	in, out := standardStream(0, os.Stdin), standardStream(1, os.Stdout)
	defer in.restore()
	defer out.restore()
	// Relative names begin there, and commands are run there; a home that is
	// not there was no hindrance to the remote shell.
	_ = os.Chdir(a.Home)
	err = server.Serve(ctx, standard{in, out}, server.Options{
		Special: true, Account: *a, Journal: ownHome(), HostName: hostName(), Log: log, Extensions: true,
	})
	var failed *server.Failed
	switch {
	case err == nil:
		return exitDone
	case !errors.As(err, &failed):
		// The client knows of its errors.
		fmt.Fprintln(stderr, message.Line("", Program+" -S: "+err.Error()))
	}
	return exitErrors
}

func standardLog(debug bool) (message.Options, message.Sinks) {
	o := message.ServerOptions()
	if debug {
		o.Types[message.Syslog] = message.All | message.Debug
	}
	var sinks message.Sinks
	// Without a syslog daemon nothing is logged; standard error belongs to the
	// remote shell.
	if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, Program); err == nil {
		sinks.Syslog = w
	}
	return o, sinks
}

// ownAccount is the account that this process has: of those with its number
// that of LOGNAME, if one is so called.
func ownAccount() (*server.Account, error) {
	uid := os.Geteuid()
	a, err := (account.Files{}).Lookup(os.Getenv("LOGNAME"))
	if err != nil || a.UID != uid {
		a, err = (account.Files{}).LookupID(uid)
	}
	if errors.Is(err, account.ErrUnknown) && os.Getenv("HOME") != "" {
		// One of a directory service, of which the remote shell knows.
		a, err = &account.Account{Name: os.Getenv("LOGNAME"), Home: os.Getenv("HOME")}, nil
	}
	if err != nil {
		return nil, err
	}
	groups, err := unix.Getgroups()
	return &server.Account{Name: a.Name, Home: a.Home, UID: uid, GID: os.Getegid(), Groups: groups}, err
}

// ownHome is what the environment says is the home directory, if it belongs to
// this account, as after su or sudo it need not.
func ownHome() string {
	home := os.Getenv("HOME")
	var st unix.Stat_t
	if !filepath.IsAbs(home) || unix.Stat(home, &st) != nil || int(st.Uid) != os.Geteuid() {
		return ""
	}
	return home
}

// standard is standard input and output.
type standard struct{ in, out *standardFile }

func (s standard) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s standard) Write(p []byte) (int, error) { return s.out.Write(p) }

// SetReadDeadline and SetWriteDeadline fail where there can be none.
func (s standard) SetReadDeadline(t time.Time) error  { return s.in.SetReadDeadline(t) }
func (s standard) SetWriteDeadline(t time.Time) error { return s.out.SetWriteDeadline(t) }

// standardFile is a standard descriptor, with deadlines if it can have them.
type standardFile struct {
	*os.File
	fd       int
	blocking bool // it was before
}

// standardStream takes over a descriptor. Pipes and sockets can have deadlines
// if they do not block, which concerns all who share the descriptor. A pipe is
// opened anew for that; a socket cannot be, and gets back what it was.
func standardStream(fd int, f *os.File) *standardFile {
	s := &standardFile{File: f, fd: fd}
	var st unix.Stat_t
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || unix.Fstat(fd, &st) != nil {
		return s
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFIFO && kind != unix.S_IFSOCK {
		return s
	}
	if kind == unix.S_IFIFO {
		// Not permitted if it is another account's, as behind sudo.
		own, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), flags&unix.O_ACCMODE|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			s.File = os.NewFile(uintptr(own), f.Name())
			return s
		}
	}
	s.blocking = flags&unix.O_NONBLOCK == 0
	if unix.SetNonblock(fd, true) == nil {
		s.File = os.NewFile(uintptr(fd), f.Name())
	}
	return s
}

// restore is for those who share the descriptor, such as a shell.
func (s *standardFile) restore() {
	if s.blocking {
		_ = unix.SetNonblock(s.fd, false)
	}
}
