package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/kprop/kprop/internal/principal"
)

// KrdistVersion is the application version string of krdist and krdistd,
// without the NUL which ends it on the wire.
const KrdistVersion = "krdist1"

// MaxPlain is how much a message of a Stream carries, in bytes, before and
// after compression.
const MaxPlain = BlockSize

// maxStreamMessage bounds the length word of such a message.
const maxStreamMessage = blockHeadroom + MaxPlain + blockTailroom

// Key usages of the two directions. RFC 4120 7.5.1 gives 1024 to 2047 to
// applications, the even ones for encryption. Kprop's 13 would be the same in
// both directions, and a message could come back to its sender as if it were
// the peer's.
const (
	usageFromInitiator = 1024
	usageFromAcceptor  = 1026
)

// ErrStreamClosed is the error of what is done with a Stream that this side has
// ended.
var ErrStreamClosed = errors.New("the stream has been closed")

// errTooMany ends a direction before its sequence numbers come again.
var errTooMany = errors.New("the stream has used all its sequence numbers; a new connection is needed")

// Stream is a two-way stream of octets in KRB-PRIV messages, after the
// authentication of the two sides. Nothing that was changed, left out,
// repeated, put in another order or sent back is taken for what the peer sent,
// and that nothing more comes is authenticated, too: Read gives io.EOF only if
// the peer has called CloseWrite, and io.ErrUnexpectedEOF if the connection
// ended without that.
//
// One goroutine may read while another writes; the other methods may be called
// from any. A Write may return before its octets are sent, as with a socket; a
// failure is the error of a later Write or CloseWrite. Any error, also a
// deadline that has passed, ends its direction for good.
type Stream struct {
	c       *Conn
	codec   *codec // nil: no compression
	in      *inbound
	out     *outbound
	closing sync.Once
	err     error // of Close
}

// newStream begins with the first message of each direction. Deadlines are the
// Stream's from now on.
func newStream(c *Conn) *Stream {
	s := &Stream{c: c, in: newInbound(c), out: newOutbound(c)}
	c.f.reader = patient{s.in}
	_ = c.f.nc.SetDeadline(noDeadline)
	return s
}

// compress makes all further messages packed ones.
func (s *Stream) compress(word string) error {
	if word == "" {
		return nil
	}
	var err error
	if s.codec, err = newCodec(); err != nil {
		return err
	}
	s.in.codec, s.out.codec = s.codec, s.codec
	return nil
}

// Peer is the other side's principal; see Conn.Peer.
func (s *Stream) Peer() principal.Name { return s.c.peer }

// RemoteAddr is the peer's network address.
func (s *Stream) RemoteAddr() net.Addr { return s.c.RemoteAddr() }

// Compressed reports whether the two sides have agreed on compression.
func (s *Stream) Compressed() bool { return s.codec != nil }

// Read gives the next octets from the peer.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.in.read(p)
	return n, s.c.causeOf(err)
}

// Write sends octets to the peer.
func (s *Stream) Write(p []byte) (int, error) {
	n, err := s.out.write(p)
	return n, s.c.causeOf(err)
}

// CloseWrite sends all that was written, and that nothing more will come.
func (s *Stream) CloseWrite() error { return s.c.causeOf(s.out.end()) }

// noDeadline takes a deadline away.
var noDeadline time.Time

func timeoutAfter(d time.Duration) time.Time { return time.Now().Add(d) }

// Bounds of the wait in Close for the peer's end.
const (
	closeIdle  = 5 * time.Second
	closeTotal = 30 * time.Second
)

// Close ends the conversation. After CloseWrite it first reads to the peer's
// end, and drops what comes: closing at once would reset the connection and
// could lose what the peer has not read yet. It gives up on a peer from which
// nothing comes for five seconds, or no end for thirty. The error says that
// the peer's end did not come. Without CloseWrite before it, the peer is told
// nothing, and finds the stream broken off. A goroutine that still reads is
// disturbed in any case.
func (s *Stream) Close() error {
	s.closing.Do(func() {
		if s.out.hasEnded() {
			s.err = s.awaitEnd()
		}
		s.c.Close()
		s.in.stop()
		s.out.stop()
	})
	return s.err
}

func (s *Stream) awaitEnd() error {
	var p [4 << 10]byte
	total := time.Now().Add(closeTotal)
	for {
		idle := time.Now().Add(closeIdle)
		if total.Before(idle) {
			idle = total
		}
		_ = s.SetReadDeadline(idle)
		switch _, err := s.in.read(p[:]); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline bounds the wait of Read; a zero time takes the bound away.
// The error of a Read that has waited so long wraps os.ErrDeadlineExceeded.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.in.setDeadline(t) }

// SetWriteDeadline is the same for Write and CloseWrite, and for sending what
// an earlier Write has taken.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.c.f.nc.SetWriteDeadline(t) }
