package control

import (
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// maxConns is how many connections a listener has open at once.
const maxConns = 256

// limit lets at most n connections be open at once. Others wait in the queue
// of the kernel, and take no descriptor of this program.
func limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, free: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	free   chan struct{} // has an element for each open connection
	closed chan struct{}
	once   sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: conn, free: sync.OnceFunc(func() { <-l.free })}, nil
}

// Close frees the address at once. A program that is being started has copies
// of all descriptors for a moment, which keep a socket that is only closed.
func (l *limited) Close() error {
	l.once.Do(func() {
		close(l.closed)
		if tcp, ok := l.Listener.(*net.TCPListener); ok {
			endListening(tcp)
		}
	})
	return l.Listener.Close()
}

func endListening(l *net.TCPListener) {
	if conn, err := l.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
}

type counted struct {
	net.Conn
	free func()
}

func (c *counted) Close() error {
	defer c.free()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer before a request that was too large
// has arrived.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
