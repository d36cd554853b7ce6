package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/kprop/kprop/internal/enctype"
)

// bulkBytes is the length of a message behind which more is expected at once.
const bulkBytes = 8 << 10

// inbound is the receiving direction of a Stream. The reader itself reads and
// opens a message that stands alone. When messages come one after the other,
// one goroutine reads ahead and one opens batches, until a short message is the
// last that has come.
type inbound struct {
	c      *Conn
	stream *enctype.Stream
	from   address
	codec  *codec

	// Of the goroutine that reads the Stream.
	rest    []byte
	current *arrivals
	at      int // of the next message in current
	err     error

	// Of the goroutine that reads the connection, which is the same without
	// bulk.
	seq   uint32
	count uint64

	mu       sync.Mutex
	changed  *sync.Cond
	deadline time.Time
	bulk     bool // the goroutines are there, or have left something
	waiting  bool // the reader waits for them
	reading  bool // the first of them is there
	readErr  error
	filling  *arrivals // being filled by it
	ready    []*arrivals
	opening  bool // the second is there
	free     []*arrivals
	stopped  bool
	workers  sync.WaitGroup
}

func newInbound(c *Conn) *inbound {
	in := &inbound{c: c, from: directionalAddress(!c.initiator), seq: c.recvSeq}
	in.stream = c.key.NewStream(usageOf(!c.initiator))
	in.changed = sync.NewCond(&in.mu)
	return in
}

// patient reads the connection for a goroutine that reads ahead: a deadline is
// for the reader of the Stream only while that waits.
type patient struct{ in *inbound }

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.in.c.f.nc.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !p.in.goOn() {
			return n, err
		}
	}
}

// goOn reports whether a deadline that has passed is nobody's.
func (in *inbound) goOn() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.stopped || !in.bulk || in.waiting {
		return false
	}
	_ = in.c.f.nc.SetReadDeadline(noDeadline)
	return true
}

func (in *inbound) setDeadline(t time.Time) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.deadline = t
	if in.bulk && !in.waiting {
		return nil
	}
	return in.c.f.nc.SetReadDeadline(t)
}

func (in *inbound) read(p []byte) (int, error) {
	for len(in.rest) == 0 && in.err == nil && len(p) > 0 {
		in.err = in.next()
	}
	if len(in.rest) == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, in.err
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}

// next makes the next message's content the rest.
func (in *inbound) next() error {
	for in.current == nil || in.at == len(in.current.msgs) {
		if a := in.current; a != nil {
			in.current, in.at = nil, 0
			if a.err != nil {
				return in.ended(a.err)
			}
			in.giveBack(a)
		}
		if in.current = in.await(); in.current == nil {
			in.current = in.alone()
		}
	}
	m := &in.current.msgs[in.at]
	in.at++
	if m.err != nil {
		return m.err
	}
	if len(m.data) == 0 {
		return io.EOF
	}
	in.rest = m.data
	return nil
}

// ended is the error of a connection that ended before the stream did.
func (in *inbound) ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the connection ended before the stream did: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// batch gives an empty one. The lock is held.
func (in *inbound) batch() *arrivals {
	if n := len(in.free); n > 0 {
		a := in.free[n-1]
		in.free = in.free[:n-1]
		a.msgs, a.ivs, a.err = a.msgs[:0], a.ivs[:0], nil
		return a
	}
	return &arrivals{}
}

func (in *inbound) giveBack(a *arrivals) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.free = append(in.free, a)
}

// alone reads and opens one message.
func (in *inbound) alone() *arrivals {
	in.mu.Lock()
	a := in.batch()
	in.mu.Unlock()
	slot := a.add()
	more, err := in.receive(slot, slot.msg, a)
	if err != nil {
		a.msgs, a.err = a.msgs[:len(a.msgs)-1], err
		return a
	}
	a.open(in.stream, in.check)
	if more && a.err == nil && slot.err == nil && len(slot.data) > 0 {
		in.begin()
	}
	return a
}

// receive reads a message into a slot of a batch. It reports whether more is to
// be expected behind it.
func (in *inbound) receive(slot *arrival, buf []byte, a *arrivals) (more bool, err error) {
	msg, err := in.c.f.readMessage(buf, maxStreamMessage)
	if err != nil {
		return false, err
	}
	return in.accept(slot, msg, a)
}

func (in *inbound) accept(slot *arrival, msg []byte, a *arrivals) (more bool, err error) {
	if in.count++; in.count > 1<<32 {
		return false, errTooMany
	}
	slot.msg = msg
	iv, err := slot.begin(in.c.key, in.stream, in.seq)
	if err != nil {
		return false, err
	}
	in.seq++
	a.ivs = append(a.ivs, iv)
	return len(msg) >= bulkBytes || in.c.f.br.Buffered() > 0, nil
}

