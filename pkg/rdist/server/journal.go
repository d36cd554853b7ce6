package server

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// A session writes down, before it does so, what it would leave behind if it
// were killed: temporary files, and, of an update that is all or nothing, each
// change, so that the next session can put it back or complete it. The journal
// is a file of its own in a granted directory, held by a lock as long as the
// session lives.
const (
	journalName = ".rdist-journal"
	// maxJournals is how many sessions can have a journal in one directory.
	// One more goes without, and tells so if it matters.
	maxJournals = 16
	// journalFull is from where on the journal of a session without an update
	// begins anew with the next request, in octets.
	journalFull = 64 << 10
)

func journalFile(i int) string {
	if i == 0 {
		return journalName
	}
	return journalName + "." + strconv.Itoa(i)
}

// isJournal reports whether a name is reserved for journals.
func isJournal(name string) bool {
	rest, ok := strings.CutPrefix(name, journalName)
	return ok && (rest == "" || rest[0] == '.')
}

// journal is the one of this session.
type journal struct {
	in     *dir
	name   string
	file   *os.File
	size   int64
	lines  int            // behind the first
	dirs   map[string]int // numbers, by path
	linked bool           // the name is durable
}

// journalPlaces opens the directories in which journals are looked for and made:
// each root, or the directory that it is, or will be, in; where everything is
// granted Options.Journal.
func (s *session) journalPlaces() (places []*dir) {
	seen := map[[2]uint64]bool{}
	for _, r := range s.roots {
		way := r.prefix
		if len(r.alias[0]) == 0 {
			way = s.journalHome()
		}
		d, err := r.from.child(".")
		for _, name := range way {
			next, failed := d, err
			if err == nil {
				next, failed = d.child(name)
			}
			if failed != nil {
				if len(r.alias[0]) == 0 {
					d.close()
					err = failed
				}
				break
			}
			d.close()
			d = next
		}
		if err != nil {
			continue
		}
		st, err := d.stat(".")
		if err != nil || seen[[2]uint64{st.Dev, st.Ino}] {
			d.close()
			continue
		}
		seen[[2]uint64{st.Dev, st.Ino}] = true
		places = append(places, d)
	}
	return places
}

// journalHome is where the journal is if everything is granted, without links.
func (s *session) journalHome() []string {
	if s.o.Journal == "" {
		return s.home
	}
	return withoutLinks(filepath.Clean("/" + s.o.Journal))
}

// openJournal makes the session's journal, once.
func (s *session) openJournal() (*journal, error) {
	if s.journal != nil || s.noJournal != nil {
		return s.journal, s.noJournal
	}
	s.noJournal = errors.New("no directory is granted in which it could be")
	for _, d := range s.journalPlaces() {
		if s.journal == nil {
			j, err := newJournal(d)
			if err == nil {
				s.journal, s.noJournal = j, nil
				continue
			}
			s.noJournal = err
		}
		d.close()
	}
	return s.journal, s.noJournal
}

func newJournal(in *dir) (*journal, error) {
	for i := range maxJournals {
		j := &journal{in: in, name: journalFile(i)}
		var err error
		if j.file, err = in.create(j.name); is(err, unix.EEXIST) {
			continue
		} else if err != nil {
			return nil, err
		}
		err = j.lock()
		if errors.Is(err, osutil.ErrLocked) {
			_ = j.file.Close()
			continue
		}
		if err == nil {
			err = j.restart()
		}
		if err != nil {
			_ = in.unlink(j.name)
			_ = j.file.Close()
			return nil, err
		}
		return j, nil
	}
	return nil, fmt.Errorf("there are %d journals already", maxJournals)
}

// lock holds the journal. The error wraps osutil.ErrLocked if a session that
// begins now has found it before, and takes it away.
func (j *journal) lock() error {
	err := osutil.Step("lock", j.name)
	if err == nil {
		err = osutil.TryLock(j.file, osutil.Exclusive)
	}
	if err == nil && !j.in.holds(j.name, j.file) {
		err = osutil.ErrLocked
	}
	return err
}

// holds reports whether a name is that of an open file.
func (d *dir) holds(name string, f *os.File) bool {
	var st unix.Stat_t
	now, err := d.stat(name)
	return err == nil && retry(func() error { return unix.Fstat(int(f.Fd()), &st) }) == nil && st.Ino == now.Ino && st.Dev == now.Dev
}

