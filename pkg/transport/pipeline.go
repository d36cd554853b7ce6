package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/kprop/kprop/internal/enctype"
)

// Blocks go through the pipeline in batches, because the MACs of many blocks
// are made at once. The sender's memory is what all batches hold: about 2 MB.
const (
	batchBlocks     = 16
	batchesInFlight = 4
	// blocksPerWrite are handed to the kernel at once. The deadline is for
	// each write, so that a slow network is not taken for one that stands.
	blocksPerWrite = 4
)

// batch is up to batchBlocks blocks in a row.
type batch struct {
	blocks []*block   // those in use, at the beginning of all
	all    []*block   // grows as they are needed
	ready  chan error // one value per parallel step
	bufs   [][]byte
	ivs    []enctype.State
}

func newBatch() *batch { return &batch{ready: make(chan error, 1)} }

// add takes a further block in use.
func (b *batch) add() *block {
	n := len(b.blocks)
	if n == len(b.all) {
		b.all = append(b.all, newBlock(BlockSize))
	}
	b.blocks = b.all[:n+1]
	return b.all[n]
}

// uniform reports whether the blocks have one length: the last of the file is
// shorter, and a sequence number may take a byte more than the one before.
func (b *batch) uniform() bool {
	for _, x := range b.blocks {
		if x.plain != b.blocks[0].plain {
			return false
		}
	}
	return true
}

func (b *batch) buffers() [][]byte {
	b.bufs = b.bufs[:0]
	for _, x := range b.blocks {
		b.bufs = append(b.bufs, x.cipher)
	}
	return b.bufs
}

func (b *batch) prepare(s *enctype.Stream) error {
	if b.uniform() {
		return s.PrepareAll(b.buffers(), b.blocks[0].plain)
	}
	for _, x := range b.blocks {
		if err := s.Prepare(x.cipher, x.plain); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) chain(s *enctype.Stream) {
	b.ivs = b.ivs[:0]
	for _, x := range b.blocks {
		b.ivs = append(b.ivs, s.Chain(x.cipher, x.plain))
	}
}

func (b *batch) finish(s *enctype.Stream) {
	if b.uniform() {
		s.FinishAll(b.buffers(), b.blocks[0].plain, b.ivs)
		return
	}
	for i, x := range b.blocks {
		s.Finish(x.cipher, x.plain, b.ivs[i])
	}
}

// pipeline carries blocks from the file to the network: read and MAC, cipher
// chain in order, MAC over the cipher, write. The parallel steps of each batch
// run on a goroutine of their own, so that more than one core can work.
type pipeline struct {
	c        *Conn
	r        io.Reader
	size     int64
	progress func(int64)
	stream   *enctype.Stream
	free     chan *batch
	mixed    chan *batch // laid out, prepare under way; in order
	sealed   chan *batch // chained, finish under way; in order
	quit     chan struct{}
	once     sync.Once
	err      error
}

func newPipeline(c *Conn, r io.Reader, size int64, progress func(int64)) *pipeline {
	return &pipeline{
		c: c, r: r, size: size, progress: progress,
		stream: c.key.NewStream(usagePriv),
		free:   make(chan *batch, batchesInFlight),
		mixed:  make(chan *batch, batchesInFlight),
		sealed: make(chan *batch, batchesInFlight),
		quit:   make(chan struct{}),
	}
}

func (p *pipeline) fail(err error) {
	p.once.Do(func() { p.err = err; close(p.quit) })
}

func (p *pipeline) stopped() bool {
	select {
	case <-p.quit:
		return true
	default:
		return false
	}
}

func (p *pipeline) run() error {
	// A small database needs one batch.
	for range min(batchesInFlight, p.size/(batchBlocks*BlockSize)+1) {
		p.free <- newBatch()
	}
	var wg sync.WaitGroup
	wg.Go(p.read)
	wg.Go(p.chain)
	p.write()
	wg.Wait()
	if p.stopped() {
		return p.err
	}
	return nil
}

// read takes the file into batches.
func (p *pipeline) read() {
	defer close(p.mixed)
	for sent := int64(0); sent < p.size; {
		var b *batch
		select {
		case b = <-p.free:
		case <-p.quit:
			return
		}
		n, err := p.fill(b, p.size-sent)
		sent += n
		if err != nil {
			p.fail(p.readFailed(err, sent))
			return
		}
		go func() { b.ready <- b.prepare(p.stream) }()
		p.mixed <- b
	}
	var more [1]byte
	if n, _ := io.ReadFull(p.r, more[:]); n > 0 {
		p.fail(&localError{ErrSizeChanged.Error(), ErrSizeChanged})
	}
}

// fill reads up to rest bytes into the blocks of a batch, and gives how many
// that were.
func (p *pipeline) fill(b *batch, rest int64) (total int64, err error) {
	b.blocks = b.all[:0]
	for len(b.blocks) < batchBlocks && total < rest {
		x := b.add()
		n, err := io.ReadFull(p.r, x.space()[:min(BlockSize, rest-total)])
		total += int64(n)
		if err != nil {
			return total, err
		}
		x.layout(n, p.c.key.ID(), p.c.sendSeq, p.c.local)
		p.c.sendSeq++
	}
	return total, nil
}

func (p *pipeline) readFailed(err error, at int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &localError{ErrSizeChanged.Error(), fmt.Errorf("%w: it ends at byte %d of %d", ErrSizeChanged, at, p.size)}
	}
	if errors.Is(err, ErrSizeChanged) {
		return &localError{ErrSizeChanged.Error(), err}
	}
	err = step(fmt.Sprintf("while reading the database file at byte %d", at), err)
	return &localError{"the sender cannot read its database file", err}
}

// chain runs the cipher over the blocks in order.
func (p *pipeline) chain() {
	defer close(p.sealed)
	for b := range p.mixed {
		if err := <-b.ready; err != nil {
			p.fail(step("while encoding database block", err))
		}
		if p.stopped() {
			continue
		}
		b.chain(p.stream)
		go func() { b.finish(p.stream); b.ready <- nil }()
		p.sealed <- b
	}
}

// write sends the blocks. After a failure it goes on to empty the channel, so
// that nothing waits for it.
func (p *pipeline) write() {
	sent := int64(0)
	for b := range p.sealed {
		<-b.ready
		for blocks := range slices.Chunk(b.blocks, blocksPerWrite) {
			if p.stopped() {
				break
			}
			if err := p.send(blocks); err != nil {
				p.fail(step(fmt.Sprintf("while sending database block starting at %d", sent), err))
				break
			}
			for _, x := range blocks {
				sent += int64(len(x.data))
				if p.progress != nil {
					p.progress(sent)
				}
			}
		}
		p.free <- b
	}
}

func (p *pipeline) send(blocks []*block) error {
	frames := make(net.Buffers, 0, blocksPerWrite)
	for _, x := range blocks {
		frames = append(frames, x.frame)
	}
	return p.c.f.writeBuffers(frames)
}
