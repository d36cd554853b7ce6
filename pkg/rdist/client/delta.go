package client

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/delta"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// mayBeDelta reports whether only what is new in a file is to be sent: the server
// has one that is large as well. It asks the server whether it knows how, if
// that is not known.
func (j *job) mayBeDelta(it *item, size int64) (bool, error) {
	if j.e.NoDelta || size < j.e.minDelta || it.answer.Op != wire.OpYes {
		return false, nil
	}
	there, err := wire.ParseExisting(it.answer.Text)
	if err != nil || !there.Known || there.Size < j.e.minDelta {
		return false, nil
	}
	if !j.session.asked {
		if err := j.session.identify(false); err != nil {
			return false, err
		}
	}
	return j.session.has(wire.ExtDelta), nil
}

// transferDelta sends what is new in a file, and says what the server has now.
// If it does not come to the file that way, all of it is sent.
func (j *job) transferDelta(it *item, opts option.Set, header wire.Object, f contentsOf, existed bool) (presence, error) {
	if err := j.session.send(wire.OpDelta, header.String()); err != nil {
		return unknown, err
	}
	l, err := j.session.line()
	if err != nil {
		return unknown, err
	}
	if l.Op != wire.OpDelta { // it is as after OpRegular
		a, err := j.session.answer(l, message.Change)
		if err == nil && a == declined {
			j.session.noReason(it.path)
		}
		if err != nil || !a.ok() {
			return unknown, err
		}
		return j.transferContents(it, opts, header, f, existed)
	}
	stats, whole, err := j.sendParts(it, f, header.Size, l)
	if !whole || err != nil {
		return unknown, err
	}
	if l, err = j.session.line(); err != nil {
		return unknown, err
	}
	if l.Op == wire.OpNo && l.Text == "" {
		return j.again(it, opts, header, f, existed)
	}
	j.count.Reused += stats.Copied
	return j.receivedAs(l, it, opts, existed)
}

// sendParts reads the signature of what the server has, and sends what is new and
// where the rest is; and then says whether that is all.
func (j *job) sendParts(it *item, f io.Reader, size int64, told wire.Line) (stats delta.Stats, whole bool, err error) {
	plan, err := delta.ParsePlan(told.Text)
	if err != nil {
		return stats, false, j.session.over("delta: the server answered '%s' for %s, and the session was ended: %v", told, it.path, err)
	}
	j.session.inData = true
	signature, err := delta.ReadSignature(j.session.conn.Data(), plan)
	if err != nil {
		return stats, false, j.session.lost(err)
	}
	sent := int64(0)
	count := func(now delta.Stats) {
		j.count.Octets += now.Literal - sent
		j.octets += now.Literal - sent
		sent = now.Literal
		j.progress(Sent, it.path)
	}
	stats, err = delta.Diff(j.session.conn.DataWriter(), &contextReader{j.work, f}, size, signature, count)
	count(stats)
	var unread *delta.SourceError
	switch {
	case j.ctx.Err() != nil:
		return stats, false, j.session.lost(j.ctx.Err())
	case errors.As(err, &unread):
		j.session.inData = false
		// The server drops the file and answers nothing.
		j.report.fail("%s: %s", it.path, unreadable(unread.Err))
		return stats, false, j.session.send(wire.OpError, "")
	case err != nil:
		return stats, false, j.session.lostWriting(err)
	}
	j.session.inData = false
	return stats, true, j.session.send(wire.OpAck, "")
}

// again sends a file from its beginning. The server has told why.
func (j *job) again(it *item, opts option.Set, header wire.Object, f contentsOf, existed bool) (presence, error) {
	if _, err := unix.Seek(int(f), 0, io.SeekStart); err != nil {
		j.report.fail("%s: read failed: %s", it.path, osutil.Reason(err))
		return unknown, nil
	}
	return j.transferWhole(it, opts, header, f, existed)
}

// contextReader ends when the context of the work does.
type contextReader struct {
	w *work
	r io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.w.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
