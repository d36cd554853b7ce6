package replica

import (
	"cmp"
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// Bounds on the connections of peers that have not proved yet who they are,
// unless Options say otherwise.
const (
	maxStrangers          = 16
	maxStrangersPerSource = 2
)

const (
	// patience is for how long one too many waits for a place. An honest
	// handshake, of a few round trips, is over by then.
	patience = 2 * time.Second
	// waitingPerPlace bounds those that wait.
	waitingPerPlace = 4
)

// crowd holds those connections. One too many waits a moment, since honest peers
// leave soon and several may come at once from one address: a propagation, a
// check and a monitor's probe. Then it takes the place of the oldest, of the
// same address if that has its share already, so that nobody keeps others out
// by saying nothing. Where many wait, the first of them waits no longer.
type crowd struct {
	most      int // places; 0: maxStrangers
	perSource int // of them; 0: maxStrangersPerSource

	mu      sync.Mutex
	members []*stranger // have a place, oldest first
	waiting []*stranger // for one, oldest first
}

type stranger struct {
	c      *crowd
	nc     net.Conn
	source string
	placed chan struct{} // closed when it has a place
}

// arrive adds a connection, in the order in which it is called. The stranger
// must enter before anything is read, and leave.
func (c *crowd) arrive(nc net.Conn) *stranger {
	s := &stranger{c: c, nc: nc, source: source(nc), placed: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, s)
	c.fill()
	if len(c.waiting) > waitingPerPlace*cmp.Or(c.most, maxStrangers) {
		c.push(c.waiting[0])
	}
	return s
}

// enter waits until the stranger has a place, which takes no longer than
// patience, nor than ctx lasts.
func (s *stranger) enter(ctx context.Context) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.placed:
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	// Those that came before have waited as long, and must not push it out.
	for slices.Contains(s.c.waiting, s) {
		s.c.push(s.c.waiting[0])
	}
}

// leave gives the place to others. It may be called twice.
func (s *stranger) leave() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.members = without(s.c.members, s)
	s.c.waiting = without(s.c.waiting, s)
	s.c.fill()
}

// fill gives free places to those that wait.
func (c *crowd) fill() {
	for _, s := range slices.Clone(c.waiting) {
		if c.inTheWayOf(s) == nil {
			c.place(s)
		}
	}
}

// push gives one that waits a place, if need be that of another.
func (c *crowd) push(s *stranger) {
	if out := c.inTheWayOf(s); out != nil {
		out.nc.Close()
		c.members = without(c.members, out)
	}
	c.place(s)
}

func (c *crowd) place(s *stranger) {
	c.waiting = without(c.waiting, s)
	c.members = append(c.members, s)
	close(s.placed)
}

// inTheWayOf gives the oldest of those that keep s from having a place; nil:
// there is room.
func (c *crowd) inTheWayOf(s *stranger) *stranger {
	var oldest *stranger
	count := 0
	for _, m := range c.members {
		if m.source != s.source {
			continue
		}
		if count++; oldest == nil {
			oldest = m
		}
	}
	switch {
	case count >= cmp.Or(c.perSource, maxStrangersPerSource):
		return oldest
	case len(c.members) >= cmp.Or(c.most, maxStrangers):
		return c.members[0]
	}
	return nil
}

func without(list []*stranger, s *stranger) []*stranger {
	return slices.DeleteFunc(list, func(m *stranger) bool { return m == s })
}

// source is what one peer cannot have many of: an IPv4 address, or an IPv6
// network of 64 bits.
func source(nc net.Conn) string {
	a, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return nc.RemoteAddr().String()
	}
	if v4 := a.IP.To4(); v4 != nil {
		return v4.String()
	}
	return a.IP.Mask(net.CIDRMask(64, 128)).String()
}
