package replica

import (
	"net"
	"testing"
)

// fakeConn is a connection that knows only where it comes from, and whether it
// was closed.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) Close() error         { c.closed = true; return nil }
func (c *fakeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 1} }

func TestCrowd(t *testing.T) {
	var c crowd
	honest := &fakeConn{from: "192.0.2.1"}
	c.admit(honest)
	var rude []*fakeConn
	for range 3 * maxStrangersPerSource {
		nc := &fakeConn{from: "198.51.100.7"}
		rude = append(rude, nc)
		c.admit(nc)
	}
	for i, nc := range rude {
		if want := i < 2*maxStrangersPerSource; nc.closed != want {
			t.Errorf("connection %d of one address: closed %v, want %v", i, nc.closed, want)
		}
	}
	if honest.closed {
		t.Error("many connections of one address closed that of another")
	}
	last := &fakeConn{from: "198.51.100.7"}
	leave := c.admit(last)
	leave()
	leave()
	if last.closed || len(c.members) != maxStrangersPerSource {
		t.Errorf("after leaving: closed %v, %d members", last.closed, len(c.members))
	}
}

func TestCrowdOfManyAddresses(t *testing.T) {
	var c crowd
	first := &fakeConn{from: "2001:db8:ffff::1"}
	c.admit(first)
	for i := range maxStrangers {
		c.admit(&fakeConn{from: net.IP{0x20, 0x01, 0x0d, 0xb8, 0, byte(i), 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}.String()})
	}
	if !first.closed || len(c.members) != maxStrangers {
		t.Errorf("the oldest is closed: %v, %d members", first.closed, len(c.members))
	}
	a, b := &fakeConn{from: "2001:db8::1"}, &fakeConn{from: "2001:db8::ffff:1"}
	if source(a) != source(b) {
		t.Error("two addresses of one IPv6 network count as two sources")
	}
}
