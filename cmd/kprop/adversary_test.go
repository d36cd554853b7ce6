package main

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// A receiver that is an enemy: without keys, between kprop and the replica, or
// with those of the replica. What it can do to the authentication and to the
// acknowledgement is also in peers_test.go.
func TestHostileReceiver(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	const authenticating = " while authenticating to server\n"
	const unproven = "did not prove that it is host/127.0.0.1@KPROP.TEST"
	const unknown = "whether 127.0.0.1 has loaded the database is not known"
	success := "Database propagation to 127.0.0.1: SUCCEEDED\n"
	runRows(t, r, []row{
		{name: "answers to an earlier propagation", exit: 1, stage: func(s *stage) { s.serve(earlier(s)) },
			stderr: "kprop: Decrypt integrity check failed" + authenticating, finding: unproven},
		{name: "request reflected as the verdict", exit: 1,
			stage:  answering(func(p *peer) { p.hello(0); p.send(p.read()); p.nothingMore() }),
			stderr: "kprop: Invalid message type" + authenticating, finding: unproven},
		{name: "request reflected as the reply", exit: 1,
			stage:  answering(func(p *peer) { p.hello(0); msg := p.read(); p.send(nil); p.send(msg); p.nothingMore() }),
			stderr: "kprop: Invalid message type" + authenticating, finding: unproven},
		{name: "reply to another request", exit: 1,
			stage: answering(func(p *peer) {
				p.open()
				p.send(nil)
				p.send(p.apRep(p.auth.ctime, p.auth.cusec^1))
				p.nothingMore()
			}),
			stderr: "kprop: Mutual authentication failed" + authenticating, finding: unproven},
		{name: "weaker enctype of the reply", exit: 1,
			stage: answering(func(p *peer) {
				p.open()
				p.send(nil)
				p.send(bytes.Replace(p.apRep(p.auth.ctime, p.auth.cusec), []byte("\xa0\x03\x02\x01\x12"), []byte("\xa0\x03\x02\x01\x17"), 1))
				p.nothingMore()
			}),
			stderr: "kprop: Bad encryption type" + authenticating, fault: "it is no fault, but the text is that of MIT's crypto library",
			ours: "kprop: Generic error (see e-text)" + authenticating, finding: unproven},
		{name: "size reflected as the acknowledgement", exit: 1,
			stage:  reflecting(0),
			stderr: "kprop: Message out of order while decoding final size packet from server\n", finding: unknown},
		{name: "block reflected as the acknowledgement", exit: 1,
			stage:  reflecting(1),
			stderr: "kprop: Invalid message type while decoding final size packet from server\n", finding: unknown},
		{name: "acknowledged twice", stdout: success,
			stage: acknowledging(func(p *peer, size int) {
				msg := p.safe(size4(size))
				p.write(append(framed(msg), framed(msg)...)...)
			})},
	})
}

// nothingMore wants kprop to send nothing to a receiver that has not proven
// who it is.
func (p *peer) nothingMore() {
	rest, err := io.ReadAll(p.nc)
	if len(rest) > 0 {
		p.t.Errorf("kprop goes on with %d bytes (%v)", len(rest), err)
	}
}

// earlier makes a propagation, and gives a server that repeats what the
// replica said in the course of it.
func earlier(s *stage) func(*peer) {
	s.t.Helper()
	s.kpropd("")
	kpropd := net.JoinHostPort("127.0.0.1", s.port)
	recorded := make(chan []byte, 1)
	s.serve(func(p *peer) {
		nc, err := net.Dial("tcp", kpropd)
		p.must(err)
		defer nc.Close()
		go func() {
			_, _ = io.Copy(nc, p.nc)
			_ = nc.(*net.TCPConn).CloseWrite()
		}()
		var said bytes.Buffer
		_, err = io.Copy(io.MultiWriter(p.nc, &said), nc)
		p.must(err)
		recorded <- said.Bytes()
	})
	if got := s.run(""); got.exit != 0 {
		s.t.Fatalf("the earlier propagation: %+v", got)
	}
	said := <-recorded
	return func(p *peer) {
		p.write(said...)
		for range 3 { // the versions and the request
			p.read()
		}
		p.nothingMore()
	}
}

// reflecting is a stage whose server sends the n-th message of the database
// back as the acknowledgement.
func reflecting(n int) func(*stage) {
	return func(s *stage) {
		s.serve(func(p *peer) {
			p.accept()
			msgs := [][]byte{p.read(), p.read()} // all, of a small dump
			p.send(msgs[n])
		})
	}
}

// A few minutes between the clocks: the limit is five.
func TestSkewOfTheReplica(t *testing.T) {
	krbtest.Require(t, "faketime")
	r := newRealm(t, krbtest.Options{})
	success := "Database propagation to 127.0.0.1: SUCCEEDED\n"
	refused := func(text string) string {
		return rejected + "kprop: " + text + " signalled from server\nError text from server: " + text + "\n"
	}
	at := func(offset string) func(*stage) { return func(s *stage) { s.kpropdAt(offset) } }
	const clocks = "differ by more than clockskew allows"
	runRows(t, r, []row{
		{name: "4 minutes ahead", stage: at("+4m"), stdout: success},
		{name: "4 minutes behind", stage: at("-4m"), stdout: success},
		{name: "6 minutes ahead", stage: at("+6m"), exit: 1, stderr: refused("Clock skew too great"), finding: clocks},
		{name: "6 minutes behind", stage: at("-6m"), exit: 1, stderr: refused("Ticket not yet valid"), finding: clocks},
	})
}
