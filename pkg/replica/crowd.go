package replica

import (
	"cmp"
	"net"
	"sync"
)

// Bounds on the connections of peers that have not proved yet who they are,
// unless Options say otherwise. Several primaries can come from one address
// where addresses are translated.
const (
	maxStrangers          = 64
	maxStrangersPerSource = 8
)

// crowd holds those connections. One too many does not wait: it takes the place
// of the oldest, of the same address if that has its share already, so that
// nobody keeps others out by saying nothing. An honest handshake is over long
// before it is the oldest.
type crowd struct {
	most      int // members; 0: maxStrangers
	perSource int // of them; 0: maxStrangersPerSource

	mu      sync.Mutex
	members []*stranger // oldest first
}

type stranger struct {
	nc     net.Conn
	source string
}

// admit adds a connection; leave takes it out again and may be called twice.
func (c *crowd) admit(nc net.Conn) (leave func()) {
	s := &stranger{nc: nc, source: source(nc)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(c.members, s)
	if out := c.oneTooMany(s.source); out != nil {
		out.nc.Close()
		c.remove(out)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.remove(s)
	}
}

func (c *crowd) oneTooMany(source string) *stranger {
	var oldest *stranger
	count := 0
	for _, s := range c.members {
		if s.source != source {
			continue
		}
		if count++; oldest == nil {
			oldest = s
		}
	}
	switch {
	case count > cmp.Or(c.perSource, maxStrangersPerSource):
		return oldest
	case len(c.members) > cmp.Or(c.most, maxStrangers):
		return c.members[0]
	}
	return nil
}

func (c *crowd) remove(s *stranger) {
	for i, m := range c.members {
		if m == s {
			c.members = append(c.members[:i], c.members[i+1:]...)
			return
		}
	}
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
