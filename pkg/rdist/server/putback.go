package server

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
)

// abort puts everything back, the last change first. The error names the first
// that could not be.
func (u *update) abort() error {
	u.s.update = nil
	var first error
	for _, st := range slices.Backward(u.steps) {
		if err := u.undo(st); err != nil {
			if err != errMoved && err != errChanged {
				u.left = true
			}
			err = fmt.Errorf("%s could not be put back: %s", st.text, osutil.Reason(err))
			if st.kept {
				err = fmt.Errorf("%w; what was there is %s in its directory", err, st.old)
			}
			u.s.log(message.NError, err.Error())
			if len(u.failures) < maxLeft {
				u.failures = append(u.failures, err.Error())
			}
			if first == nil {
				first = err
			}
		}
	}
	if u.switched {
		if err := u.sync(true); err != nil {
			u.left = true // the next session looks once more
		}
	}
	u.s.closeJournal(u.left)
	return first
}

// errChanged says that somebody else has made a change since that is not
// overwritten.
var errChanged = errors.New("somebody has changed it since")

// undo finds out from the disk how far a step has come.
func (u *update) undo(st *step) error {
	if !st.begun() {
		return nil
	}
	d, err := u.open(st)
	if err == errMoved && st.mayMiss {
		return nil // it was put back before
	}
	if err != nil {
		return err
	}
	defer d.close()
	switch st.action {
	case actMake:
		return u.unmake(d, st)
	case actChange:
		return u.changeBack(d, st)
	}
	inPlace := false
	if st.temp != "" {
		if err := d.unlink(st.temp); err != nil && !is(err, unix.ENOENT) {
			return err
		} else if err != nil {
			inPlace = st.done || u.former
		}
	}
	if st.old == "" {
		return nil // it is not planned yet what becomes of it
	}
	old, err := d.stat(st.old)
	switch {
	case err == nil:
		return u.putBack(d, st, old)
	case !is(err, unix.ENOENT):
		return err
	case !inPlace:
		return nil
	}
	// There was nothing before.
	now, err := d.stat(st.name)
	switch {
	case is(err, unix.ENOENT):
		return nil
	case err != nil:
		return err
	case u.former && !st.isStaged(now):
		return nil // put back before, or another's
	}
	return d.unlink(st.name)
}

// begun reports whether a step may have changed anything.
func (st *step) begun() bool { return st.done || st.temp != "" || st.old != "" }

// isStaged reports whether what is there is what the step has staged.
func (st *step) isStaged(now unix.Stat_t) bool {
	return st.tempIno != 0 && now.Ino == st.tempIno && now.Mtim.Sec == st.tempTime
}

// putBack gives what was there, old, its name again.
func (u *update) putBack(d *dir, st *step, old unix.Stat_t) error {
	now, err := d.stat(st.name)
	switch {
	case is(err, unix.ENOENT):
		return d.renameNew(st.old, st.name)
	case err != nil:
		return err
	case now.Ino == old.Ino && now.Dev == old.Dev:
		return d.unlink(st.old) // it was not switched: two names of one file
	case u.former && !st.isStaged(now):
		return errChanged
	case isDir(old) && !isDir(now):
		_ = d.unlink(st.name) // the new file; a directory cannot be renamed to it
	}
	return d.rename(st.old, st.name)
}

// unmake removes a directory that the update has made.
func (u *update) unmake(in *dir, st *step) error {
	err := in.rmdir(st.name)
	switch {
	case u.former && is(err, unix.ENOENT):
		return nil
	case u.former && (is(err, unix.ENOTEMPTY) || is(err, unix.EEXIST) || is(err, unix.ENOTDIR)):
		return errChanged
	}
	return err
}

func (u *update) changeBack(in *dir, st *step) error {
	d, err := in.child(st.name)
	if err != nil {
		return err
	}
	defer d.close()
	now, err := d.stat(".")
	if err == nil && now.Ino != st.dirIno {
		return errChanged
	}
	if err == nil && (now.Uid != st.uid || now.Gid != st.gid) {
		err = d.chown(int(st.uid), int(st.gid))
	}
	if err == nil && now.Mode&0o7777 != st.mode {
		err = d.chmod(st.mode)
	}
	return err
}
