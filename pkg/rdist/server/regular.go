package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// holeSize is the size of the blocks that sparse makes holes of.
const holeSize = 8192

var zeros [holeSize]byte

// arrival is a regular file on its way in.
type arrival struct {
	s       *session
	o       wire.Object
	options option.Set
	entry   entry
	temp    *temp    // nil: only to be compared
	same    *os.File // what is there, as long as it is equal; else nil
	sparse  bool     // a hole was made
	failed  error    // of writing
}

// regular receives a file (reference 8.6). It comes into a temporary file
// beside the target, which takes the target's place only when it is complete.
func (s *session) regular(line wire.Line) error {
	o, err := wire.ParseObject(line.Text)
	if err != nil {
		return refuse("%v", err)
	}
	a := &arrival{s: s, o: o, options: option.Set(o.Options)}
	defer a.close()
	if err := a.begin(); err != nil {
		return err
	}
	return a.whole()
}

// whole gives leave to send all of the contents, and takes them.
func (a *arrival) whole() error {
	if err := a.s.ack(); err != nil {
		return err
	}
	if complete, err := a.arrive(); err != nil || !complete {
		return err
	}
	return a.finish()
}

// regularAhead receives a file whose contents were sent without waiting for
// leave. They are read in any case.
func (s *session) regularAhead(line wire.Line) error {
	o, err := wire.ParseObject(line.Text)
	if err == nil && o.Size > wire.MaxAhead {
		err = fmt.Errorf("a file of %d octets was sent without waiting for leave", o.Size)
	}
	if err != nil {
		return &fatal{err.Error()} // nobody knows where the contents end
	}
	a := &arrival{s: s, o: o, options: option.Set(o.Options)}
	defer a.close()
	failed := a.begin()
	var told *refused
	if failed != nil && !errors.As(failed, &told) {
		return failed
	}
	complete, err := a.arrive()
	switch {
	case err != nil || !complete:
		return err
	case failed != nil:
		return failed
	}
	return a.finish()
}

// arrive reads the contents and the client's word on them.
func (a *arrival) arrive() (complete bool, err error) {
	if err := a.receive(); err != nil {
		return false, err
	}
	return a.s.confirmed(a.entry.text)
}

// begin does all that can fail before the contents come.
func (a *arrival) begin() error {
	s, verify := a.s, a.options.Has(option.Verify)
	p, err := s.place(a.o.Name)
	if err != nil {
		return err
	}
	if err := s.room(p, a.o.Size, a.options); err != nil {
		return err
	}
	a.entry, err = s.entry(p, !verify)
	if err != nil {
		a.entry.text = p.text
		if verify && is(err, unix.ENOENT) {
			return nil
		}
		return s.notCreated(p, err)
	}
	if p.top {
		if st, err := a.entry.dir.stat(a.entry.name); err == nil && isDir(st) {
			return refuse("%s: it is a directory that this server may write in, it cannot become a file", p.text)
		}
	}
	if a.options.Has(option.Compare) {
		a.same = a.entry.openSame(a.o.Size)
	}
	if verify {
		return nil
	}
	a.temp, err = newTemp(&a.entry, s.update != nil)
	return err
}

// notCreated is for a directory on the way that cannot be entered or made. The
// real server notices when it makes the temporary file.
func (s *session) notCreated(p place, err error) error {
	if told, ok := err.(*refused); ok {
		return told
	}
	e := entry{text: p.text}
	return refuse("%s: create failed: %s", e.beside("rdistXXXXXX"), osutil.Reason(err))
}

