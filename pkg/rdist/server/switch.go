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
	err := u.sync(false)
	if err == nil {
		err = u.plan()
	}
	for _, st := range u.steps {
		if err == nil {
			err = u.switchOne(st)
		}
	}
	if err == nil {
		err = u.sync(false)
	}
	if err == nil {
		return nil
	}
	return u.fail(err)
}

// fail puts everything back, and gives the error that says why.
func (u *update) fail(err error) error {
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
		err := d.link(d, st.name, st.old)
		if err == nil {
			st.kept = true
			break
		}
		if is(err, unix.EEXIST) {
			return err
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
	st.done = true
	return nil
}

// sync makes what was written durable, on every file system that has a part.
// With found, directories that are not where they were are left out.
func (u *update) sync(found bool) error {
	synced := map[uint64]bool{}
	for _, st := range u.steps {
		if synced[st.dev] {
			continue
		}
		d, err := u.open(st)
		if err == errMoved && found {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %s", st.text, osutil.Reason(err))
		}
		synced[st.dev] = true
		err = d.syncFileSystem()
		d.close()
		if err != nil {
			return fmt.Errorf("%s: syncfs failed: %s", st.text, osutil.Reason(err))
		}
	}
	return nil
}

// aside renames what is there to the step's name for it, if there is anything.
func (u *update) aside(d *dir, st *step) error {
	err := d.renameNew(st.name, st.old)
	if is(err, unix.ENOENT) {
		return nil
	}
	st.kept = err == nil
	return err
}

// commit ends the update, and removes what was replaced.
func (u *update) commit() error {
	if !u.switched {
		if err := u.switchAll(); err != nil {
			return err
		}
	}
	if err := u.s.markJournal(recCommitted); err != nil {
		return u.fail(fmt.Errorf("the journal cannot be written: %s", osutil.Reason(err)))
	}
	u.s.update = nil
	return u.forgetAll()
}

// forgetAll removes what the update has replaced. What could not be removed is
// told, and then of no more concern.
func (u *update) forgetAll() error {
	for _, st := range u.steps {
		if st.old == "" {
			continue
		}
		if err := u.forget(st); err != nil {
			told, ok := err.(*refused)
			if ok {
				u.s.errors++
				err = u.s.note("REMOTE ERROR: %s", told.text)
			}
			if err != nil {
				u.s.closeJournal(true) // the next session goes on with it
				u.left = true
				return err
			}
		}
	}
	if err := u.sync(true); err != nil {
		u.left = true // the next session looks once more
	}
	u.s.closeJournal(u.left)
	return nil
}

// forget removes what a step has replaced, or gives it its name for keeping.
func (u *update) forget(st *step) error {
	d, err := u.open(st)
	if err == errMoved && st.mayMiss {
		return nil
	}
	if err != nil {
		return refuse("%s: what was there is left as %s: %s", st.text, st.old, osutil.Reason(err))
	}
	defer d.close()
	now, err := d.stat(st.old)
	switch {
	case is(err, unix.ENOENT):
		return nil // there was nothing, or it is done
	case err != nil:
		return refuse("%s: lstat failed: %s", st.text, osutil.Reason(err))
	}
	if st.save {
		if err := d.rename(st.old, st.name+".OLD"); err != nil {
			return refuse("%s -> %s.OLD: rename failed: %s", st.text, st.text, osutil.Reason(err))
		}
		return nil
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
