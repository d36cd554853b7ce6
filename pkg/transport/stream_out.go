package transport

import (
	"net"
	"slices"
	"sync"

	"github.com/kprop/kprop/internal/enctype"
)

const (
	// inlineBytes are sealed and sent by the writer itself, if nothing is under
	// way: a line to which the peer answers shall not wait for goroutines.
	inlineBytes = 8 << 10
	// streamBatches bounds a stream's memory in one direction, to 1.5 MB. One
	// is filled while others are sealed and sent.
	streamBatches = 3
	// leastPacked is what is worth compressing, in bytes.
	leastPacked = 128
)

// outbound is the sending direction of a Stream. What does not go out at once
// is gathered into batches, which three goroutines carry as the pipeline of a
// database does; they are there as long as there is something to carry. While
// they are busy more is gathered, so that under load batches are full.
type outbound struct {
	c      *Conn
	stream *enctype.Stream
	from   address
	codec  *codec
	small  *block // for the writer itself

	mu       sync.Mutex
	changed  *sync.Cond
	seq      uint32
	count    uint64 // messages sealed
	filling  *batch // nil: none
	free     []*batch
	made     int
	running  bool // the goroutines are there
	inFlight int  // batches between filling and free
	ended    bool
	err      error
	workers  sync.WaitGroup
}

func newOutbound(c *Conn) *outbound {
	o := &outbound{c: c, from: directionalAddress(c.initiator), seq: c.sendSeq}
	o.stream = c.key.NewStream(usageOf(c.initiator))
	o.changed = sync.NewCond(&o.mu)
	return o
}

// usageOf is the key usage of what a side sends.
func usageOf(initiator bool) uint32 {
	if initiator {
		return usageFromInitiator
	}
	return usageFromAcceptor
}

// capacity is how many octets of content a message takes.
func (o *outbound) capacity() int {
	if o.codec != nil {
		return MaxPlain - 1
	}
	return MaxPlain
}

func (o *outbound) write(p []byte) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(p) > 0 {
		if o.err != nil {
			return n, o.err
		}
		if o.ended {
			return n, ErrStreamClosed
		}
		if !o.running && len(p) <= inlineBytes {
			if err := o.sealNow(p); err != nil {
				return n, err
			}
			return n + len(p), nil
		}
		if !o.room() {
			o.changed.Wait()
			continue
		}
		took := o.filling.take(p, o.capacity(), o.offset())
		n, p = n+took, p[took:]
		if !o.running {
			o.running = true
			o.workers.Add(1)
			go o.run()
		}
		o.changed.Broadcast()
	}
	return n, nil
}

// offset is where content begins in a block.
func (o *outbound) offset() int {
	if o.codec != nil {
		return 1
	}
	return 0
}

// room makes sure that the batch which is filled takes more, if it can.
func (o *outbound) room() bool {
	if o.filling == nil {
		switch {
		case len(o.free) > 0:
			o.filling = o.free[len(o.free)-1]
			o.free = o.free[:len(o.free)-1]
		case o.made < streamBatches:
			o.filling = newBatch()
			o.made++
		default:
			return false
		}
	}
	b := o.filling
	return len(b.blocks) < batchBlocks || b.blocks[batchBlocks-1].filled < o.capacity()
}

// take copies octets into the last block, or a new one if that is full.
func (b *batch) take(p []byte, capacity, offset int) int {
	n := len(b.blocks)
	if n == 0 || b.blocks[n-1].filled == capacity {
		b.add().filled = 0
		n++
	}
	x := b.blocks[n-1]
	took := copy(x.space()[offset+x.filled:offset+capacity], p)
	x.filled += took
	return took
}

// next takes n sequence numbers and gives the first.
func (o *outbound) next(n int) (uint32, error) {
	if o.count += uint64(n); o.count > 1<<32 {
		o.fail(errTooMany)
		return 0, errTooMany
	}
	first := o.seq
	o.seq += uint32(n)
	return first, nil
}

// fail keeps the first error. The lock is held.
func (o *outbound) fail(err error) {
	if o.err == nil {
		o.err = err
	}
	o.changed.Broadcast()
}

