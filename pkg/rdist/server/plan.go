package server

import (
	"fmt"

	"github.com/kprop/kprop/internal/osutil"
)

// plan chooses where the switch keeps what it replaces, and has the journal tell
// of every step, all of them in their order, before the first is done.
func (u *update) plan() error {
	for _, st := range u.steps {
		if st.action == actInstall || st.action == actRemove {
			st.old = keepName()
			u.own[spot{st.dev, st.ino, st.old}] = true
		}
	}
	if u.s.journal == nil {
		return nil
	}
	if err := u.writePlan(); err != nil {
		return fmt.Errorf("the journal cannot be written: %s", osutil.Reason(err))
	}
	return nil
}

func (u *update) writePlan() error {
	j := u.s.journal
	text := sealed([]byte{recPlan})
	for _, st := range u.steps {
		path, err := u.s.pathOf(st.base, st.route)
		if err != nil {
			return err
		}
		n, known := j.dirs[path]
		if !known {
			n = len(j.dirs)
			j.dirs[path] = n
			text = append(text, dirLine(st.ino, path)...)
		}
		r := st.record()
		r.dir = n
		text = append(text, r.line()...)
		if len(text) > bufferSize {
			if err := j.write(text); err != nil {
				return err
			}
			text = text[:0]
		}
	}
	if err := j.write(append(text, sealed([]byte{recPlanned})...)); err != nil {
		return err
	}
	return j.sync()
}

// record is the journal's line about a step.
func (st *step) record() *record {
	r := &record{name: st.name, temp: st.temp, old: st.old}
	switch st.action {
	case actInstall:
		r.op, r.save, r.ino, r.mtime = recInstall, st.save, st.tempIno, st.tempTime
	case actRemove:
		r.op = recRemove
	case actAside:
		r.op = recAside
	case actMake:
		r.op = recMake
	case actChange:
		r.op, r.ino, r.mode, r.uid, r.gid = recChange, st.dirIno, st.mode, st.uid, st.gid
	}
	return r
}

// markJournal writes a word, and makes it durable.
func (s *session) markJournal(op byte) error {
	if s.journal == nil {
		return nil
	}
	if err := s.journal.mark(op); err != nil {
		return err
	}
	return s.journal.sync()
}

// syncJournal makes what was written durable.
func (s *session) syncJournal() error {
	if s.journal == nil {
		return nil
	}
	return s.journal.sync()
}
