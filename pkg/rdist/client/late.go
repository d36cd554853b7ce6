package client

import (
	"io"
	"slices"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// maxUnread is how many octets of files are sent before an answer is read. They
// are pushed in parts of pushSize, so that the server is at work on one while we
// read the next files. More than anyPipe goes out behind our back.
const (
	maxUnread = 256 << 10
	pushSize  = 64 << 10
	anyPipe   = 16 << 10
)

// pending is a request of which the answer was not read yet.
type pending struct {
	octets int
	read   func() error
}

// manyObjects is from how many objects on a server is asked whether files may
// be sent ahead.
const manyObjects = 32

// expect is told that so many objects are to come.
func (j *job) expect(n int) error {
	if j.objects+n < j.e.many || j.session.asked {
		return nil
	}
	return j.session.identify(false)
}

// mayGoAhead reports whether a file may be sent without waiting for the server:
// a small one of which nothing else depends on the answer.
func (j *job) mayGoAhead(it *item, opts option.Set, size int64) bool {
	return size <= wire.MaxAhead && it.st.Nlink < 2 && opts&(option.Compare|option.Verify|option.SaveTargets) == 0 &&
		j.session.has(wire.ExtAhead) &&
		!slices.ContainsFunc(j.entry.Commands, func(c distfile.Command) bool { return c.Kind == distfile.Special })
}

// sendAhead sends a small file, and leaves the answer for later.
func (j *job) sendAhead(it *item, opts option.Set, header wire.Object, f io.Reader, existed bool) error {
	if err := j.ctx.Err(); err != nil {
		return j.session.lost(err)
	}
	contents := j.buffer()[:header.Size]
	if _, err := io.ReadFull(f, contents); err != nil {
		j.report.fail("%s: %s", it.path, unreadable(err))
		return nil
	}
	line := header.String()
	err := j.session.postpone(wire.OpAhead, line, func() error {
		_, err := j.received(it, opts, existed)
		return err
	}, contents...)
	j.count.Octets += header.Size
	j.octets += header.Size
	j.progress(Sent, it.path)
	return err
}

// postpone sends a request, with contents of a file behind it, of which the
// answer is read later.
func (s *session) postpone(op byte, text string, read func() error, contents ...byte) error {
	size := len(text) + len(contents) + 4
	if err := s.settleTo(maxUnread - size); err != nil {
		return err
	}
	if s.unread += size; s.unread > anyPipe {
		s.conn.Behind(true)
	}
	s.late = append(s.late, pending{size, read})
	if err := s.post(op, text); err != nil || op != wire.OpAhead {
		return err
	}
	if _, err := s.conn.Data().Write(contents); err != nil {
		return s.lostWriting(err)
	}
	if err := s.post(wire.OpAck, ""); err != nil {
		return err
	}
	if s.unpushed += size; s.unpushed < pushSize {
		return nil
	}
	return s.push()
}

func (s *session) push() error {
	s.unpushed = 0
	if err := s.conn.Push(); err != nil {
		return s.lostWriting(err)
	}
	return nil
}

// settle reads the answers to all that was sent ahead.
func (s *session) settle() error { return s.settleTo(0) }

// settleTo reads answers until no more than so many octets are unanswered.
func (s *session) settleTo(octets int) error {
	for len(s.late) > 0 && s.unread > octets {
		first := s.late[0]
		s.late[0] = pending{}
		s.late = s.late[1:]
		s.unread -= first.octets
		if err := first.read(); err != nil {
			return err
		}
	}
	if s.unread <= anyPipe {
		s.conn.Behind(false)
	}
	return nil
}
