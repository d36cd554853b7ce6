package main

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// wiretap is a proxy between a kprop and a kpropd, in the hands of somebody
// without a key. What comes is handed to it message by message; a nil function
// passes all on.
type wiretap struct {
	fromClient func(w *wire, n int, msg []byte)
	fromServer func(w *wire, n int, msg []byte)
}

// The messages of a conversation by their number (reference kprop-protocol.md
// 1): those of the client, and those of the server behind its one byte.
const (
	theRequest    = 2 // AP-REQ
	theSize       = 3
	theFirstBlock = 4

	theReply  = 1 // AP-REP
	theAnswer = 2 // acknowledgement or error
)

// wire is one connection through a wiretap.
type wire struct {
	client, server *net.TCPConn
	mu             sync.Mutex // of what follows, and of writes to the client
	sent, answered [][]byte   // messages that came
}

// toServer and toClient do not care whether the other end has closed.
func (w *wire) toServer(msgs ...[]byte) { writeMessages(w.server, msgs) }

func (w *wire) toClient(msgs ...[]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	writeMessages(w.client, msgs)
}

// endToServer tells the server that nothing more comes.
func (w *wire) endToServer() { _ = w.server.CloseWrite() }

// reply is the n-th message of the server, which has come.
func (w *wire) reply(n int) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answered[n]
}

func writeMessages(nc net.Conn, msgs [][]byte) {
	for _, m := range msgs {
		_, _ = nc.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(m))), m...))
	}
}

// start listens; the first connection is carried to the port. The result has
// the proxy's port. Done waits for the end of the connection and gives it.
func (tap wiretap) start(t *testing.T, port int) (proxy *krbtest.Daemon, done func() *wire) {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	w, ended := &wire{}, make(chan struct{})
	go func() {
		defer close(ended)
		tap.carry(w, l, port)
	}()
	done = func() *wire {
		l.Close()
		<-ended
		return w
	}
	t.Cleanup(func() { done() })
	return &krbtest.Daemon{Port: l.Addr().(*net.TCPAddr).Port}, done
}

func (tap wiretap) carry(w *wire, l net.Listener, port int) {
	client, err := l.Accept()
	if err != nil {
		return
	}
	defer client.Close()
	server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return
	}
	defer server.Close()
	w.client, w.server = client.(*net.TCPConn), server.(*net.TCPConn)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		tap.hear(w)
		_ = w.client.CloseWrite()
	}()
	for n := 0; ; n++ {
		msg, err := readMessage(w.client)
		if err != nil {
			break
		}
		w.mu.Lock()
		w.sent = append(w.sent, msg)
		w.mu.Unlock()
		if tap.fromClient == nil {
			w.toServer(msg)
		} else {
			tap.fromClient(w, n, msg)
		}
	}
	w.endToServer()
	<-heard
}

// hear carries what the server says.
func (tap wiretap) hear(w *wire) {
	var first [1]byte
	if _, err := io.ReadFull(w.server, first[:]); err != nil {
		return
	}
	_, _ = w.client.Write(first[:])
	for n := 0; ; n++ {
		msg, err := readMessage(w.server)
		if err != nil {
			return
		}
		w.mu.Lock()
		w.answered = append(w.answered, msg)
		w.mu.Unlock()
		if tap.fromServer == nil {
			w.toClient(msg)
		} else {
			tap.fromServer(w, n, msg)
		}
	}
}

func readMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, min(binary.BigEndian.Uint32(head[:]), 1<<20))
	_, err := io.ReadFull(r, msg)
	return msg, err
}
