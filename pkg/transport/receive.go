package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"

	"github.com/kprop/kprop/internal/enctype"
)

// Bounds of the receiver. Its memory is at most blocksDecrypting times
// MaxBlock for data under way.
const (
	blocksDecrypting = 8
	maxEmptyBlocks   = 1024
)

// Transfer is a database on its way in. Read or WriteTo it to io.EOF, then call
// Acknowledge when it is loaded, or Conn.Refuse with a reason. It belongs to
// the goroutine of its Conn.
type Transfer struct {
	Size int64 // announced, in bytes

	c        *Conn
	queue    chan *incoming // in order; closed when all has come
	quit     chan struct{}  // closed when the rest is not wanted
	done     chan struct{}  // closed when readBlocks has ended
	free     sync.Pool
	decoding sync.WaitGroup
	once     sync.Once
	decoded  atomic.Int64 // bytes of user data decrypted so far

	received int64
	empty    int
	current  *incoming
	rest     []byte // of current
	err      error
}

// incoming is one KRB-PRIV under way.
type incoming struct {
	msg   []byte
	data  []byte     // user data, a window of msg
	err   error      // of reading it
	ready chan error // of decrypting it
}

// ReceiveDatabase reads the size message, and starts to read the data. On
// failure it has told the sender why, as MIT's kpropd does (10.2); the error is
// a StepError. The end of ctx breaks the transfer off, until all has come.
func (c *Conn) ReceiveDatabase(ctx context.Context) (*Transfer, error) {
	c.untilDone(ctx)
	size, err := c.readSize()
	if err != nil {
		return nil, c.causeOf(err)
	}
	t := &Transfer{
		Size: size, c: c,
		queue: make(chan *incoming, blocksDecrypting-1),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	c.mu.Lock()
	c.transfer = t
	c.mu.Unlock()
	go t.readBlocks()
	return t, nil
}

func (c *Conn) readSize() (int64, error) {
	msg, err := c.f.readMessage(nil, MaxUnauthenticated)
	if err != nil {
		c.tell(err, Message(err)+" while reading database size")
		return 0, step("while reading size of database from client", err)
	}
	data, err := c.openSafe(msg)
	if err != nil {
		c.tell(err, "while decoding database size")
		return 0, step("while decoding database size from client", err)
	}
	n, ok := parseSize(data)
	if !ok || n > math.MaxInt64 {
		err := fail(CodeGeneric, "a size of %d bytes", len(data))
		c.tell(err, "malformed database size message")
		return 0, step("malformed database size message from client", err)
	}
	return int64(n), nil
}

// tell sends a KRB-ERROR for a failure of the transfer; text is MIT's. The
// sender's own KRB-ERROR is not answered.
func (c *Conn) tell(err error, text string) {
	var remote *RemoteError
	var own *Error
	code := CodeGeneric
	switch {
	case errors.As(err, &remote):
		return
	case errors.As(err, &own):
		code = own.Code
	}
	c.sendError(code, text)
}

// readBlocks reads messages until the announced size has come, and has each
// decrypted on a goroutine of its own: the cipher state of the next message is
// known without that.
func (t *Transfer) readBlocks() {
	defer close(t.done)
	defer close(t.queue)
	stream := t.c.key.NewStream(usagePriv)
	// How much data a message brings is known when it is decrypted, but it
	// is less than its length. Only when all messages together might have
	// brought everything is it necessary to wait and to count.
	bound := int64(0)
	for {
		select {
		case <-t.quit:
			t.c.f.discard()
			return
		default:
		}
		if bound >= t.Size {
			t.decoding.Wait()
			if bound = t.decoded.Load(); bound >= t.Size {
				return
			}
		}
		in, _ := t.free.Get().(*incoming)
		if in == nil {
			in = &incoming{ready: make(chan error, 1)}
		}
		t.start(stream, in)
		bound += int64(len(in.msg))
		select {
		case t.queue <- in:
		case <-t.quit:
			continue
		}
		if in.err != nil {
			return
		}
	}
}

// stop says that the rest of the database is not wanted.
func (t *Transfer) stop() { t.once.Do(func() { close(t.quit) }) }

// start reads one message and begins to decrypt it.
func (t *Transfer) start(stream *enctype.Stream, in *incoming) {
	if in.msg, in.err = t.c.f.readMessage(in.msg, MaxBlock); in.err != nil {
		in.err = &readingError{in.err}
		return
	}
	if in.err = asRemoteError(in.msg); in.err != nil {
		return
	}
	cipher, bad := parsePriv(in.msg, t.c.key)
	if bad != nil {
		in.err = bad
		return
	}
	iv, err := stream.Next(cipher)
	if err != nil {
		in.err = fail(CodeBadIntegrity, "%v", err)
		return
	}
	seq := t.c.recvSeq
	t.c.recvSeq++
	t.decoding.Add(1)
	go func() {
		defer t.decoding.Done()
		in.ready <- t.decode(stream, iv, in, cipher, seq)
	}()
}

// readingError tells a failed read from a bad message; MIT has other words.
type readingError struct{ error }

func (e *readingError) Unwrap() error { return e.error }

func (t *Transfer) decode(stream *enctype.Stream, iv enctype.State, in *incoming, cipher []byte, seq uint32) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fail(CodeGeneric, "panic: %v", r)
		}
	}()
	plain, err := stream.OpenAt(iv, cipher)
	if err != nil {
		return &Error{Code: CodeBadIntegrity}
	}
	b, bad := parseEncPrivPart(plain)
	if bad == nil {
		bad = b.checkRecipient(t.c.local)
	}
	if bad == nil {
		bad = b.checkSeq(seq)
	}
	if bad != nil {
		return bad
	}
	in.data = b.data
	t.decoded.Add(int64(len(b.data)))
	return nil
}

