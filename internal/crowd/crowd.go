// Package crowd bounds the connections of peers that have not proved yet who
// they are.
package crowd

import (
	"cmp"
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// Defaults of a Crowd's bounds.
const (
	DefaultMost      = 16
	DefaultPerSource = 2
)

const (
	// patience is for how long one too many waits for a place. An honest
	// handshake, of a few round trips, is over by then.
	patience = 2 * time.Second
	// waitingPerPlace bounds those that wait.
	waitingPerPlace = 4
)

// Crowd holds those connections. Its zero value is ready, and its methods are
// safe for concurrent use. One too many waits a moment, since honest peers
// leave soon and several may come at once from one address: a propagation, a
// check and a monitor's probe. Then it takes the place of the oldest, of the
// same address if that has its share already, so that nobody keeps others out
// by saying nothing. Where many wait, the first of them waits no longer.
type Crowd struct {
	Most      int // places; 0: DefaultMost
	PerSource int // of them, for one IPv4 address or IPv6 network of 64 bits; 0: DefaultPerSource

	mu      sync.Mutex
	members []*Stranger // have a place, oldest first
	waiting []*Stranger // for one, oldest first
}

// Stranger is one of those connections.
type Stranger struct {
	c      *Crowd
	nc     net.Conn
	source string
	placed chan struct{} // closed when it has a place
}

// Arrive adds a connection, in the order in which it is called. The stranger
// must Enter before anything is read, and Leave.
func (c *Crowd) Arrive(nc net.Conn) *Stranger {
	s := &Stranger{c: c, nc: nc, source: source(nc), placed: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, s)
	c.fill()
	if len(c.waiting) > waitingPerPlace*cmp.Or(c.Most, DefaultMost) {
		c.push(c.waiting[0])
	}
	return s
}

// Enter waits until the stranger has a place, which takes no longer than
// patience, nor than ctx lasts.
func (s *Stranger) Enter(ctx context.Context) {
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

// Leave gives the place to others. It may be called twice.
func (s *Stranger) Leave() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.members = without(s.c.members, s)
	s.c.waiting = without(s.c.waiting, s)
	s.c.fill()
}

// fill gives free places to those that wait.
func (c *Crowd) fill() {
	for _, s := range slices.Clone(c.waiting) {
		if c.inTheWayOf(s) == nil {
			c.place(s)
		}
	}
}

// push gives one that waits a place, if need be that of another.
func (c *Crowd) push(s *Stranger) {
	if out := c.inTheWayOf(s); out != nil {
		out.nc.Close()
		c.members = without(c.members, out)
	}
	c.place(s)
}

func (c *Crowd) place(s *Stranger) {
	c.waiting = without(c.waiting, s)
	c.members = append(c.members, s)
	close(s.placed)
}

// inTheWayOf gives the oldest of those that keep s from having a place; nil:
// there is room.
func (c *Crowd) inTheWayOf(s *Stranger) *Stranger {
	var oldest *Stranger
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
	case count >= cmp.Or(c.PerSource, DefaultPerSource):
		return oldest
	case len(c.members) >= cmp.Or(c.Most, DefaultMost):
		return c.members[0]
	}
	return nil
}

func without(list []*Stranger, s *Stranger) []*Stranger {
	return slices.DeleteFunc(list, func(m *Stranger) bool { return m == s })
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
