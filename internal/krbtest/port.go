package krbtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// Ports come from below the usual ephemeral range, so that no outgoing
// connection of the machine takes one between its choice and its use.
const (
	firstPort = 20000
	lastPort  = 31999
	portTries = 200
)

// port is a TCP and UDP port that no other krbtest, in this or another
// process, hands out until it is released or the process ends: it is a lock on
// a file in the system's temporary directory.
type port struct {
	number int
	lock   *os.File
}

func (p *port) release() { p.lock.Close() }

// FreePort returns a port that is free for TCP and UDP on all addresses. It
// stays reserved until the process ends. It panics if there is none.
func FreePort() int {
	p, err := takePort()
	if err != nil {
		panic(err)
	}
	if err := lockForever(p); err != nil {
		panic(err)
	}
	return p.number
}

// lockForever moves the lock to a bare descriptor, which no garbage collection
// closes. The lock belongs to the open file description, so the copy keeps it.
func lockForever(p *port) error {
	defer p.release()
	_, err := unix.FcntlInt(p.lock.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	return err
}

// reservePort reserves a port until the realm is closed.
func (r *Realm) reservePort() (int, error) {
	p, err := takePort()
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ports = append(r.ports, p)
	return p.number, nil
}

func takePort() (*port, error) {
	// A folder per user: another's lock files could not be opened.
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("kprop-test-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for range portTries {
		n := firstPort + rand.IntN(lastPort-firstPort+1)
		p, err := lockPort(dir, n)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		if bindable(n) {
			return p, nil
		}
		p.release()
	}
	return nil, fmt.Errorf("no free port between %d and %d in %d tries", firstPort, lastPort, portTries)
}

// lockPort gives nil if another holds the port.
func lockPort(dir string, n int) (*port, error) {
	f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := osutil.TryLock(f, osutil.Exclusive); err != nil {
		f.Close()
		if errors.Is(err, osutil.ErrLocked) {
			return nil, nil
		}
		return nil, err
	}
	return &port{number: n, lock: f}, nil
}

func bindable(n int) bool {
	addr := ":" + strconv.Itoa(n)
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	udp.Close()
	return true
}

// listening reports whether a TCP socket of this network namespace listens on
// the port, whatever its address. It reads the kernel's tables instead of
// connecting, since a connection is a session to the daemon.
func listening(n int) bool {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err == nil && hasListener(string(text), n) {
			return true
		}
	}
	return false
}

// hasListener reads a table in the form of proc(5): the second field is the
// local address as hex ADDRESS:PORT, the fourth the state, 0A for listening.
func hasListener(table string, port int) bool {
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], suffix) {
			return true
		}
	}
	return false
}
