package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// ErrRunning says that somebody answers on the socket already.
var ErrRunning = errors.New("another kprop serve is running")

// maxPath is the longest path of a unix socket: sun_path has 108 bytes, with
// the NUL (unix(7)).
const maxPath = 107

// ListenUnix listens on a unix socket that only root and our own user can
// connect to: it has mode 0600 from the moment it exists, and each connection
// is asked who it is. The directory must exist. A socket that a former program
// left is replaced; if one answers there the error wraps ErrRunning, and what
// is no socket stays. 256 connections are open at once, others wait. Beside it
// lies PATH.lock, which is held until Close, so that of two programs that start
// together one gets the socket.
func ListenUnix(path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("listen on %s: the path has %d bytes, a unix socket can have %d: choose a shorter one", path, len(path), maxPath)
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := listenLocked(path)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return limit(&peerListener{Listener: l, lock: lock, permitted: permitted}, maxConns), nil
}

func takeLock(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := osutil.TryLock(lock, osutil.Exclusive); {
	case errors.Is(err, osutil.ErrLocked):
		lock.Close()
		return nil, ErrRunning
	case err != nil:
		lock.Close()
		return nil, err
	}
	return lock, nil
}

func listenLocked(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// Linux gives the file the mode of the socket, less the umask.
		if e := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); e != nil {
			return e
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := checkMode(path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func checkMode(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o177 != 0 {
		return fmt.Errorf("the socket has mode %#o instead of 0600", info.Mode().Perm())
	}
	return nil
}

// removeStale removes a socket on which nobody listens.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("something that is not a socket lies there: remove it, or choose another path")
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return ErrRunning
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded):
		return ErrRunning // its queue is full
	}
	return err
}

// peerListener takes connections of permitted users only.
type peerListener struct {
	net.Listener
	lock      *os.File
	permitted func(uid uint32) bool
}

// permitted are root and our own user.
func permitted(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

// Accept waits for a connection of a permitted user, and closes others.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peer(conn)
		if err == nil && l.permitted(uid) {
			return conn, nil
		}
		conn.Close()
	}
}

// Close removes the socket and gives up the lock.
func (l *peerListener) Close() error {
	return errors.Join(l.Listener.Close(), ignoreClosed(l.lock.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}

// peer is the user who connected (SO_PEERCRED, unix(7)).
func peer(conn net.Conn) (uint32, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, os.NewSyscallError("getsockopt", credErr)
	}
	return cred.Uid, nil
}
