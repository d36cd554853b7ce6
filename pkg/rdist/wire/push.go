package wire

import (
	"io"
	"sync"
)

// maxPushed is how many octets may wait to be sent behind the back of the
// writer.
const maxPushed = 512 << 10

// pusher writes to a peer, either at once, or behind the back of who writes.
type pusher struct {
	w io.Writer

	mu      sync.Mutex
	changed *sync.Cond
	push    bool   // writes are not waited for
	running bool   // a goroutine sends what waits
	waiting []byte // to be sent
	spare   []byte
	err     error
}

func newPusher(w io.Writer) *pusher {
	p := &pusher{w: w}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// Write sends b, or has it sent if something is under way or push is set.
func (p *pusher) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.running && p.err == nil && len(p.waiting)+len(b) > maxPushed {
		p.changed.Wait()
	}
	switch {
	case p.err != nil:
		return 0, p.err
	case !p.running && !p.push:
		return p.w.Write(b)
	}
	p.waiting = append(p.waiting, b...)
	if !p.running {
		p.running = true
		go p.run()
	}
	return len(b), nil
}

// run sends until nothing waits.
func (p *pusher) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) > 0 && p.err == nil {
		b := p.waiting
		p.waiting, p.spare = p.spare[:0], nil
		p.mu.Unlock()
		_, err := p.w.Write(b)
		p.mu.Lock()
		p.spare = b
		if err != nil && p.err == nil {
			p.err = err
		}
		p.changed.Broadcast()
	}
	p.running = false
	p.changed.Broadcast()
}

// settle waits until all is sent.
func (p *pusher) settle() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.running && p.err == nil {
		p.changed.Wait()
	}
	return p.err
}

// wait waits until nothing is under way.
func (p *pusher) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.running {
		p.changed.Wait()
	}
}

// giveUp has nobody wait any more for what is under way: the peer is gone, or
// takes nothing.
func (p *pusher) giveUp(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running && p.err == nil {
		p.err = err
		p.changed.Broadcast()
	}
}

// Behind says whether what is written from now on is sent while the caller goes
// on. So a peer that waits for its answers to be read, and takes nothing
// meanwhile, does not keep the caller from reading them, as long as less than
// 512 KiB are under way. A failure is the error of a later call. What comes
// behind something that is under way goes the same way; Flush waits for all.
func (c *Conn) Behind(on bool) {
	c.out.mu.Lock()
	c.out.push = on
	c.out.mu.Unlock()
}

// Push has sent what was written. Unlike Flush it does not wait for what is sent
// behind the caller's back.
func (c *Conn) Push() error { return c.w.Flush() }

// Wait waits until nothing is under way. It ends with the
// stream, however that ends.
func (c *Conn) Wait() { c.out.wait() }
