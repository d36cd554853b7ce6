// Package launch tells how a daemon was started, and by that what it serves: by
// a person or a script, in the foreground or the background, by inetd, or by
// systemd.
package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Kind is how the daemon was started.
type Kind int

const (
	StandAlone Kind = iota // it listens itself
	Listening              // systemd gave a listening socket (Accept=no), or inetd did ("wait")
	Connection             // inetd or systemd (Accept=yes) gave a connection
)

// Input is what to serve.
type Input struct {
	Kind     Kind
	Listener net.Listener // of Listening
	Conn     net.Conn     // of Connection, TCP
}

// Find looks for sockets that the parent has passed: those of systemd's
// LISTEN_FDS, else descriptor 0. In the second case the standard descriptors
// that lead to the socket lead to /dev/null afterwards. Messages name the
// program.
func Find(program string) (*Input, error) {
	files := activation.Files(true)
	if len(files) > 1 {
		return nil, fmt.Errorf("systemd passed %d sockets, %s serves one: give it one ListenStream", len(files), program)
	}
	if len(files) == 1 {
		return inputOf(program, files[0])
	}
	if !isSocket(0) {
		return &Input{Kind: StandAlone}, nil
	}
	in, err := inputOf(program, os.Stdin)
	if err != nil {
		return nil, err
	}
	// What is printed must not go to the peer. Systemd may have given another
	// standard error, the journal.
	for _, fd := range []int{1, 2} {
		if same, err := sameFile(0, fd); err != nil || same {
			if err := toNull(fd); err != nil {
				return nil, err
			}
		}
	}
	return in, toNull(0)
}

// sameFile reports whether two descriptors are of one socket or file.
func sameFile(a, b int) (bool, error) {
	var sa, sb unix.Stat_t
	err := errors.Join(unix.Fstat(a, &sa), unix.Fstat(b, &sb))
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino, err
}

func isSocket(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

// inputOf takes a duplicate of the socket and closes the file, unless it is
// descriptor 0, whose number must not be given to another file.
func inputOf(program string, f *os.File) (*Input, error) {
	if f != os.Stdin {
		defer f.Close()
	}
	fd := int(f.Fd())
	if !isSocket(fd) {
		return nil, errors.New("the descriptor that was passed is not a socket")
	}
	if n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && n != 0 {
		l, err := net.FileListener(f)
		return &Input{Kind: Listening, Listener: l}, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("the socket that was passed: %w", err)
	}
	if _, ok := c.(*net.TCPConn); !ok {
		c.Close()
		return nil, fmt.Errorf("the socket that was passed is not a TCP connection: %s's standard input must not be a socket unless inetd serves it", program)
	}
	return &Input{Kind: Connection, Conn: c}, nil
}

// toNull points a descriptor at /dev/null.
func toNull(fd int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	if int(null.Fd()) == fd {
		return nil
	}
	return unix.Dup3(int(null.Fd()), fd, 0)
}

// Listen opens a TCP port on all addresses, with one socket for IPv6 and IPv4,
// or for IPv4 alone where there is no IPv6.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(port)))
}