// restart forgets what was written.
func (j *journal) restart() error {
	if err := j.file.Truncate(0); err != nil {
		return err
	}
	j.size, j.lines, j.dirs = 0, -1, map[string]int{}
	return j.write([]byte(journalMagic))
}

func (j *journal) write(b []byte) error {
	if j.size+int64(len(b)) > maxJournal {
		return fmt.Errorf("the journal would become larger than %d MiB", maxJournal>>20)
	}
	lines := j.lines + bytes.Count(b, []byte("\n"))
	if lines > maxRecords { // no more are read
		return fmt.Errorf("the journal would have more than %d lines", maxRecords)
	}
	err := osutil.Step("write", j.name)
	if err == nil {
		_, err = j.file.WriteAt(b, j.size)
	}
	if err == nil {
		j.size += int64(len(b))
		j.lines = lines
	}
	return err
}

// mark writes a line that is a word alone.
func (j *journal) mark(op byte) error { return j.write(sealed([]byte{op})) }

// sync makes the journal durable.
func (j *journal) sync() error {
	err := osutil.Step("fsync", j.name)
	if err == nil {
		err = j.file.Sync()
	}
	if err == nil && !j.linked {
		err = j.in.sync()
		j.linked = err == nil
	}
	return err
}

// remove ends the journal: there is nothing more to tell.
func (j *journal) remove() {
	if j.in.holds(j.name, j.file) {
		_ = j.in.unlink(j.name)
	}
	j.leave()
}

// leave lets the next session have the journal.
func (j *journal) leave() {
	_ = j.file.Close()
	j.in.close()
}

// closeJournal ends the session's journal; left says that it still tells of
// something.
func (s *session) closeJournal(left bool) {
	switch {
	case s.journal == nil:
		return
	case left:
		s.journal.leave()
	default:
		s.journal.remove()
	}
	s.journal = nil
}

// pathOf is the name of the directory to which route leads from base.
func (s *session) pathOf(base *dir, route []string) (string, error) {
	for _, r := range s.roots {
		if r.from == base {
			return "/" + strings.Join(append(r.path(), route...), "/"), nil
		}
	}
	return "", errors.New("its directory is in no root")
}

// path is the name of from.
func (r *root) path() []string {
	real := r.alias[1]
	return real[: len(real)-len(r.prefix) : len(real)-len(r.prefix)]
}

// trimJournal begins a long journal anew. It is for the time between requests,
// when nothing is there of what they have written down. If that fails, there is
// none any more.
func (s *session) trimJournal() {
	if s.journal == nil || s.update != nil || s.journal.size <= journalFull {
		return
	}
	if err := s.journal.restart(); err != nil {
		s.closeJournal(false)
		s.noJournal = err
	}
}

// writeDown appends a record about an entry of a directory, if the session has a
// journal.
func (s *session) writeDown(r *record, base *dir, route []string, ino func() (uint64, error)) error {
	j, err := s.openJournal()
	if err != nil {
		return nil // told when it matters, at the beginning of an update
	}
	path, err := s.pathOf(base, route)
	if err != nil {
		return err
	}
	n, known := j.dirs[path]
	if known {
		r.dir = n
		return j.write(r.line())
	}
	number, err := ino()
	if err != nil {
		return err
	}
	r.dir = len(j.dirs)
	if err := j.write(append(dirLine(number, path), r.line()...)); err != nil {
		return err
	}
	j.dirs[path] = r.dir
	return nil
}

// writeDownEntry is writeDown for an entry that is about to be changed.
func (s *session) writeDownEntry(r *record, e *entry) error {
	return s.writeDown(r, e.at.base, e.at.routeToDir(), func() (uint64, error) {
		st, err := e.dir.stat(".")
		return st.Ino, err
	})
}

// cancel takes the last record back.
func (s *session) cancel() {
	if s.journal != nil {
		_ = s.journal.mark(recCancel)
	}
}

// routeToDir is the way from base to the directory that a place is in.
func (p *place) routeToDir() []string {
	route := p.whole()
	if len(p.names) > 0 {
		route = route[:len(route)-1]
	}
	return route
}
