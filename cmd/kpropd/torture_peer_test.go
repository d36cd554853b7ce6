package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// tamperer is a proxy before a kpropd which does something to each connection.
type tamperer struct {
	port   int
	target string

	mu     sync.Mutex
	how    manner
	active sync.WaitGroup
}

// manner gets both ends of a connection and returns when it is through; they
// are closed afterwards.
type manner struct {
	what string
	late bool // see outcome
	do   func(client, server *net.TCPConn)
}

type direction int

const (
	toServer direction = iota
	toClient
)

func startTamperer(t *testing.T, port int) *tamperer {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	x := &tamperer{port: l.Addr().(*net.TCPAddr).Port, target: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			x.active.Go(func() { x.serve(client.(*net.TCPConn)) })
		}
	}()
	t.Cleanup(func() { l.Close(); <-done; x.active.Wait() })
	return x
}

func (x *tamperer) set(how manner) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.how = how
}

// idle waits for the end of what the proxy carries.
func (x *tamperer) idle(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); x.active.Wait() }()
	select {
	case <-done:
	case <-testContext(t).Done():
		t.Fatal("a connection through the proxy does not end")
	}
}

func (x *tamperer) serve(client *net.TCPConn) {
	defer client.Close()
	nc, err := net.Dial("tcp", x.target)
	if err != nil {
		return
	}
	server := nc.(*net.TCPConn)
	defer server.Close()
	x.mu.Lock()
	how := x.how
	x.mu.Unlock()
	how.do(client, server)
}

// both runs the two directions, and ends each by closing the other end for
// writing.
func both(client, server *net.TCPConn, up, down func(to io.Writer, from io.Reader)) {
	var wg sync.WaitGroup
	wg.Go(func() {
		up(server, client)
		_ = server.CloseWrite()
	})
	wg.Go(func() {
		down(client, server)
		_ = client.CloseWrite()
		// A client that waits for more has nothing to come.
		_ = client.CloseRead()
	})
	wg.Wait()
}

func carry(to io.Writer, from io.Reader) { _, _ = io.Copy(to, from) }

// measure carries one good propagation and tells its size: bytes of both
// directions, and messages of the client.
func (x *tamperer) measure(t *testing.T, v *victim, p side) (up, down int64, frames int) {
	t.Helper()
	var sent, answered bytes.Buffer
	x.set(manner{do: func(client, server *net.TCPConn) {
		both(client, server,
			func(to io.Writer, from io.Reader) { carry(io.MultiWriter(to, &sent), from) },
			func(to io.Writer, from io.Reader) { carry(io.MultiWriter(to, &answered), from) })
	}})
	if o := v.send(t, p, x.port); o.exit != 0 {
		t.Fatalf("without a fault: %s", o.stderr)
	}
	x.idle(t)
	v.settled(t)
	v.live = 1 - v.live
	v.note()
	up, down = int64(sent.Len()), int64(answered.Len())
	for rest := sent.Bytes(); len(rest) >= 4; frames++ {
		rest = rest[min(len(rest), 4+int(binary.BigEndian.Uint32(rest))):]
	}
	if frames < 6 {
		t.Fatalf("%d messages of %d bytes", frames, up)
	}
	return up, down, frames
}

// cut ends both connections, by a reset or orderly.
func cut(client, server *net.TCPConn, reset bool) {
	for _, c := range []*net.TCPConn{client, server} {
		if reset {
			_ = c.SetLinger(0)
		}
		c.Close()
	}
}

// cutAfter lets the client's side run until carry returns, and then cuts.
func cutAfter(what string, reset bool, up func(to io.Writer, from io.Reader)) manner {
	return manner{what: fmt.Sprintf("%s, reset %v", what, reset), do: func(client, server *net.TCPConn) {
		go carry(client, server)
		up(server, client)
		cut(client, server, reset)
	}}
}

// cutFrames cuts behind so many messages of the client.
func cutFrames(n int, reset bool) manner {
	return cutAfter(fmt.Sprintf("after message %d", n), reset, func(to io.Writer, from io.Reader) {
		for range n {
			var length [4]byte
			if _, err := io.ReadFull(from, length[:]); err != nil {
				return
			}
			if _, err := to.Write(length[:]); err != nil {
				return
			}
			if _, err := io.CopyN(to, from, int64(binary.BigEndian.Uint32(length[:]))); err != nil {
				return
			}
		}
	})
}

// cutBytes cuts behind so many bytes of the client.
func cutBytes(n int64, reset bool) manner {
	return cutAfter(fmt.Sprintf("after %d bytes", n), reset, func(to io.Writer, from io.Reader) { _, _ = io.CopyN(to, from, n) })
}

// stall carries so many bytes of the client and then nothing, until kpropd has
// had enough.
func stall(n int64) manner {
	return manner{what: fmt.Sprintf("after %d bytes", n), do: func(client, server *net.TCPConn) {
		go func() { _, _ = io.CopyN(server, client, n) }()
		carry(client, server)
	}}
}

// cutAnswer cuts behind so many bytes of the server.
func cutAnswer(n int64) manner {
	return manner{what: fmt.Sprintf("after %d bytes of the answer", n), late: true, do: func(client, server *net.TCPConn) {
		go carry(server, client)
		_, _ = io.CopyN(client, server, n)
		cut(client, server, false)
	}}
}

// flip changes one bit.
func flip(offset int64, bit uint, to direction) manner {
	flipped := func(to io.Writer, from io.Reader) {
		var b [1]byte
		if _, err := io.CopyN(to, from, offset); err != nil {
			return
		}
		if _, err := io.ReadFull(from, b[:]); err != nil {
			return
		}
		b[0] ^= 1 << bit
		if _, err := to.Write(b[:]); err != nil {
			return
		}
		carry(to, from)
	}
	up, down := flipped, carry
	if to == toClient {
		up, down = carry, flipped
	}
	return manner{what: fmt.Sprintf("bit %d of byte %d", bit, offset), late: to == toClient, do: func(client, server *net.TCPConn) {
		both(client, server, up, down)
	}}
}

// harm does to a process what the word says.
func harm(pid int, what string) {
	switch what {
	case "killed":
		_ = unix.Kill(pid, unix.SIGKILL)
	case "terminated":
		_ = unix.Kill(pid, unix.SIGTERM)
	default:
		_ = unix.Kill(pid, unix.SIGSTOP)
		_ = unix.Kill(pid, unix.SIGCONT)
	}
}
