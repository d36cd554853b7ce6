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
)

// maxEmptyBlocks bounds the blocks without data in a row.
const maxEmptyBlocks = 1024

// Transfer is a database on its way in. Read or WriteTo it to io.EOF, then call
// Acknowledge when it is loaded, or Conn.Refuse with a reason. It belongs to
// the goroutine of its Conn.
type Transfer struct {
	Size int64 // announced, in bytes

	c        *Conn
	queue    chan *arrivals // in order; closed when all has come
	quit     chan struct{}  // closed when the rest is not wanted
	done     chan struct{}  // closed when readBlocks has ended
	free     sync.Pool
	decoding sync.WaitGroup
	once     sync.Once
	decoded  atomic.Int64 // bytes of user data decrypted so far

	received int64
	empty    int
	current  *arrivals
	at       int    // of the next message in current
	rest     []byte // of the message before
	err      error
}

// ReceiveDatabase reads the size message, and starts to read the data. On
// failure it has told the sender why, as MIT's kpropd does (10.2); the error is
// a StepError. The end of ctx breaks the transfer off, until all has come.
func (c *Conn) ReceiveDatabase(ctx context.Context) (*Transfer, error) {
	c.untilDone(ctx)
	// The size is the first message that proves the client to be there now:
	// its AP-REQ may be an old one.
	c.f.limit(c.timeouts.handshake())
	size, err := c.readSize()
	c.f.limit(0)
	if err != nil {
		return nil, c.causeOf(err)
	}
	t := &Transfer{
		Size: size, c: c,
		queue: make(chan *arrivals, arrivalsWaiting),
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

// stop says that the rest of the database is not wanted.
func (t *Transfer) stop() { t.once.Do(func() { close(t.quit) }) }

// next makes the next block's data the rest; io.EOF when all has come.
func (t *Transfer) next() error {
	for t.current == nil || t.at == len(t.current.msgs) {
		if t.current != nil {
			err := t.current.err
			t.free.Put(t.current)
			t.current, t.at = nil, 0
			if err != nil {
				return t.broken(err)
			}
		}
		a, ok := <-t.queue
		if !ok && t.received != t.Size {
			// Close or Drain came before the end: this is no whole database.
			return step(t.while("reading"), net.ErrClosed)
		}
		if !ok {
			// What is complete may be loaded and acknowledged whatever happens.
			t.c.heedless()
			return io.EOF
		}
		<-a.ready
		t.current = a
	}
	in := &t.current.msgs[t.at]
	t.at++
	if in.err != nil {
		return t.broken(in.err)
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
	t.rest = in.data
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
