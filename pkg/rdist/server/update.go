package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// maxSteps is how many changes one update may have.
const maxSteps = 1 << 18

// update is an update that is all or nothing: what was done since it began,
// and is put back unless it is committed, and what is still to be done.
type update struct {
	s        *session
	steps    []*step
	targets  map[spot]*step // of what is staged, by where it is to go
	own      map[spot]bool  // names that the update made for itself
	switched bool
	former   bool     // of a session that was killed: what others did since stays
	failures []string // of putting back, at most maxLeft
	left     bool     // something could not be put back that may be later
}

// spot is an entry of a directory, whatever the directory is called by now.
type spot struct {
	dev, ino uint64
	name     string
}

// action is what a step does.
type action int

const (
	actInstall action = iota // temp takes the place of name, when it is switched
	actRemove                // name goes aside, when it is switched
	actAside                 // name went aside at once
	actMake                  // the directory name was made
	actChange                // the directory name gets other attributes
)

// step is one change. It comes back to its directory by the way it was found,
// and only if it is still the same directory.
type step struct {
	action
	spot
	base  *dir
	route []string
	text  string // as the client knows the target

	temp string // actInstall: what is to be there
	// What temp is, by which a later session knows it again in its place; 0:
	// not known.
	tempIno  uint64
	tempTime int64
	save     bool   // actInstall: what was there becomes NAME.OLD
	old      string // what was there, out of the way
	kept     bool   // something may be there
	done     bool

	dirIno   uint64 // actChange: of the directory itself
	mode     uint32 // as they were
	uid, gid uint32

	mayMiss bool // the directory is one that the update made, or there is nothing in it but temp
}

func (s *session) newUpdate() *update {
	return &update{s: s, targets: map[spot]*step{}, own: map[spot]bool{}}
}

// spotOf names an entry for good.
func spotOf(e *entry) (spot, error) {
	st, err := e.dir.stat(".")
	return spot{st.Dev, st.Ino, e.name}, err
}

// add remembers a step for an entry.
func (u *update) add(a action, e *entry) (*step, error) {
	switch {
	case u.switched:
		return nil, refuse("%s: the update is not committed yet", e.text)
	case len(u.steps) >= maxSteps:
		return nil, refuse("%s: the update has more than %d changes", e.text, maxSteps)
	}
	at, err := spotOf(e)
	if err != nil {
		return nil, err
	}
	st := &step{action: a, spot: at, base: e.at.base, route: e.at.routeToDir(), text: e.text}
	u.steps = append(u.steps, st)
	return st, nil
}

// stage takes over a complete temporary file or link.
func (u *update) stage(e *entry, t *temp, save bool) error {
	at, err := spotOf(e)
	if err != nil {
		return refuse("%s: lstat failed: %s", e.text, osutil.Reason(err))
	}
	staged, err := e.dir.stat(t.name)
	if err != nil {
		return refuse("%s: lstat failed: %s", t.text, osutil.Reason(err))
	}
	st := u.targets[at]
	if st == nil || u.switched {
		if st, err = u.add(actInstall, e); err != nil {
			return err
		}
		u.targets[at] = st
	} else { // the target comes once more
		delete(u.own, spot{at.dev, at.ino, st.temp})
		_ = e.dir.unlink(st.temp)
	}
	st.tempIno, st.tempTime = staged.Ino, staged.Mtim.Sec
	st.temp, st.save = t.name, save
	u.own[spot{at.dev, at.ino, t.name}] = true
	t.name = ""
	return nil
}

// remove is for what the client wants removed.
func (u *update) remove(e *entry, st unix.Stat_t) error {
	if !isRegular(st) && !isLink(st) && !isDir(st) {
		return refuse("%s: not a plain file", e.text)
	}
	_, err := u.add(actRemove, e)
	return err
}

// putAside takes away what a directory is to take the place of.
func (u *update) putAside(e *entry) error {
	st, err := u.add(actAside, e)
	if err != nil {
		return err
	}
	st.old = keepName()
	u.own[spot{st.dev, st.ino, st.old}] = true
	if err := u.s.writeDownEntry(&record{op: recAside, name: e.name, old: st.old}, e); err != nil {
		return err
	}
	if err := u.s.syncJournal(); err != nil {
		return err
	}
	return u.aside(e.dir, st)
}

// made remembers a directory that was just made.
func (u *update) made(e *entry) error {
	st, err := u.add(actMake, e)
	if err != nil {
		_ = e.dir.rmdir(e.name)
		return err
	}
	st.done = true
	return nil
}

// changing remembers what a directory is like before it is changed.
func (u *update) changing(e *entry, now unix.Stat_t) error {
	st, err := u.add(actChange, e)
	if err != nil {
		return err
	}
	st.dirIno, st.mode, st.uid, st.gid, st.done = now.Ino, now.Mode&0o7777, now.Uid, now.Gid, true
	if err := u.s.writeDownEntry(st.record(), e); err != nil {
		return refuse("%s: it cannot be written down how it was: %s", e.text, osutil.Reason(err))
	}
	return nil
}

// current is the name of what will be at an entry.
func (u *update) current(e *entry) string {
	if at, err := spotOf(e); err == nil {
		if st := u.targets[at]; st != nil && !u.switched {
			return st.temp
		}
	}
	return e.name
}

// owns reports whether an entry is one that the update made for itself.
func (u *update) owns(e *entry) bool {
	at, err := spotOf(e)
	return err == nil && u.own[at]
}

// errMoved says that a step's directory is not where it was: for good.
var errMoved = errors.New("its directory was moved meanwhile")

// open comes back to the directory of a step.
func (u *update) open(st *step) (*dir, error) {
	e, err := u.s.nearest(place{from: st.base, names: st.route, text: st.text})
	if err != nil {
		return nil, err
	}
	if e.borrowed { // the root's own
		e.dir, err = e.dir.child(".")
		if err != nil {
			return nil, err
		}
	}
	now, err := e.dir.stat(".")
	if err == nil && st.dev == 0 { // of a journal: disks get other numbers when a host starts
		st.dev = now.Dev
	}
	if err != nil || now.Ino != st.ino || now.Dev != st.dev {
		e.dir.close()
		return nil, errMoved
	}
	return e.dir, nil
}
