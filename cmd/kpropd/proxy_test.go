package main

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

// record lets a kprop propagate through a proxy to d, and gives what kprop has
// sent in the course of it.
func record(t *testing.T, r *krbtest.Realm, kprop string, d *krbtest.Daemon) []byte {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	recorded := make(chan []byte, 1)
	go func() { recorded <- relay(l, d.Port) }()
	proxy := &krbtest.Daemon{Port: l.Addr().(*net.TCPAddr).Port}
	mustSucceed(t, r, kprop, proxy, "127.0.0.1")
	select {
	case sent := <-recorded:
		if len(sent) < 1000 {
			t.Fatalf("%d bytes recorded", len(sent))
		}
		return sent
	case <-testContext(t).Done():
		t.Fatal("the proxied connection did not end")
		return nil
	}
}

// relay carries one connection, and gives what the client has sent.
func relay(l net.Listener, port int) []byte {
	client, err := l.Accept()
	if err != nil {
		return nil
	}
	defer client.Close()
	server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil
	}
	defer server.Close()
	var sent bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.MultiWriter(server, &sent), client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
	_ = client.(*net.TCPConn).CloseWrite()
	<-done
	return sent.Bytes()
}

// replay sends what was recorded to a kpropd as it is, and gives the answer.
func replay(t *testing.T, recorded []byte, d *krbtest.Daemon) []byte {
	t.Helper()
	nc := must(net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port))))(t)
	defer nc.Close()
	ok(t, nc.SetDeadline(time.Now().Add(limit)))
	go func() {
		// Fails where kpropd closes at once, as MIT's does.
		_, _ = nc.Write(recorded)
		_ = nc.(*net.TCPConn).CloseWrite()
	}()
	var answer bytes.Buffer
	_, _ = io.Copy(&answer, nc)
	return answer.Bytes()
}

// cutter is a proxy for one connection that carries only so many bytes of the
// client, and then nothing until it is cut.
type cutter struct {
	port int
	cut  func()
}

func startCutter(t *testing.T, port int, bytes int64) *cutter {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
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
		go func() { _, _ = io.Copy(client, server) }()
		_, _ = io.CopyN(server, client, bytes)
		<-quit
	}()
	cut := sync.OnceFunc(func() { close(quit); l.Close(); <-done })
	t.Cleanup(cut)
	return &cutter{port: l.Addr().(*net.TCPAddr).Port, cut: cut}
}
