package client

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// contents reads a file. An os.File would cost more than the small files that
// most are.
type contentsOf int

func (f contentsOf) Read(p []byte) (n int, err error) {
	err = eintr(func() error {
		n, err = unix.Read(int(f), p)
		return err
	})
	if err != nil {
		return 0, err
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (f contentsOf) Close() error { return unix.Close(int(f)) }

// openRegular opens the file that was looked at, and no other that has got its
// name in the meantime. Its size and times are those of now.
func openRegular(it *item) (f contentsOf, st statInfo, err error) {
	// Not blocking, should it be a FIFO by now.
	flags := unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	if !it.follow {
		flags |= unix.O_NOFOLLOW
	}
	err = eintr(func() error {
		in, name := unix.AT_FDCWD, it.path
		if it.in != noDir {
			in, name = it.in, it.name
		}
		fd, err := unix.Openat(in, name, flags, 0)
		f = contentsOf(fd)
		return err
	})
	if err != nil {
		return f, st, err
	}
	err = eintr(func() error { return unix.Fstat(int(f), &st) })
	if err == nil && (inodeOf(&st) != inodeOf(&it.st) || !isRegular(&st)) {
		err = errors.New("another file has taken its place")
	}
	if err != nil {
		f.Close()
	}
	return f, st, err
}

// regular sends a regular file, or has it linked to one that the server has
// (8.6, 8.9).
func (j *job) regular(it *item, opts option.Set, owner, group string, existed bool) error {
	first := j.links.first(it)
	if first.remote != "" && (!opts.Has(option.Compare) || first.state == sent) {
		done, err := j.hardLink(it, opts, first.remote)
		if done || err != nil {
			return err
		}
	}
	state, err := j.transfer(it, opts, owner, group, existed)
	j.links.seen(j, it, state)
	return err
}

// transfer sends a regular file, and says what the server has now.
func (j *job) transfer(it *item, opts option.Set, owner, group string, existed bool) (presence, error) {
	f, st, err := openRegular(it)
	if err != nil {
		j.report.fail("%s: open for read failed: %s", it.path, osutil.Reason(err))
		return unknown, nil
	}
	defer f.Close()
	header := wire.Object{Options: uint32(opts), Mode: permissions(&it.st), Size: st.Size, MTime: st.Mtim.Sec, ATime: it.st.Atim.Sec,
		Owner: owner, Group: group, Name: it.name}
	if !j.mayBeSent(it, header) {
		return unknown, nil
	}
	if j.mayGoAhead(it, opts, st.Size) {
		return unknown, j.sendAhead(it, opts, header, f, existed)
	}
	if parts, err := j.mayBeDelta(it, st.Size); err != nil {
		return unknown, err
	} else if parts {
		return j.transferDelta(it, opts, header, f, existed)
	}
	return j.transferWhole(it, opts, header, f, existed)
}

// transferWhole sends all of a file.
func (j *job) transferWhole(it *item, opts option.Set, header wire.Object, f io.Reader, existed bool) (presence, error) {
	a, err := j.session.ask(wire.OpRegular, header.String(), it.path)
	if err != nil || !a.ok() {
		return unknown, err
	}
	return j.transferContents(it, opts, header, f, existed)
}

// transferContents sends what the server has given leave for.
func (j *job) transferContents(it *item, opts option.Set, header wire.Object, f io.Reader, existed bool) (presence, error) {
	whole, err := j.sendContents(it, f, header.Size)
	if !whole || err != nil {
		return unknown, err
	}
	return j.received(it, opts, existed)
}

// mayBeSent checks what goes into a line.
func (w *work) mayBeSent(it *item, header wire.Object) bool {
	err := header.Check()
	if err == nil {
		err = wire.CheckText(header.String())
	}
	if err != nil {
		w.report.fail("%s: %v", it.path, err)
	}
	return err == nil
}

// sendContents sends size octets whatever happens, as the server waits for so
// many, and then says whether they are the file's.
func (j *job) sendContents(it *item, f io.Reader, size int64) (whole bool, err error) {
	j.session.inData = true
	buf := j.buffer()
	out := j.session.conn.Data()
	problem := ""
	for left := size; left > 0; {
		if j.ctx.Err() != nil {
			return false, j.session.lost(j.ctx.Err())
		}
		part := buf[:min(left, int64(len(buf)))]
		if problem == "" {
			n, err := io.ReadFull(f, part)
			problem = unreadable(err)
			clear(part[n:])
		} else {
			clear(part)
		}
		if _, err := out.Write(part); err != nil {
			return false, j.session.lostWriting(err)
		}
		left -= int64(len(part))
		j.count.Octets += int64(len(part))
		j.octets += int64(len(part))
		j.progress(Sent, it.path)
	}
	j.session.inData = false
	if problem != "" {
		// The server drops the file and answers nothing.
		j.report.fail("%s: %s", it.path, problem)
		return false, j.session.send(wire.OpError, "")
	}
	return true, j.session.send(wire.OpAck, "")
}

// unreadable tells why a file has not all of its contents.
func unreadable(err error) string {
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return "File changed size"
	case err != nil:
		return "read failed: " + osutil.Reason(err)
	}
	return ""
}

// received reads what became of a file that was sent.
func (j *job) received(it *item, opts option.Set, existed bool) (presence, error) {
	l, err := j.session.line()
	if err != nil {
		return unknown, err
	}
	return j.receivedAs(l, it, opts, existed)
}

// receivedAs is received for an answer that was read.
func (j *job) receivedAs(l wire.Line, it *item, opts option.Set, existed bool) (presence, error) {
	a, err := j.session.answer(l, message.Change)
	switch {
	case err != nil:
		return unknown, err
	case a == declined && opts.Has(option.Compare): // it is equal
		j.count.Unchanged++
		return present, nil
	case a == declined:
		j.session.noReason(it.path)
		return unknown, nil
	case a == refused:
		return unknown, j.session.uncertain()
	case opts.Has(option.Verify): // the server has told what it needs
		j.count.Outdated++
		j.wanting = true
		return unknown, j.specials(it, true)
	}
	if existed {
		j.count.Updated++
	} else {
		j.count.Installed++
	}
	j.updated = true
	if opts.Has(option.SaveTargets) {
		j.stale()
	}
	return sent, j.specials(it, false)
}
