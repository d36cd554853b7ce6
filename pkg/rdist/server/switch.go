package server

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// switchAll lets everything that is staged take its place. If one cannot, all
// is put back.
func (u *update) switchAll() error {
	if u.switched {
		return refuse("atomic: it is switched already")
	}
	u.switched = true
	err := u.sync()
	for _, st := range u.steps {
		if err == nil {
			err = u.switchOne(st)
		}
	}
	if err == nil {
		err = u.sync()
	}
	if err == nil {
		return nil
	}
	if failed := u.abort(); failed != nil {
		return refuse("%v; %v", err, failed)
	}
	return refuse("%v; everything was put back", err)
}

func (u *update) switchOne(st *step) error {
	if st.action != actInstall && st.action != actRemove {
		return nil
	}
	if err := u.s.ctx.Err(); err != nil {
		return err
	}
	d, err := u.open(st)
	if err == nil {
		defer d.close()
		err = u.replace(d, st)
	}
	if err != nil {
		return fmt.Errorf("%s: rename failed: %s", st.text, osutil.Reason(err))
	}
	return nil
}

// replace takes what is there out of the way, and puts what is staged in its
// place. A file keeps its name until the new one has it.
func (u *update) replace(d *dir, st *step) error {
	now, err := d.stat(st.name)
	switch {
	case is(err, unix.ENOENT):
	case err != nil:
		return err
	case st.action == actInstall && !isDir(now):
		second := &temp{dir: d}
		e := &entry{dir: d, name: st.name, text: st.text}
		err := second.make(e, true, func(name string) error { return d.link(d, st.name, name) })
		if err == nil {
			u.keep(st, second.name)
			break
		}
		fallthrough // a file system without hard links
	default:
		if err := u.aside(d, st); err != nil {
			return err
		}
	}
	if st.action == actRemove {
		return nil
	}
	if err := d.rename(st.temp, st.name); err != nil {
		return err
	}
	delete(u.own, spot{st.dev, st.ino, st.temp})
	st.temp, st.done = "", true
	return nil
}

// sync makes what was written durable, on every file system that has a part.
func (u *update) sync() error {
	synced := map[uint64]bool{}
	for _, st := range u.steps {
		if synced[st.dev] {
			continue
		}
		synced[st.dev] = true
		d, err := u.open(st)
		if err != nil {
			return fmt.Errorf("%s: %s", st.text, osutil.Reason(err))
		}
		err = d.syncFileSystem()
		d.close()
		if err != nil {
			return fmt.Errorf("%s: syncfs failed: %s", st.text, osutil.Reason(err))
		}
	}
	return nil
}

// aside renames what is there to a name of its own, if there is anything.
func (u *update) aside(d *dir, st *step) error {
	for range tempTries {
		old := tempName(true)
		err := unix.Renameat2(d.fd, st.name, d.fd, old, unix.RENAME_NOREPLACE)
		if is(err, unix.EINVAL) { // not on this file system; nobody foresees the name
			err = d.rename(st.name, old)
		}
		switch {
		case err == nil:
			u.keep(st, old)
			return nil
		case is(err, unix.ENOENT):
			return nil
		case !is(err, unix.EEXIST):
			return err
		}
	}
	return unix.EEXIST
}

func (u *update) keep(st *step, old string) {
	st.old, st.done = old, true
	u.own[spot{st.dev, st.ino, old}] = true
}

// commit ends the update, and removes what was replaced.
func (u *update) commit() error {
	if !u.switched {
		if err := u.switchAll(); err != nil {
			return err
		}
	}
	u.s.update = nil
	for _, st := range u.steps {
		if st.old == "" {
			continue
		}
		if err := u.forget(st); err != nil {
			told, ok := err.(*refused)
			if !ok {
				return err
			}
			u.s.errors++
			if err := u.s.note("REMOTE ERROR: %s", told.text); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget removes what a step has replaced, or gives it its name for keeping.
func (u *update) forget(st *step) error {
	d, err := u.open(st)
	if err != nil {
		return refuse("%s: what was there is left as %s: %s", st.text, st.old, osutil.Reason(err))
	}
	defer d.close()
	if st.save {
		if err := d.rename(st.old, st.name+".OLD"); err != nil {
			return refuse("%s -> %s.OLD: rename failed: %s", st.text, st.text, osutil.Reason(err))
		}
		return nil
	}
	now, err := d.stat(st.old)
	if err != nil {
		return refuse("%s: lstat failed: %s", st.text, osutil.Reason(err))
	}
	if st.action != actRemove && !isDir(now) {
		if err := d.unlink(st.old); err != nil {
			return refuse("%s: unlink failed: %s", st.text, osutil.Reason(err))
		}
		return nil
	}
	e := &entry{dir: d, borrowed: true, name: st.old, text: st.text}
	err = u.s.removeNow(e, now.Dev)
	if err != nil && st.action == actRemove {
		_ = d.rename(st.old, st.name) // what could not be removed
	}
	return err
}