// next makes the next block's data the rest; io.EOF when all has come.
func (t *Transfer) next() error {
	if t.current != nil {
		t.free.Put(t.current)
		t.current = nil
	}
	in, ok := <-t.queue
	if !ok && t.received != t.Size {
		// Close or Drain came before the end: this is no whole database.
		return step(t.while("reading"), net.ErrClosed)
	}
	if !ok {
		return io.EOF
	}
	err := in.err
	if err == nil {
		err = <-in.ready
	}
	if err != nil {
		return t.broken(err)
	}
	if t.empty++; len(in.data) > 0 {
		t.empty = 0
	}
	if t.empty > maxEmptyBlocks {
		err := fail(CodeGeneric, "%d empty blocks in a row", t.empty)
		t.c.tell(err, err.Detail)
		return step(t.while("decoding"), err)
	}
	if got := t.received + int64(len(in.data)); got > t.Size {
		text := fmt.Sprintf("Received %d bytes, expected %d bytes for database file", got, t.Size)
		err := fail(CodeGeneric, "%s", text)
		t.c.tell(err, text)
		return step(t.while("decoding"), err)
	}
	t.received += int64(len(in.data))
	t.current, t.rest = in, in.data
	return nil
}

func (t *Transfer) while(doing string) string {
	return fmt.Sprintf("while %s database block starting at offset %d", doing, t.received)
}

// broken tells the peer what went wrong with a block, in MIT's words.
func (t *Transfer) broken(err error) error {
	if cause := t.c.causeOf(err); cause != err {
		return cause
	}
	var reading *readingError
	if errors.As(err, &reading) {
		t.c.tell(err, Message(err)+" "+t.while("reading"))
		return step(t.while("reading"), err)
	}
	t.c.tell(err, t.while("decoding"))
	return step(t.while("decoding"), err)
}

// Read gives the next bytes of the database. At io.EOF exactly Size bytes have
// come. Any other error is final, and the sender has been told.
func (t *Transfer) Read(p []byte) (int, error) {
	for len(t.rest) == 0 && t.err == nil {
		t.err = t.next()
	}
	if len(t.rest) == 0 {
		return 0, t.err
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// WriteTo writes the whole database to w block by block, without a copy in
// between.
func (t *Transfer) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		n, err := w.Write(t.rest)
		total += int64(n)
		t.rest = t.rest[n:]
		if err != nil {
			return total, err
		}
		if t.err == nil {
			t.err = t.next()
		}
		if t.err == io.EOF {
			return total, nil
		}
		if t.err != nil {
			return total, t.err
		}
	}
}

// Acknowledge tells the sender that its database is loaded and durable. Nothing
// more can be sent afterwards.
func (t *Transfer) Acknowledge() error {
	if t.received != t.Size {
		return fmt.Errorf("acknowledge: %d of %d bytes were read", t.received, t.Size)
	}
	return step("while sending # of received bytes", t.c.writeSafe(appendSize(nil, uint64(t.Size))))
}
