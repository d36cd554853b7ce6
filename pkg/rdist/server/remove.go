package server

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// remove takes an entry away, a directory with all that is in it, deepest
// first (reference 9). The client is told of each. What cannot be removed stays,
// with the directories it is in: the error is the first such, the others are
// notes.
func (s *session) remove(e *entry) error {
	st, err := e.dir.stat(e.name)
	if err != nil {
		if is(err, unix.ENOENT) {
			return nil
		}
		return refuse("%s: lstat failed: %s", e.text, osutil.Reason(err))
	}
	if e.top {
		return refuse("%s: what this server may write in is not removed itself", e.text)
	}
	if s.update != nil {
		return s.update.remove(e, st)
	}
	return s.removeNow(e, st.Dev)
}

// removeNow removes an entry of a file system.
func (s *session) removeNow(e *entry, device uint64) error {
	r := &removal{session: s, device: device}
	if err := r.entry(e.dir, e.name, e.text, 0); err != nil {
		return err
	}
	if len(r.left) == 0 {
		return nil
	}
	for _, text := range r.left[1:] {
		if err := s.note("%s", text); err != nil {
			return err
		}
	}
	return refuse("%s", r.left[0])
}

// removal is the removal of one entry with all below it.
type removal struct {
	*session
	device uint64   // other file systems are not entered
	left   []string // why something was not removed, at most maxLeft
}

const maxLeft = 100

// keep remembers why something was not removed.
func (r *removal) keep(text, why string) error {
	if len(r.left) < maxLeft {
		r.left = append(r.left, text+": "+why)
	}
	return nil
}

// entry removes one. Its error is one that ends the session.
func (r *removal) entry(in *dir, name, text string, depth int) error {
	st, err := in.stat(name)
	switch {
	case is(err, unix.ENOENT):
		return nil // somebody else was faster
	case err != nil:
		return r.keep(text, "lstat failed: "+osutil.Reason(err))
	case isDir(st):
		return r.directory(in, name, text, depth)
	case !isRegular(st) && !isLink(st):
		return r.keep(text, "not a plain file")
	}
	if err := in.unlink(name); err != nil {
		return r.keep(text, "unlink failed: "+osutil.Reason(err))
	}
	return r.note("%s: removed", text)
}

func (r *removal) directory(in *dir, name, text string, depth int) error {
	if depth >= maxDepth {
		return r.keep(text, "too many directory levels")
	}
	d, err := in.child(name)
	if err != nil {
		return r.keep(text, "opendir failed: "+osutil.Reason(err))
	}
	defer d.close()
	st, err := d.stat(".")
	if err == nil && st.Dev != r.device {
		return r.keep(text, "another file system is mounted here")
	}
	all, err := d.names()
	if err != nil {
		return r.keep(text, "opendir failed: "+osutil.Reason(err))
	}
	slices.Sort(all)
	for _, each := range all {
		if err := r.entry(d, each, text+"/"+each, depth+1); err != nil {
			return err
		}
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := in.rmdir(name); err != nil {
		if len(r.left) > 0 && is(err, unix.ENOTEMPTY) {
			return nil // told already why
		}
		return r.keep(text, "rmdir failed: "+osutil.Reason(err))
	}
	return r.note("%s: removed", text)
}
