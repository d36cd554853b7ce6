package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
)

// recover puts in order what sessions have left that were killed, or ended by a
// power cut: an update that was not committed is put back, one that was is
// completed, and temporary files are removed. The client is told.
func (s *session) recover() {
	s.quiet = true
	defer func() { s.quiet = false }()
	for _, d := range s.journalPlaces() {
		for i := range maxJournals {
			if err := s.recoverJournal(d, journalFile(i)); err != nil {
				s.tellRecovered(message.NError, "%s: %s", journalFile(i), osutil.Reason(err))
			}
		}
		d.close()
	}
}

const former = "what an earlier session has left: "

// tellRecovered logs, and tells the client as soon as it listens.
func (s *session) tellRecovered(t message.Type, format string, args ...any) {
	text := oneLine(former + fmt.Sprintf(format, args...))
	s.log(t, text)
	s.recovered = append(s.recovered, text)
}

// recoverJournal does what a journal asks for, if it is one that nobody holds.
func (s *session) recoverJournal(in *dir, name string) error {
	f, err := in.file(name, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	switch err := osutil.TryLock(f, osutil.Exclusive); {
	case errors.Is(err, osutil.ErrLocked):
		return nil // of a session that lives, perhaps of another account
	case err != nil:
		return err
	case !in.holds(name, f):
		return nil // somebody else was faster
	}
	// Not before it is locked: until then a session may have written in it.
	switch empty, err := checkJournal(f); {
	case err != nil:
		return err
	case empty:
		return in.unlink(name)
	}
	told, err := parseJournal(f)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	left, err := s.recoverUpdate(told, info.ModTime())
	if err != nil || left {
		return err
	}
	if err := in.unlink(name); err != nil {
		return err
	}
	return in.sync()
}

// checkJournal refuses what this account has not written for itself alone. empty
// says that nothing has come to the disk.
func checkJournal(f *os.File) (empty bool, err error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
		return false, err
	}
	switch {
	case !isRegular(st) || st.Nlink != 1 || st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid():
		return false, errNoJournal
	case st.Size > maxJournal:
		return false, errNoJournal
	}
	first := make([]byte, 1)
	_, err = f.ReadAt(first, 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	return first[0] == 0, nil // a file system may have its size without its contents
}

// recoverUpdate rolls back, or forward. left says that something could not be
// done that may be done later.
func (s *session) recoverUpdate(told *journalled, when time.Time) (left bool, err error) {
	u := s.newUpdate()
	u.former, u.switched = true, true
	if left, err = u.take(told); err != nil || len(u.steps) == 0 {
		return left, err
	}
	day := when.UTC().Format(time.DateTime) + " UTC"
	errorsBefore := s.errors
	switch {
	case told.committed:
		err = u.forgetAll()
		s.tellRecovered(message.Change, "the update of %s, which was interrupted after it was committed, is complete now", day)
		if s.errors > errorsBefore {
			s.tellRecovered(message.NError, "not everything that it replaced could be removed, see the log of this server")
		}
		s.errors = errorsBefore // they are not this client's
	case !u.isTemporary():
		if u.abort() != nil {
			break
		}
		s.tellRecovered(message.Change, "the update of %s, which was interrupted before it was committed, is put back", day)
	default:
		n := u.countTemps()
		if u.abort() == nil && n > 0 {
			s.tellRecovered(message.Change, "temporary files of a session that was killed on %s are removed: %d", day, n)
		}
	}
	for _, text := range u.failures { // logged
		s.recovered = append(s.recovered, oneLine(former+text))
	}
	return left || u.left, err
}

// take makes steps of what a journal tells. left says that some are in no root of
// this session.
func (u *update) take(told *journalled) (left bool, err error) {
	made := map[string]bool{}
	for _, r := range told.records {
		d := told.dirs[r.dir]
		path := "/" + strings.Join(d.path, "/")
		root, way := within(u.s.roots, d.path, r.name)
		if root == nil {
			left = true
			continue
		}
		st := &step{
			spot: spot{ino: d.ino, name: r.name}, base: root.from, route: way, text: path + "/" + r.name,
			temp: r.temp, old: r.old, save: r.save, kept: r.old != "", done: true, mayMiss: made[path] || r.op == recTemp,
		}
		switch r.op {
		case recTemp, recInstall:
			st.action, st.tempIno, st.tempTime = actInstall, r.ino, r.mtime
			if r.op == recTemp {
				st.text = path + "/" + r.temp
			}
		case recRemove:
			st.action = actRemove
		case recAside:
			st.action = actAside
		case recMake:
			st.action = actMake
			made[st.text] = true
		case recChange:
			st.action, st.dirIno, st.mode, st.uid, st.gid = actChange, r.ino, r.mode, r.uid, r.gid
		}
		u.steps = append(u.steps, st)
	}
	if left {
		err = errors.New("it tells of files in what is not granted to this session: they stay as they are")
	}
	return left, err
}

// within gives the root by which a session may change name in a directory, and
// the way to the directory; nil: by none. Without a name it is about temporary
// files, which may also be beside a root.
func within(roots []*root, dir []string, name string) (*root, []string) {
	if name == "" || name == "." {
		if r, way := find(roots, dir); r != nil {
			return r, way
		}
	} else if r, way := find(roots, append(slices.Clip(dir), name)); r != nil {
		return r, way[:len(way)-1]
	}
	for _, r := range roots { // one that is a file, or is yet to be made
		from := r.path()
		if len(dir) < len(from) || !slices.Equal(from, dir[:len(from)]) {
			continue
		}
		way := dir[len(from):]
		if len(way) < len(r.prefix) && slices.Equal(way, r.prefix[:len(way)]) && (name == "" || name == r.prefix[len(way)]) {
			return r, way
		}
	}
	return nil, nil
}

// isTemporary reports whether no step but temporary files was begun.
func (u *update) isTemporary() bool {
	return !slices.ContainsFunc(u.steps, func(st *step) bool { return st.action != actInstall || st.old != "" })
}

// countTemps counts the temporary files that are there.
func (u *update) countTemps() (n int) {
	for _, st := range u.steps {
		d, err := u.open(st)
		if err != nil {
			continue
		}
		if _, err := d.stat(st.temp); err == nil {
			n++
		}
		d.close()
	}
	return n
}
