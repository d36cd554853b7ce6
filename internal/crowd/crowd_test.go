package crowd

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeConn is a connection that knows only where it comes from, and whether it
// was closed.
type fakeConn struct {
	net.Conn
	from   string
	closed atomic.Bool
}

func (c *fakeConn) Close() error         { c.closed.Store(true); return nil }
func (c *fakeConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 1} }

// closed are the numbers of those that were closed.
func closed(list []*fakeConn) (numbers []int) {
	for i, nc := range list {
		if nc.closed.Load() {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// come has n connections of an address arrive and enter.
func come(t *testing.T, c *Crowd, from string, n int) (list []*fakeConn, strangers []*Stranger) {
	for range n {
		nc := &fakeConn{from: from}
		s := c.Arrive(nc)
		list, strangers = append(list, nc), append(strangers, s)
		go s.Enter(t.Context())
	}
	synctest.Wait()
	return list, strangers
}

func (c *Crowd) count() (members, waiting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.members), len(c.waiting)
}

func hasPlace(s *Stranger) bool {
	select {
	case <-s.placed:
		return true
	default:
		return false
	}
}

// TestCrowdLetsHonestPeersPass: who is done in time loses his place to nobody,
// and leaves it to the next.
func TestCrowdLetsHonestPeersPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Crowd{Most: 16, PerSource: 2}
		list, s := come(t, &c, "192.0.2.1", 5)
		for i := range s {
			for j := range s {
				if want := j < i+2; hasPlace(s[j]) != want {
					t.Errorf("when %d have left, number %d has a place: %v, want %v", i, j, !want, want)
				}
			}
			time.Sleep(patience / 6)
			s[i].Leave()
			s[i].Leave()
		}
		time.Sleep(patience)
		if got := closed(list); got != nil {
			t.Errorf("%v were closed", got)
		}
		if members, waiting := c.count(); members+waiting > 0 {
			t.Errorf("%d members, %d waiting", members, waiting)
		}
	})
}

// TestCrowdOfOneAddress: silence keeps nobody out, of that address or another.
func TestCrowdOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Crowd{Most: 16, PerSource: 2}
		honest, _ := come(t, &c, "192.0.2.1", 1)
		rude, _ := come(t, &c, "198.51.100.7", 10)
		last, s := come(t, &c, "198.51.100.7", 1)
		time.Sleep(patience - time.Millisecond)
		synctest.Wait()
		if got := closed(rude); got != nil {
			t.Errorf("%v were closed before others had waited long", got)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got, want := closed(rude), []int{0, 1, 2, 3, 4, 5, 6, 7, 8}; !slices.Equal(got, want) {
			t.Errorf("%v were closed, want %v", got, want)
		}
		if !hasPlace(s[0]) || closed(last) != nil {
			t.Error("the newest has no place")
		}
		if closed(honest) != nil {
			t.Error("many connections of one address closed that of another")
		}
	})
}

// TestCrowdWithoutEnd: the number of those that wait is bounded.
func TestCrowdWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Crowd{Most: 4, PerSource: 2}
		list, _ := come(t, &c, "198.51.100.7", 1000)
		if members, waiting := c.count(); members != 2 || waiting != 4*waitingPerPlace {
			t.Errorf("%d members, %d waiting", members, waiting)
		}
		if got, want := len(closed(list)), 1000-2-4*waitingPerPlace; got != want {
			t.Errorf("%d were closed, want %d", got, want)
		}
		time.Sleep(patience)
		synctest.Wait()
		if members, waiting := c.count(); members != 2 || waiting != 0 || len(closed(list[998:])) > 0 {
			t.Errorf("%d members, %d waiting, and not the newest two", members, waiting)
		}
	})
}

func TestCrowdOfManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Crowd{Most: 16, PerSource: 2}
		first, _ := come(t, &c, "2001:db8:ffff::1", 1)
		for i := range 16 {
			come(t, &c, net.IP{0x20, 0x01, 0x0d, 0xb8, 0, byte(i), 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}.String(), 1)
		}
		if members, waiting := c.count(); closed(first) != nil || members != 16 || waiting != 1 {
			t.Errorf("closed: %v, %d members, %d waiting", closed(first), members, waiting)
		}
		time.Sleep(patience)
		synctest.Wait()
		if members, waiting := c.count(); closed(first) == nil || members != 16 || waiting != 0 {
			t.Errorf("closed: %v, %d members, %d waiting", closed(first), members, waiting)
		}
	})
	a, b := &fakeConn{from: "2001:db8::1"}, &fakeConn{from: "2001:db8::ffff:1"}
	if source(a) != source(b) {
		t.Error("two addresses of one IPv6 network count as two sources")
	}
}

// TestCrowdAtTheEnd: nobody waits when the server is to end.
func TestCrowdAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Crowd{Most: 1, PerSource: 1}
		come(t, &c, "192.0.2.1", 1)
		ctx, cancel := context.WithCancel(t.Context())
		s := c.Arrive(&fakeConn{from: "192.0.2.2"})
		cancel()
		start := time.Now()
		s.Enter(ctx)
		if took := time.Since(start); took > 0 || !hasPlace(s) {
			t.Errorf("it waited %v", took)
		}
	})
}
