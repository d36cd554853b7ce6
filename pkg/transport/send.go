package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kprop/kprop/internal/enctype"
)

// blocksInFlight bounds the blocks between the file and the network, and
// thereby the sender's memory: about 0.6 MB.
const blocksInFlight = 16

// SendDatabase sends size bytes of r and waits for the acknowledgement, which
// comes when the receiver has loaded the database. progress, if not nil, is
// called after each block with the bytes sent so far, from one goroutine, and
// not after SendDatabase has returned. The conversation is used up in any
// case; the caller closes it.
//
// The error is a StepError with MIT's words, ErrSizeChanged if r has not
// exactly size bytes, or a WrongAckError. A KRB-ERROR that the peer sends in
// the middle ends the sending and is the error.
func (c *Conn) SendDatabase(ctx context.Context, r io.Reader, size int64, progress func(int64)) error {
	c.untilDone(ctx)
	ans := c.readAnswer()
	err := c.sendAll(r, size, progress, ans)
	if err == nil {
		err = c.awaitAck(ans, uint64(size))
	}
	return c.causeOf(err)
}

// answer is the peer's next message, valid when arrived is closed.
type answer struct {
	arrived chan struct{}
	msg     []byte
	err     error
}

// readAnswer starts to wait for the peer's word at once: an error may come in
// the middle of sending, and would otherwise be lost (10.4).
func (c *Conn) readAnswer() *answer {
	a := &answer{arrived: make(chan struct{})}
	c.f.readIdle = c.timeouts.answer()
	go func() {
		defer close(a.arrived)
		a.msg, a.err = c.f.readMessage(nil, MaxUnauthenticated)
	}()
	return a
}

// remote gives the error which the peer has sent; nil if it has sent none.
func (a *answer) remote() error {
	if a.err != nil {
		return nil
	}
	return asRemoteError(a.msg)
}

func (c *Conn) sendAll(r io.Reader, size int64, progress func(int64), ans *answer) error {
	if err := c.writeSafe(appendSize(nil, uint64(size))); err != nil {
		return ans.preferred(step("while sending database size", err))
	}
	p := pipeline{
		c: c, r: r, size: size, progress: progress,
		stream: c.key.NewStream(usagePriv),
		free:   make(chan *block, blocksInFlight),
		mixed:  make(chan *block, blocksInFlight),
		sealed: make(chan *block, blocksInFlight),
		quit:   make(chan struct{}),
	}
	finished := make(chan struct{})
	go p.stopAt(ans, finished)
	err := p.run()
	close(finished)
	var local *localError
	if errors.As(err, &local) {
		c.sendError(CodeGeneric, local.text)
		return local.err
	}
	if err != nil {
		return ans.preferred(err)
	}
	return nil
}

// stopAt ends the pipeline when the peer reports an error before everything is
// sent. That it has closed shows itself in the next write, and an
// acknowledgement may overtake the return of the last one.
func (p *pipeline) stopAt(ans *answer, finished <-chan struct{}) {
	select {
	case <-finished:
		return
	case <-ans.arrived:
	}
	if remote := ans.remote(); remote != nil {
		p.fail(remote)
		_ = p.c.f.nc.SetWriteDeadline(time.Now())
	}
}

// answerGrace is how long a failed write waits for the reason that the peer may
// have sent before it closed.
const answerGrace = 2 * time.Second

// preferred gives the peer's own words for a failure, if there are any.
func (a *answer) preferred(err error) error {
	select {
	case <-a.arrived:
		if remote := a.remote(); remote != nil {
			return responseError(remote)
		}
	case <-time.After(answerGrace):
	}
	return err
}

// localError is a failure of this side, of which the peer is told.
type localError struct {
	text string
	err  error
}

func (e *localError) Error() string { return e.err.Error() }

// pipeline carries blocks from the file to the network: read and MAC, cipher
// chain in order, MAC over the cipher, write. Each block's parallel steps run
// on a goroutine of their own, so that more than one core can work.
type pipeline struct {
	c        *Conn
	r        io.Reader
	size     int64
	progress func(int64)
	stream   *enctype.Stream
	free     chan *block
	mixed    chan *block // laid out, Prepare under way; in order
	sealed   chan *block // chained, Finish under way; in order
	quit     chan struct{}
	once     sync.Once
	err      error
}

func (p *pipeline) fail(err error) {
	p.once.Do(func() { p.err = err; close(p.quit) })
}

func (p *pipeline) run() error {
	for range blocksInFlight {
		p.free <- newBlock(BlockSize)
	}
	var wg sync.WaitGroup
	wg.Go(p.read)
	wg.Go(p.chain)
	p.write()
	wg.Wait()
	select {
	case <-p.quit:
		return p.err
	default:
		return nil
	}
}

// read takes the file into blocks.
func (p *pipeline) read() {
	defer close(p.mixed)
	id := p.c.key.ID()
	for sent := int64(0); sent < p.size; {
		var b *block
		select {
		case b = <-p.free:
		case <-p.quit:
			return
		}
		n, err := io.ReadFull(p.r, b.space()[:min(BlockSize, p.size-sent)])
		if err != nil {
			p.fail(p.readFailed(err, sent+int64(n)))
			return
		}
		b.layout(n, id, p.c.sendSeq, p.c.local)
		p.c.sendSeq++
		sent += int64(n)
		go func() { b.ready <- p.stream.Prepare(b.cipher, b.plain) }()
		p.mixed <- b
	}
	var more [1]byte
	if n, _ := io.ReadFull(p.r, more[:]); n > 0 {
		p.fail(&localError{ErrSizeChanged.Error(), ErrSizeChanged})
	}
}

func (p *pipeline) readFailed(err error, at int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &localError{ErrSizeChanged.Error(), fmt.Errorf("%w: it ends at byte %d of %d", ErrSizeChanged, at, p.size)}
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
			continue
		}
		select {
		case <-p.quit:
			continue
		default:
		}
		b.iv = p.stream.Chain(b.cipher, b.plain)
		go func() { p.stream.Finish(b.cipher, b.plain, b.iv); b.ready <- nil }()
		p.sealed <- b
	}
}

// write sends the blocks. After a failure it goes on to empty the channel, so
// that nothing waits for it.
func (p *pipeline) write() {
	sent := int64(0)
	for b := range p.sealed {
		<-b.ready
		select {
		case <-p.quit:
			continue
		default:
		}
		if err := p.c.f.write(b.frame); err != nil {
			p.fail(step(fmt.Sprintf("while sending database block starting at %d", sent), err))
			continue
		}
		sent += int64(len(b.data))
		p.free <- b
		if p.progress != nil {
			p.progress(sent)
		}
	}
}

// responseError puts MIT's words before an error which the peer has sent.
func responseError(remote error) error {
	var undecodable undecodableError
	if errors.As(remote, &undecodable) {
		return step("while decoding error response from server", remote)
	}
	return step("while reading response from server", remote)
}

// awaitAck waits for the acknowledgement and checks it (9, 11).
func (c *Conn) awaitAck(ans *answer, size uint64) error {
	<-ans.arrived
	if ans.err != nil {
		return step("while reading response from server", ans.err)
	}
	if remote := ans.remote(); remote != nil {
		return responseError(remote)
	}
	data, err := c.openSafe(ans.msg)
	if err != nil {
		return step("while decoding final size packet from server", err)
	}
	got, ok := parseSize(data)
	if !ok {
		return step("malformed sent database size message", fail(CodeGeneric, "the acknowledged size has %d bytes", len(data)))
	}
	if got != size {
		return &WrongAckError{Acknowledged: got, Sent: size}
	}
	return nil
}