// openSame opens what is there to compare with, if it can be equal at all.
func (e *entry) openSame(size int64) *os.File {
	f, err := e.dir.open(e.name)
	if err != nil {
		return nil
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != size {
		_ = f.Close()
		return nil
	}
	return f
}

// receive reads the contents, all of them whatever fails: what follows would be
// taken for requests.
func (a *arrival) receive() error {
	data := a.s.conn.Data()
	for offset := int64(0); offset < a.o.Size; {
		part := a.s.buffer[:min(a.o.Size-offset, int64(len(a.s.buffer)))]
		if _, err := io.ReadFull(data, part); err != nil {
			return a.s.broken(err)
		}
		a.take(part, offset)
		offset += int64(len(part))
	}
	return nil
}

// take takes a part of the contents.
func (a *arrival) take(part []byte, offset int64) {
	a.compare(part)
	if a.temp != nil && a.failed == nil {
		a.failed = a.write(part, offset)
	}
}

func (a *arrival) compare(part []byte) {
	if a.same == nil {
		return
	}
	there := a.s.other[:len(part)]
	if _, err := io.ReadFull(a.same, there); err != nil || !bytes.Equal(part, there) {
		_ = a.same.Close()
		a.same = nil
	}
}

func (a *arrival) write(part []byte, offset int64) error {
	if !a.options.Has(option.Sparse) {
		_, err := a.temp.file.Write(part)
		return err
	}
	for len(part) > 0 {
		block := part[:min(len(part), holeSize)]
		if len(block) == holeSize && bytes.Equal(block, zeros[:]) {
			a.sparse = true
		} else if _, err := a.temp.file.WriteAt(block, offset); err != nil {
			return err
		}
		part = part[len(block):]
		offset += int64(len(block))
	}
	return nil
}

// confirmed reads the client's word that what it sent is complete. If it is
// not, nothing is answered.
func (s *session) confirmed(text string) (bool, error) {
	line, err := s.read()
	switch {
	case err != nil:
		return false, unexpected(err)
	case line.Op == wire.OpAck && line.Text == "":
		return true, nil
	case line.Op == wire.OpError:
		s.log(message.NError, text+": the client could not send all of it: "+line.Text)
		return false, nil
	case line.Op == wire.OpFatal:
		return false, errEnd
	}
	return false, errStep(text, line)
}

// finish puts the file in its place and answers.
func (a *arrival) finish() error {
	s, text := a.s, a.entry.text
	compare := a.options.Has(option.Compare)
	switch {
	case compare && a.same != nil:
		return s.conn.Write(wire.OpError, "") // equal: nothing to do, silently
	case a.temp == nil:
		return s.change("%s: need to update", text)
	case a.failed != nil:
		return a.notWritten()
	}
	if err := a.complete(); err != nil {
		return err
	}
	if err := s.install(&a.entry, a.temp, a.options); err != nil {
		return err
	}
	if compare {
		return s.change("%s: updated", text)
	}
	s.logInstalled(text)
	return s.ack()
}

func (a *arrival) notWritten() error {
	return refuse("%s: Write error: %s", a.temp.text, osutil.Reason(a.failed))
}

// complete gives the temporary file its size, owner, times and, last, its mode.
func (a *arrival) complete() error {
	s, f, text := a.s, a.temp.file, a.entry.text
	if a.sparse {
		if err := f.Truncate(a.o.Size); err != nil {
			return refuse("%s: Write error: %s", a.temp.text, osutil.Reason(err))
		}
		if err := s.note("%s: was sparse", text); err != nil {
			return err
		}
	}
	want, err := s.attributes(text, a.o)
	if err != nil {
		return err
	}
	now := unix.NsecToTimespec(time.Now().UnixNano())
	if err := setTimes(f.fd, now, unix.Timespec{Sec: a.o.MTime}); err != nil {
		if err := s.note("%s: utimes failed: %s", text, osutil.Reason(err)); err != nil {
			return err
		}
	}
	if err := s.apply(text, a.o, want, f.chown, f.chmod); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return refuse("%s: Write error: %s", a.temp.text, osutil.Reason(err))
	}
	return nil
}

func (a *arrival) close() {
	if a.same != nil {
		_ = a.same.Close()
	}
	a.temp.discard()
	a.entry.close()
}
