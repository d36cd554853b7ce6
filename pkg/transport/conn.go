package transport

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
)

// Conn is a conversation whose two ends have authenticated each other. It
// belongs to one goroutine; Close may be called from any.
type Conn struct {
	f         *framed
	timeouts  Timeouts
	initiator bool
	self      principal.Name
	peer      principal.Name
	key       *enctype.Key // the subkey if there is one, else the ticket's session key (5)
	ticket    enctype.ID   // enctype in which the ticket is encrypted
	local     address
	sendSeq   uint32
	recvSeq   uint32
	ctx       context.Context
	first     []byte  // the request for a stream, of an acceptor
	stream    *Stream // that it asks for, before it is granted

	mu       sync.Mutex // of what Close needs
	transfer *Transfer  // coming in, or nil
	release  func() bool
}

// untilDone makes every read and write fail when ctx ends, in place of the
// context before.
func (c *Conn) untilDone(ctx context.Context) {
	c.heedless()
	release := context.AfterFunc(ctx, func() { c.f.nc.Close() })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx, c.release = ctx, release
}

// heedless makes the end of the context harmless.
func (c *Conn) heedless() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.release != nil {
		c.release()
	}
}

// causeOf gives the reason for which the context ended, if that is why err
// happened, else err.
func (c *Conn) causeOf(err error) error {
	if err != nil && c.ctx != nil && c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

// Peer is the other side's principal: for an acceptor the client of the
// ticket, for an initiator the service that was asked for.
func (c *Conn) Peer() principal.Name { return c.peer }

// Self is this side's principal.
func (c *Conn) Self() principal.Name { return c.self }

// TicketEnctype is the enctype of the service's long-term key that opened the
// ticket; kpropd.acl may demand one (14). It is 0 on the initiator's side.
func (c *Conn) TicketEnctype() enctype.ID { return c.ticket }

// SessionEnctype is the enctype that protects the conversation.
func (c *Conn) SessionEnctype() enctype.ID { return c.key.ID() }

// RemoteAddr is the peer's network address.
func (c *Conn) RemoteAddr() net.Addr { return c.f.nc.RemoteAddr() }

// Close ends the conversation without a word.
func (c *Conn) Close() error {
	err := c.f.nc.Close()
	c.mu.Lock()
	release, transfer := c.release, c.transfer
	c.mu.Unlock()
	if release != nil {
		release()
	}
	if transfer != nil {
		transfer.stop()
		<-transfer.done
	}
	return err
}

// writeSafe sends data in a KRB-SAFE.
func (c *Conn) writeSafe(data []byte) error {
	msg, err := marshalSafe(c.key, data, c.sendSeq, c.local)
	if err != nil {
		return err
	}
	c.sendSeq++
	return c.f.writeMessages(msg)
}

// openSafe verifies a KRB-SAFE that was read; a KRB-ERROR in its place gives a
// RemoteError.
func (c *Conn) openSafe(msg []byte) ([]byte, error) {
	if err := asRemoteError(msg); err != nil {
		return nil, err
	}
	data, bad := openSafe(c.key, msg, c.recvSeq, c.local)
	if bad != nil {
		return nil, bad
	}
	c.recvSeq++
	return data, nil
}

// asRemoteError gives the error that msg carries if it is a KRB-ERROR.
func asRemoteError(msg []byte) error {
	if !isApp(msg, tagError) {
		return nil
	}
	remote, _, bad := parseError(msg)
	if bad != nil {
		return undecodableError{bad}
	}
	return remote
}

// undecodableError is a KRB-ERROR that cannot be read.
type undecodableError struct{ error }

func (e undecodableError) Unwrap() error { return e.error }

// sendError tells the peer why this side gives up; failures to do so are not
// reported, the conversation is over anyhow.
func (c *Conn) sendError(code Code, text string) {
	e := krbError{code: code, text: text}
	now := time.Now()
	if c.initiator {
		e.clientTime, e.client, e.server = now, c.self, c.peer
	} else {
		e.serverTime, e.client, e.server = now, c.peer, c.self
	}
	if msg, err := e.marshal(); err == nil {
		_ = c.f.writeMessages(msg)
	}
}

// Refuse tells the peer, in a KRB-ERROR with code 60, why its database is not
// taken, and closes. MIT's kprop prints the text as "Generic remote error:
// TEXT", but reads it only after it has sent everything. So input is drained
// until the peer closes, stands still for five seconds, or two minutes have
// passed: closing at once would reset the connection and lose the reason (19.8).
func (c *Conn) Refuse(text string) {
	c.Tell(text)
	c.Drain()
}

// Tell is Refuse without the wait and the end.
func (c *Conn) Tell(text string) { c.sendError(CodeGeneric, text) }

// Drain closes the conversation like Refuse, where the peer has been told
// already.
func (c *Conn) Drain() {
	c.f.hangUp()
	if c.transfer != nil {
		c.transfer.stop()
		<-c.transfer.done
	}
	c.f.discard()
	_ = c.Close()
}

// newSequence draws an initial sequence number as MIT does: 30 bits, not 0.
func newSequence() (uint32, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(b[:]) & 0x3fffffff
	if n == 0 {
		n = 1
	}
	return n, nil
}

// DialAll connects to the first address that answers, trying all in order,
// each for at most timeout. The error is that of the last one (11).
func DialAll(ctx context.Context, addrs []string, timeout time.Duration) (net.Conn, error) {
	err := errors.New("no address to connect to")
	for _, a := range addrs {
		var nc net.Conn
		d := net.Dialer{Timeout: timeout}
		if nc, err = d.DialContext(ctx, "tcp", a); err == nil {
			return nc, nil
		}
	}
	return nil, err
}