// sealNow sends one message, while no goroutine does. Without octets it is the
// end.
func (o *outbound) sealNow(p []byte) error {
	if o.small == nil {
		o.small = newBlock(inlineBytes + 1)
	}
	seq, err := o.next(1)
	if err != nil {
		return err
	}
	x := o.small
	x.filled = copy(x.space()[o.offset():], p)
	o.layout(x, seq)
	if err = o.stream.Prepare(x.cipher, x.plain); err == nil {
		o.stream.Finish(x.cipher, x.plain, o.stream.Chain(x.cipher, x.plain))
		_, err = o.c.f.nc.Write(x.frame)
	}
	if err != nil {
		o.fail(err)
	}
	return err
}

// layout makes a message of a filled block.
func (o *outbound) layout(x *block, seq uint32) {
	n := x.filled
	if o.codec != nil && n > 0 {
		n = o.codec.pack(x.space()[:n+1])
	}
	x.layout(n, o.c.key.ID(), seq, o.from)
}

// run takes batches as they are filled, until nothing is left to do. In front
// of the goroutine that sends is the one that encrypts in order; what can be
// done beside it is.
func (o *outbound) run() {
	defer o.workers.Done()
	mixed, sealed := make(chan *batch, streamBatches), make(chan *batch, streamBatches)
	o.workers.Add(2)
	go o.chain(mixed, sealed)
	go o.send(sealed)
	defer close(mixed)
	for {
		b, first := o.gathered()
		if b == nil {
			return
		}
		go func() { b.ready <- o.prepare(b, first) }()
		mixed <- b
	}
}

// gathered gives a batch with something in it; nil: the goroutines are to end.
func (o *outbound) gathered() (*batch, uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil {
		if b := o.filling; b != nil && len(b.blocks) > 0 {
			first, err := o.next(len(b.blocks))
			if err != nil {
				break
			}
			o.filling = nil
			o.inFlight++
			o.changed.Broadcast()
			return b, first
		}
		if o.inFlight == 0 {
			break
		}
		o.changed.Wait()
	}
	o.running = false
	o.changed.Broadcast()
	return nil, 0
}

func (o *outbound) prepare(b *batch, first uint32) error {
	for i, x := range b.blocks {
		o.layout(x, first+uint32(i))
	}
	return b.prepare(o.stream)
}

func (o *outbound) chain(mixed, sealed chan *batch) {
	defer o.workers.Done()
	defer close(sealed)
	for b := range mixed {
		if err := <-b.ready; err != nil {
			o.broken(err)
			b.ready <- nil
		} else {
			b.chain(o.stream)
			go func() { b.finish(o.stream); b.ready <- nil }()
		}
		sealed <- b
	}
}

func (o *outbound) broken(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail(err)
}

// healthy reports whether it is worth sending.
func (o *outbound) healthy() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err == nil
}

// send sends batches and gives them back.
func (o *outbound) send(sealed chan *batch) {
	defer o.workers.Done()
	for b := range sealed {
		<-b.ready
		for blocks := range slices.Chunk(b.blocks, blocksPerWrite) {
			if !o.healthy() {
				break
			}
			frames := make(net.Buffers, 0, blocksPerWrite)
			for _, x := range blocks {
				frames = append(frames, x.frame)
			}
			if _, err := frames.WriteTo(o.c.f.nc); err != nil {
				o.broken(err)
			}
		}
		o.mu.Lock()
		b.blocks = b.all[:0]
		o.free = append(o.free, b)
		o.inFlight--
		o.changed.Broadcast()
		o.mu.Unlock()
	}
}

// end sends what was written, and the last message.
func (o *outbound) end() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.running && o.err == nil {
		o.changed.Wait()
	}
	if o.err != nil || o.ended {
		return o.err
	}
	if err := o.sealNow(nil); err != nil {
		return err
	}
	o.ended = true
	return nil
}

func (o *outbound) hasEnded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

// stop waits for the goroutines, when the connection is closed.
func (o *outbound) stop() {
	o.broken(ErrStreamClosed)
	o.workers.Wait()
}
