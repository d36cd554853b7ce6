package transport

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// framed reads and writes messages with a four-byte length in front (2) on a
// TCP connection. Each read and write has a deadline. One goroutine may read
// while another writes.
type framed struct {
	nc        net.Conn
	br        *bufio.Reader
	readIdle  time.Duration
	writeIdle time.Duration
	hard      atomic.Pointer[time.Time] // end of the handshake or the drain; nil: none
	reader    io.Reader                 // reads nc with deadlines of its own, if not nil
}

func newFramed(nc net.Conn, idle time.Duration) *framed {
	f := &framed{nc: nc, readIdle: idle, writeIdle: idle}
	f.br = bufio.NewReaderSize(deadlineReader{f}, 64<<10)
	if t, ok := nc.(*net.TCPConn); ok {
		// The default of Go, but this protocol depends on it: without it two
		// delayed acknowledgements cost 80 ms (19.23).
		_ = t.SetNoDelay(true)
		_ = t.SetKeepAlive(true)
	}
	return f
}

type deadlineReader struct{ f *framed }

func (r deadlineReader) Read(p []byte) (int, error) {
	if r.f.reader != nil {
		return r.f.reader.Read(p)
	}
	if err := r.f.nc.SetReadDeadline(r.f.deadline(r.f.readIdle)); err != nil {
		return 0, err
	}
	return r.f.nc.Read(p)
}

// limit ends all reads and writes after d; 0 takes the limit away.
func (f *framed) limit(d time.Duration) {
	if d == 0 {
		f.hard.Store(nil)
		return
	}
	t := time.Now().Add(d)
	f.hard.Store(&t)
}

func (f *framed) deadline(idle time.Duration) time.Time {
	t := time.Now().Add(idle)
	if hard := f.hard.Load(); hard != nil && hard.Before(t) {
		return *hard
	}
	return t
}

// write sends bytes that are framed already.
func (f *framed) write(b []byte) error {
	if err := f.nc.SetWriteDeadline(f.deadline(f.writeIdle)); err != nil {
		return err
	}
	_, err := f.nc.Write(b)
	return err
}

// writeBuffers is write for bytes that stand in several places.
func (f *framed) writeBuffers(b net.Buffers) error {
	if err := f.nc.SetWriteDeadline(f.deadline(f.writeIdle)); err != nil {
		return err
	}
	_, err := b.WriteTo(f.nc)
	return err
}

// writeMessages sends messages with one write.
func (f *framed) writeMessages(msgs ...[]byte) error {
	var b []byte
	for _, m := range msgs {
		b = binary.BigEndian.AppendUint32(b, uint32(len(m)))
		b = append(b, m...)
	}
	return f.write(b)
}

// readMessage reads one message into buf if it fits, else into new memory. A
// message above limit bytes is refused before memory is taken.
func (f *framed) readMessage(buf []byte, limit int) ([]byte, error) {
	var head [4]byte
	if err := f.readFull(head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if uint64(n) > uint64(limit) {
		return nil, fail(CodeGeneric, "the peer announces a message of %d bytes, at most %d are allowed here", n, limit)
	}
	if int(n) > cap(buf) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if err := f.readFull(buf); err != nil {
		return nil, err
	}
	return buf, nil
}

func (f *framed) readFull(b []byte) error {
	for got := 0; got < len(b); {
		n, err := f.br.Read(b[got:])
		got += n
		if err != nil && got < len(b) {
			return fmt.Errorf("read from %s: %w", f.nc.RemoteAddr(), err)
		}
	}
	return nil
}

// Bounds of lingering, see Conn.Refuse.
const (
	lingerIdle  = 5 * time.Second
	lingerTotal = 2 * time.Minute
)

// hangUp says that nothing more will be sent, and bounds what is still read.
func (f *framed) hangUp() {
	if t, ok := f.nc.(interface{ CloseWrite() error }); ok {
		_ = t.CloseWrite()
	}
	f.limit(lingerTotal)
	_ = f.nc.SetReadDeadline(time.Now().Add(lingerIdle))
}

// discard reads to the end of the connection, or until the peer stands still.
func (f *framed) discard() {
	var p [32 << 10]byte
	for {
		_ = f.nc.SetReadDeadline(f.deadline(lingerIdle))
		if _, err := f.nc.Read(p[:]); err != nil {
			return
		}
	}
}
