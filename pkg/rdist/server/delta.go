package server

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/delta"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// regularDelta receives a file as the parts of it that what is there has not. It
// is the extension delta.
func (s *session) regularDelta(line wire.Line) error {
	o, err := wire.ParseObject(line.Text)
	if err != nil {
		return refuse("%v", err)
	}
	a := &arrival{s: s, o: o, options: option.Set(o.Options)}
	defer a.close()
	if err := a.begin(); err != nil {
		return err
	}
	base, plan := a.divide()
	if base == nil {
		return a.whole()
	}
	defer base.Close()
	if err := a.sign(base, plan); err != nil {
		return err
	}
	complete, unequal, err := a.patch(base, plan)
	switch {
	case err != nil || !complete:
		return err
	case unequal != nil && a.failed != nil: // and if the parts were equal so far, the file is not
		return a.notWritten()
	case unequal != nil:
		if err := s.note("%s: what was there cannot be made the new file, which is sent whole: %s", a.entry.text, osutil.Reason(unequal)); err != nil {
			return err
		}
		return s.conn.Write(wire.OpNo, "")
	}
	return a.finish()
}

// divide opens what is there and divides it, if that can be done; else nil.
func (a *arrival) divide() (*os.File, delta.Plan) {
	if a.entry.dir == nil { // there is nothing, and verify makes nothing
		return nil, delta.Plan{}
	}
	f, err := a.entry.dir.open(a.entry.name)
	if err != nil {
		return nil, delta.Plan{}
	}
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() && info.Size() >= a.s.o.minDelta {
		if plan, ok := delta.NewPlan(info.Size(), binary.BigEndian.Uint64(seed[:])); ok {
			return f, plan
		}
	}
	_ = f.Close()
	return nil, delta.Plan{}
}

// sign sends the signature of what is there. If that cannot be read, or has
// shrunk, what comes of it will not be the new file.
func (a *arrival) sign(base *os.File, plan delta.Plan) error {
	s := a.s
	if err := s.conn.Write(wire.OpDelta, plan.String()); err != nil {
		return err
	}
	err, unread := delta.Sign(s.conn.DataWriter(), &contextReader{s, base}, plan, s.buffer)
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case err != nil:
		return err
	case unread != nil:
		s.log(message.NError, a.entry.text+": read failed: "+osutil.Reason(unread))
	}
	return nil
}

// patch puts the new file together, and reads the client's word on it.
func (a *arrival) patch(base *os.File, plan delta.Plan) (complete bool, unequal, err error) {
	s, offset := a.s, int64(0)
	whole, unequal, err := delta.Apply(s.conn.Data(), &contextReaderAt{s, base}, plan, a.o.Size, s.buffer, func(part []byte) {
		a.take(part, offset)
		offset += int64(len(part))
	})
	switch {
	case s.ctx.Err() != nil:
		return false, nil, s.ctx.Err()
	case errors.Is(err, delta.ErrInstruction):
		return false, nil, &fatal{a.entry.text + ": " + err.Error()}
	case err != nil:
		return false, nil, s.broken(err)
	}
	complete, err = s.confirmed(a.entry.text)
	if complete && !whole {
		return false, nil, &fatal{a.entry.text + ": the client has given the file up, and says that it is complete"}
	}
	return complete, unequal, err
}

// contextReaderAt ends when the session's context does.
type contextReaderAt struct {
	s *session
	r io.ReaderAt
}

func (c *contextReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	if err := c.s.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.ReadAt(p, offset)
}