// begin starts the goroutines.
func (in *inbound) begin() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.stopped {
		return
	}
	in.bulk, in.reading, in.opening, in.readErr = true, true, true, nil
	in.filling = in.batch()
	_ = in.c.f.nc.SetReadDeadline(noDeadline)
	in.workers.Add(2)
	go in.readAhead()
	go in.openAhead()
}

// await waits for the goroutines; nil: there are none, and nothing of theirs is
// left.
func (in *inbound) await() *arrivals {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.bulk {
		return nil
	}
	if len(in.ready) == 0 && in.opening {
		in.waiting = true
		_ = in.c.f.nc.SetReadDeadline(in.deadline)
		for len(in.ready) == 0 && in.opening {
			in.changed.Wait()
		}
		in.waiting = false
		_ = in.c.f.nc.SetReadDeadline(noDeadline)
	}
	if len(in.ready) > 0 {
		a := in.ready[0]
		in.ready = in.ready[1:]
		in.changed.Broadcast()
		return a
	}
	in.bulk = false
	_ = in.c.f.nc.SetReadDeadline(in.deadline)
	return nil
}

// readAhead fills batches.
func (in *inbound) readAhead() {
	defer in.workers.Done()
	var spare []byte
	var err error
	for more := true; more && err == nil; {
		var msg []byte
		if msg, err = in.c.f.readMessage(spare, maxStreamMessage); err != nil {
			break
		}
		spare, more, err = in.hand(msg)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.reading, in.readErr = false, err
	in.changed.Broadcast()
}

// hand puts a message into the batch that is filled, and gives memory for the
// next.
func (in *inbound) hand(msg []byte) (spare []byte, more bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.filling.msgs) == batchBlocks && !in.stopped {
		in.changed.Wait()
	}
	if in.stopped {
		return nil, false, ErrStreamClosed
	}
	slot := in.filling.add()
	spare = slot.msg
	if more, err = in.accept(slot, msg, in.filling); err != nil {
		in.filling.msgs = in.filling.msgs[:len(in.filling.msgs)-1]
	}
	in.changed.Broadcast()
	return spare, more, err
}

// openAhead opens what has been gathered while it opened what was before.
func (in *inbound) openAhead() {
	defer in.workers.Done()
	for last := false; !last; {
		var a *arrivals
		if a, last = in.gathered(); a == nil {
			return
		}
		a.open(in.stream, in.check)
		in.mu.Lock()
		in.ready = append(in.ready, a)
		in.opening = !last
		in.changed.Broadcast()
		in.mu.Unlock()
	}
}

// gathered waits for messages, and until what was opened has been fetched but
// for one batch. The last one comes with the error that ended the reading, if
// one did.
func (in *inbound) gathered() (a *arrivals, last bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.stopped && (len(in.ready) > 0 || len(in.filling.msgs) == 0 && in.reading) {
		in.changed.Wait()
	}
	if in.stopped {
		in.opening = false
		in.changed.Broadcast()
		return nil, true
	}
	a, last = in.filling, !in.reading
	if last {
		in.filling, a.err = nil, in.readErr
	} else {
		in.filling = in.batch()
	}
	in.changed.Broadcast()
	return a, last
}

// check decodes a decrypted message.
func (in *inbound) check(m *arrival, plain []byte, err error) error {
	if err != nil {
		return &Error{Code: CodeBadIntegrity}
	}
	b, bad := parseEncPrivPart(plain)
	if bad == nil {
		bad = b.checkSeq(m.seq)
	}
	if bad != nil {
		return bad
	}
	typ, addr, ok := readTyped(b.sender)
	if !ok || !in.from.equal(typ, addr) || b.recipient != nil {
		return fail(CodeBadAddress, "the message is not from the other side of a stream")
	}
	if len(b.data) > MaxPlain {
		return fail(CodeGeneric, "a message of %d octets, at most %d are allowed", len(b.data), MaxPlain)
	}
	m.data = b.data
	if in.codec != nil && len(b.data) > 0 {
		if m.data, m.unpacked, err = in.codec.unpack(m.unpacked, b.data); err != nil {
			return &Error{Code: CodeGeneric, Detail: "a compressed message", Err: err}
		}
	}
	return nil
}

// stop ends the goroutines, when the connection is closed.
func (in *inbound) stop() {
	in.mu.Lock()
	in.stopped = true
	in.changed.Broadcast()
	in.mu.Unlock()
	in.workers.Wait()
}
