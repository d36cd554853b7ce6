package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/transport"
)

// kind is how kpropd was started.
type kind int

const (
	standAlone kind = iota // it listens itself
	listening              // systemd gave a listening socket (Accept=no), or inetd did ("wait")
	connection             // inetd or systemd (Accept=yes) gave a connection
)

// input is what to serve.
type input struct {
	kind     kind
	listener net.Listener
	conn     net.Conn
}

// findInput looks for sockets that the parent has passed: those of systemd's
// LISTEN_FDS, else descriptor 0.
func findInput() (*input, error) {
	files := activation.Files(true)
	if len(files) > 1 {
		return nil, fmt.Errorf("systemd passed %d sockets, kpropd serves one: give it one ListenStream", len(files))
	}
	if len(files) == 1 {
		return inputOf(files[0])
	}
	if !isSocket(0) {
		return &input{kind: standAlone}, nil
	}
	in, err := inputOf(os.Stdin)
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
func inputOf(f *os.File) (*input, error) {
	if f != os.Stdin {
		defer f.Close()
	}
	fd := int(f.Fd())
	if !isSocket(fd) {
		return nil, errors.New("the descriptor that was passed is not a socket")
	}
	if n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && n != 0 {
		l, err := net.FileListener(f)
		return &input{kind: listening, listener: l}, err
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("the socket that was passed: %w", err)
	}
	if _, ok := c.(*net.TCPConn); !ok {
		c.Close()
		return nil, errors.New("the socket that was passed is not a TCP connection: kpropd's standard input must not be a socket unless inetd serves it")
	}
	return &input{kind: connection, conn: c}, nil
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

// listen opens the port on all addresses, with one socket for IPv6 and IPv4,
// or for IPv4 alone where there is no IPv6.
func listen(ctx context.Context, port string) (net.Listener, error) {
	n, err := transport.KpropService.LookupPort(port)
	if err != nil {
		return nil, fmt.Errorf("getaddrinfo: Servname not supported for ai_socktype: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(n)))
	if err != nil {
		return nil, failure(err, "while binding listener socket")
	}
	return l, nil
}
