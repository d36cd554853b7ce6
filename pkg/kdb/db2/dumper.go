package db2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kprop/kprop/pkg/dump"
)

// Sizes in bytes. The leaves of a chunk make about 1.4 times as much text, unless
// they refer to overflow pages; then text is handed on before the chunk is done.
const (
	chunkPages = 1 << 20
	chunkText  = 2 << 20
	maxWorkers = 8 // the one that writes cannot follow more
)

// dumper is a dump in progress. Chunks of leaves are made into text by workers, and
// written in their order by the goroutine that called Dump; another has them
// verified meanwhile.
type dumper struct {
	w       io.Writer
	head    dump.Header
	opts    DumpOptions
	workers int
	dumped  Dumped

	free     chan *chunk // which bounds the memory
	verifier *dump.Verifier
	verify   chan *chunk
	verified chan struct{} // closed behind the last
	broken   error         // a panic of the verifier
}

// chunk is a piece of a dump. What it refers to is its worker's until it is ready,
// then that of those who use the text.
type chunk struct {
	leaves     []uint32
	prev, next uint32 // of the first and the last leaf; 0: none
	text       []byte
	room       int // of text to begin with
	names      []byte
	keepNames  bool
	principals int

	ready  chan error    // errMore: text only
	resume chan struct{} // after errMore: the text was used
	more   bool
	users  atomic.Int32
}

// errMore says that a chunk has more text than it may keep.
var errMore = errors.New("more")

func newDumper(w io.Writer, h dump.Header, opts DumpOptions, size int64) *dumper {
	d := &dumper{w: w, head: h, opts: opts, workers: min(runtime.GOMAXPROCS(0), maxWorkers)}
	chunks := 2*d.workers + 2
	d.free = make(chan *chunk, chunks)
	room := int(min(chunkText, 2*size+lineHead)) // a small realm needs no large buffers
	for range chunks {
		d.free <- &chunk{room: room, ready: make(chan error, 1), resume: make(chan struct{}, 1), keepNames: opts.Names != nil}
	}
	if opts.Verify != nil {
		d.verifier = dump.NewVerifier(*opts.Verify)
		d.verify, d.verified = make(chan *chunk, chunks), make(chan struct{})
		go func() {
			for c := range d.verify {
				if d.broken == nil {
					d.broken = caught(func() error { _, _ = d.verifier.Write(c.text); return nil }) // Close gives the error
				}
				d.release(c)
			}
			close(d.verified)
		}()
	}
	return d
}

// end waits for the verdict. It is called once.
func (d *dumper) end() error {
	if d.verifier == nil {
		return nil
	}
	close(d.verify)
	<-d.verified
	if d.broken != nil {
		return d.broken
	}
	d.dumped.Report, d.dumped.Verdict = d.verifier.Close()
	return nil
}

// take waits for a chunk.
func (d *dumper) take() *chunk {
	c := <-d.free
	c.clear()
	return c
}

// clear makes room. What records of unusual size have made is given back.
func (c *chunk) clear() {
	if cap(c.text) < c.room || cap(c.text) > 4*chunkText {
		c.text = make([]byte, 0, c.room)
	}
	c.text, c.names, c.principals = c.text[:0], c.names[:0], 0
}

// add appends the line of a principal.
func (c *chunk) add(p *printer, key, data []byte) (err error) {
	c.principals++
	c.name(bytes.TrimSuffix(key, []byte{0}))
	c.text, err = p.line(c.text, key, data)
	return err
}

func (c *chunk) name(name []byte) {
	if c.keepNames {
		c.names = append(append(c.names, name...), '\n')
	}
}

// put writes a chunk when it is ready.
func (d *dumper) put(ctx context.Context, c *chunk) error {
	for {
		err := <-c.ready
		if err != nil && err != errMore {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := d.deliver(c, err == errMore); err != nil {
			return err
		}
		if err == nil {
			return nil
		}
	}
}

// deliver gives the text to all that use it.
func (d *dumper) deliver(c *chunk, more bool) error {
	c.more = more
	c.users.Store(1)
	if d.verifier != nil {
		c.users.Store(2)
		d.verify <- c
	}
	d.dumped.Principals += c.principals
	d.dumped.Bytes += int64(len(c.text))
	_, err := d.w.Write(c.text)
	if err == nil && len(c.names) > 0 {
		_, err = d.opts.Names.Write(c.names)
	}
	d.release(c)
	return err
}

func (d *dumper) release(c *chunk) {
	if c.users.Add(-1) > 0 {
		return
	}
	if c.more {
		c.resume <- struct{}{}
		return
	}
	d.free <- c
}

// leaves dumps leaves in the given order, which is checked against their links.
func (d *dumper) leaves(ctx context.Context, f *File, leaves []uint32) error {
	if d.opts.Reverse {
		slices.Reverse(leaves)
	}
	stop := make(chan struct{}) // for an error here
	var wg sync.WaitGroup
	order, work := make(chan *chunk, cap(d.free)), make(chan *chunk)
	wg.Go(func() {
		defer close(work)
		defer close(order)
		per := max(1, chunkPages/f.pageSize)
		for i := 0; i < len(leaves); i += per {
			var c *chunk
			select {
			case c = <-d.free:
			case <-stop:
				return
			}
			c.clear()
			c.cut(leaves, i, min(i+per, len(leaves)))
			order <- c
			select {
			case work <- c:
			case <-stop:
				return
			}
		}
	})
	for range d.workers {
		wg.Go(func() {
			x := &worker{printer: printer{header: d.head}, reader: f.newRecordReader(), reverse: d.opts.Reverse, stop: stop}
			for c := range work {
				select {
				case c.ready <- caught(func() error { return x.chunk(c) }):
				case <-stop:
				}
			}
		})
	}
	var err error
	for c := range order {
		if err = d.put(ctx, c); err != nil {
			close(stop)
			break
		}
	}
	wg.Wait()
	return err
}

// cut makes leaves[from:to] those of the chunk.
func (c *chunk) cut(leaves []uint32, from, to int) {
	c.leaves, c.prev, c.next = leaves[from:to], 0, 0
	if from > 0 {
		c.prev = leaves[from-1]
	}
	if to < len(leaves) {
		c.next = leaves[to]
	}
}
