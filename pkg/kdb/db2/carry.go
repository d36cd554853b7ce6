package db2

import "sync/atomic"

// batchBytes is how much goes from the one who reads a live database to the one who
// patches the new one at a time, in bytes.
const batchBytes = 64 << 10

// lockoutBatch is a number of keys, each with lockout data behind it.
type lockoutBatch struct {
	bytes []byte
	ends  []int // of each key in bytes
}

// give gives them to the patch.
func (b *lockoutBatch) give(p *Patch) error {
	from := 0
	for _, end := range b.ends {
		if err := p.setLockout(b.bytes[from:end], b.bytes[end:end+lockoutSize]); err != nil {
			return err
		}
		from = end + lockoutSize
	}
	return nil
}

// carrier is a visitor whose records are patched by another goroutine: to read
// them takes about as long.
type carrier struct {
	cur         *lockoutBatch
	full, empty chan *lockoutBatch
	failed      atomic.Bool
	done        chan error
}

func (p *Patch) carrier() *carrier {
	const batches = 4
	c := &carrier{full: make(chan *lockoutBatch, batches), empty: make(chan *lockoutBatch, batches+2), done: make(chan error, 1)}
	go func() {
		var err error
		for b := range c.full {
			if err == nil {
				if err = caught(func() error { return b.give(p) }); err != nil {
					c.failed.Store(true)
				}
			}
			b.bytes, b.ends = b.bytes[:0], b.ends[:0]
			c.empty <- b
		}
		c.done <- err
	}()
	for range batches + 1 {
		c.empty <- &lockoutBatch{}
	}
	c.cur = <-c.empty
	return c
}

// visit is the visitor. What fails is told by end.
func (c *carrier) visit(key, data []byte) error {
	if len(data) < recHead || c.failed.Load() {
		return nil
	}
	b := c.cur
	b.bytes = append(b.bytes, key...)
	b.ends = append(b.ends, len(b.bytes))
	b.bytes = append(b.bytes, data[recSuccess:recTLCount]...)
	if len(b.bytes) >= batchBytes {
		c.full <- b
		c.cur = <-c.empty
	}
	return nil
}

// end waits until all is patched.
func (c *carrier) end() error {
	c.full <- c.cur
	close(c.full)
	return <-c.done
}
