package db2

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"

	"github.com/kprop/kprop/pkg/dump"
)

// piece is a part of a dump of whole lines on its way through a [Builder].
type piece struct {
	text   []byte
	from   int          // where in text the lines begin
	broken error        // why the line behind them cannot be had
	users  atomic.Int32 // goroutines that need it

	// Set by a worker, until ready has a value.
	batches  [2]*batch // principals, policies
	sorted   [2]bool
	lines    int
	replaced int
	sum      uint64 // see textSum
	err      error
	ready    chan struct{}
}

// pieceSize is how much of a dump goes to a worker at once, in bytes, as a rule.
const pieceSize = 1 << 20

// largePiece is the size above which memory is not kept for another piece.
const largePiece = 4 * pieceSize

// minPiece is more than the longest header, since the first piece must hold it.
const minPiece = 1 << 10

// feeder cuts what arrives into pieces. It belongs to the caller's goroutine.
type feeder struct {
	b      *Builder
	cur    *piece      // not yet full
	free   chan *piece // not in use
	header dump.Header
	begun  bool // the header was read
}

func (f *feeder) init(b *Builder, pieces int) {
	f.b, f.free = b, make(chan *piece, pieces)
	for range pieces {
		f.free <- nil
	}
}

// take gives an empty piece, as soon as one is free.
func (f *feeder) take() *piece {
	c := <-f.free
	if c == nil {
		c = &piece{text: make([]byte, 0, f.b.opts.piece), ready: make(chan struct{}, 1)}
	}
	c.text, c.from, c.broken, c.err = c.text[:0], 0, nil, nil
	return c
}

// release says that one goroutine less needs the piece.
func (f *feeder) release(c *piece) {
	if c.users.Add(-1) > 0 {
		return
	}
	if cap(c.text) > largePiece {
		c = nil
	}
	f.free <- c
}

// readFrom takes all that r has.
func (f *feeder) readFrom(r io.Reader) (n int64, err error) {
	for idle := 0; idle < 100; {
		if err := f.b.failure(); err != nil {
			return n, err
		}
		if f.b.over {
			return n, errors.New("build a database: it is finished, or was given up")
		}
		if f.cur == nil {
			f.cur = f.take()
		}
		c := f.cur
		if len(c.text) == cap(c.text) {
			if err := f.full(); err != nil {
				f.b.fail(err)
				return n, err
			}
			continue
		}
		m, err := r.Read(c.text[len(c.text):cap(c.text)])
		c.text = c.text[:len(c.text)+m]
		n += int64(m)
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		case m > 0:
			idle = 0
		default:
			idle++
		}
	}
	return n, io.ErrNoProgress
}

// full sends off the whole lines of the piece. If there is none, the piece
// becomes larger.
func (f *feeder) full() error {
	c := f.cur
	if err := f.begin(); err != nil {
		return err
	}
	end := c.from + bytes.LastIndexByte(c.text[c.from:], '\n') + 1
	rest := c.text[end:]
	if len(rest) > f.b.opts.MaxLine {
		c.broken = dump.ErrLongLine
		f.send(c)
		f.cur = nil
		return nil
	}
	if end == c.from {
		f.grow()
		return nil
	}
	next := f.take()
	next.text = append(next.text, rest...)
	c.text = c.text[:end]
	f.send(c)
	f.cur = next
	return nil
}

// grow makes the piece larger, for one long line. There is one such piece at a
// time, so that no dump takes much more memory than its longest line needs.
func (f *feeder) grow() {
	if cap(f.cur.text) >= largePiece {
		others := cap(f.free) - 1
		for range others {
			<-f.free
		}
		for range others {
			f.free <- nil
		}
	}
	size := min(2*cap(f.cur.text), max(f.b.opts.MaxLine+minPiece, cap(f.cur.text)+minPiece))
	f.cur.text = append(make([]byte, 0, size), f.cur.text...)
}

// begin reads the header, unless it was.
func (f *feeder) begin() error {
	if f.begun {
		return nil
	}
	text := f.cur.text
	r, err := dump.NewReader(bytes.NewReader(text[:min(len(text), minPiece)]))
	if err != nil {
		return err
	}
	f.begun, f.header = true, r.Header()
	if f.header.Iprop {
		return ErrIprop
	}
	f.cur.from = bytes.IndexByte(text, '\n') + 1
	return nil
}

func (f *feeder) send(c *piece) {
	c.users.Store(1)
	if f.b.verify != nil {
		c.users.Store(2)
		f.b.verify <- c
	}
	f.b.order <- c
	f.b.work <- c
}

// end sends off the last piece.
func (f *feeder) end() {
	if f.b.failure() != nil {
		return
	}
	if f.cur == nil {
		f.cur = f.take()
	}
	if err := f.begin(); err != nil {
		f.b.fail(err)
		return
	}
	if n := len(f.cur.text); n > f.cur.from && f.cur.text[n-1] != '\n' {
		f.cur.broken = io.ErrUnexpectedEOF
	}
	f.send(f.cur)
	f.cur = nil
}
