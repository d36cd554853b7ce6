package transport

import (
	"context"
	"errors"
	"io"
	"math"
	"time"
)

// SendDatabase sends size bytes of r and waits for the acknowledgement, which
// comes when the receiver has loaded the database. progress, if not nil, is
// called after each block with the bytes sent so far, from one goroutine, and
// not after SendDatabase has returned. The conversation is used up in any
// case; the caller closes it.
//
// The error is a StepError with MIT's words, ErrSizeChanged if r has not
// exactly size bytes or says so itself, or a WrongAckError. A KRB-ERROR that the peer sends in
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
	// While the data is sent nothing need come; awaitAck sets the limit.
	c.f.readIdle = math.MaxInt64
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
	p := newPipeline(c, r, size, progress)
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
	wait := c.timeouts.answer()
	c.f.limit(wait)
	_ = c.f.nc.SetReadDeadline(time.Now().Add(wait))
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
