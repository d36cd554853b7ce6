package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// DefaultServer is the command that is run on a host.
const DefaultServer = "rdistd"

// Shell starts servers by a remote shell: program, host, -l, login, and the
// server's command with -S as one argument (reference rdist.md 10). On the host
// localhost, for the local user, the command is run without one.
type Shell struct {
	Program string   // of the remote shell, from FindShell or any; empty: ssh with GSSAPI, asking nothing
	Server  string   // the command on the host; empty: DefaultServer
	User    string   // the local user; empty: nobody is local
	Stderr  *os.File // of the programs that are started; nil: that of this process

	// Resolve finds out whether there is a host of that name; nil: the system's
	// resolver.
	Resolve func(ctx context.Context, host string) error
}

// defaultShell is the remote shell if none is named. It authenticates by
// Kerberos and asks nothing.
var defaultShell = []string{"ssh", "-o", "GSSAPIAuthentication=yes", "-o", "BatchMode=yes"}

// FindShell takes the first of the programs of a list with colons, as -P has
// it, that there is. One without a slash is looked for along $PATH.
func FindShell(list string) (string, error) {
	for path := range strings.SplitSeq(list, ":") {
		if path == "" {
			continue
		}
		if strings.Contains(path, "/") {
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		} else if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", fmt.Errorf("No component of path %q exists.", list)
}

// Dial starts the server. The program is not ended by ctx once Dial has
// returned.
func (s *Shell) Dial(ctx context.Context, login, host string) (Session, error) {
	if !s.isLocal(login, host) {
		if err := s.resolve(ctx, host); err != nil {
			return nil, fmt.Errorf("%s: unknown host", host)
		}
	}
	argv := s.argv(login, host)
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, fmt.Errorf("%s: the remote shell cannot be run: %w: name another one with -P", host, err)
	}
	if argv[0] == s.Program {
		argv[0] = filepath.Base(argv[0])
	}
	return s.start(host, path, argv)
}

func (s *Shell) isLocal(login, host string) bool { return host == "localhost" && login == s.User }

func (s *Shell) resolve(ctx context.Context, host string) error {
	if s.Resolve != nil {
		return s.Resolve(ctx, host)
	}
	_, err := net.DefaultResolver.LookupHost(ctx, host)
	return err
}

// argv is the command line, with the whole path of the program.
func (s *Shell) argv(login, host string) []string {
	server := s.Server
	if server == "" {
		server = DefaultServer
	}
	if s.isLocal(login, host) {
		return []string{"/bin/sh", "-c", localServer(server) + " -S"}
	}
	argv := []string{s.Program}
	if s.Program == "" {
		argv = append([]string{}, defaultShell...)
	}
	return append(argv, host, "-l", login, server+" -S")
}

// localServer is rdistd, or krdistd where there is none. krdistd may stand
// beside this program without being in $PATH.
func localServer(server string) string {
	if server != DefaultServer {
		return server
	}
	if _, err := exec.LookPath(server); err == nil {
		return server
	}
	const ours = "krdistd"
	if _, err := exec.LookPath(ours); err == nil {
		return ours
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), ours)
		if _, err := os.Stat(beside); err == nil {
			return quote(beside)
		}
	}
	return server // the shell will say that there is none
}

func (s *Shell) start(host, path string, argv []string) (Session, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	defer theirs.Close()
	stderr := s.Stderr
	if stderr == nil {
		stderr = os.Stderr
	}
	cmd := &exec.Cmd{Path: path, Args: argv, Stdin: theirs, Stdout: theirs, Stderr: stderr}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("%s: the remote shell cannot be run: %w: name another one with -P", host, err)
	}
	p := &program{UnixConn: ours, cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ends says nothing of the server
	}()
	return p, nil
}

// socketPair makes the stream between this process and a program. A socket can
// say that nothing more comes in one direction, and has deadlines.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	here, there := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
	defer here.Close()
	conn, err := net.FileConn(here)
	if err != nil {
		there.Close()
		return nil, nil, err
	}
	ours, ok := conn.(*net.UnixConn)
	if !ok {
		there.Close()
		return nil, nil, errors.New("a socket pair is not of the family unix")
	}
	return ours, there, nil
}

// goodbye is how long a program may take to end when its server has been told
// that nothing more comes.
const goodbye = 5 * time.Second

// program is the session with a program that was started.
type program struct {
	*net.UnixConn
	cmd    *exec.Cmd
	exited chan struct{}
}

// Close waits for the program to end, and ends it if it does not.
func (p *program) Close() error {
	late := time.AfterFunc(goodbye, p.Abort)
	defer late.Stop()
	_ = p.CloseWrite()
	// What it still says nobody wants to know, but it must be able to say it.
	_ = p.SetReadDeadline(time.Now().Add(goodbye))
	_, _ = io.Copy(io.Discard, p.UnixConn)
	err := p.UnixConn.Close()
	<-p.exited
	return err
}

// Abort ends the program at once.
func (p *program) Abort() { _ = p.cmd.Process.Kill() }
