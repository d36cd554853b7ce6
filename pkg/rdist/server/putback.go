package server

import (
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
			err = fmt.Errorf("%s could not be put back: %s", st.text, osutil.Reason(err))
			if st.old != "" {
				err = fmt.Errorf("%w; what was there is %s in its directory", err, st.old)
			}
			u.s.log(message.NError, err.Error())
			if first == nil {
				first = err
			}
		}
	}
	return first
}

func (u *update) undo(st *step) error {
	if !st.done && st.temp == "" && st.old == "" {
		return nil
	}
	d, err := u.open(st)
	if err != nil {
		return err
	}
	defer d.close()
	if st.temp != "" {
		if err := d.unlink(st.temp); err != nil && !is(err, unix.ENOENT) {
			return err
		}
	}
	switch {
	case st.old != "":
		return u.putBack(d, st)
	case !st.done:
		return nil
	case st.action == actInstall:
		return d.unlink(st.name)
	case st.action == actMake:
		return d.rmdir(st.name)
	case st.action == actChange:
		return u.changeBack(d, st)
	}
	return nil
}

// putBack gives what was there its name again.
func (u *update) putBack(d *dir, st *step) error {
	now, err := d.stat(st.name)
	if old, failed := d.stat(st.old); err == nil && failed == nil {
		if now.Ino == old.Ino && now.Dev == old.Dev {
			return d.unlink(st.old) // it was not switched: two names of one file
		}
		if isDir(old) && !isDir(now) {
			_ = d.unlink(st.name) // the new file; a directory cannot be renamed to it
		}
	}
	return d.rename(st.old, st.name)
}

func (u *update) changeBack(in *dir, st *step) error {
	d, err := in.child(st.name)
	if err != nil {
		return err
	}
	defer d.close()
	now, err := d.stat(".")
	if err == nil && (now.Uid != st.uid || now.Gid != st.gid) {
		err = d.chown(int(st.uid), int(st.gid))
	}
	if err == nil && now.Mode&0o7777 != st.mode {
		err = d.chmod(st.mode)
	}
	return err
}
