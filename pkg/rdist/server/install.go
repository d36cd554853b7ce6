package server

import (
	"crypto/rand"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// install lets a complete temporary file or link take its place: until the
// rename there is what was there before, and from then on all of the new.
func (s *session) install(e *entry, t *temp, o option.Set) error {
	if s.update != nil {
		return s.update.stage(e, t, t.file != nil && o.Has(option.SaveTargets))
	}
	if t.file != nil && o.Has(option.SaveTargets) {
		if err := e.save(); err != nil {
			return err
		}
	}
	err := t.place(e.name)
	if is(err, unix.EISDIR) {
		if err := s.remove(e); err != nil {
			return err
		}
		err = t.place(e.name)
	}
	if err != nil {
		return refuse("%s -> %s: rename failed: %s", t.text, e.text, osutil.Reason(err))
	}
	return nil
}

// save keeps what is there as NAME.OLD. A file has both names until the new
// one takes its place.
func (e *entry) save() error {
	old := e.name + ".OLD"
	st, err := e.dir.stat(e.name)
	switch {
	case is(err, unix.ENOENT):
		return nil
	case err != nil:
		return refuse("%s: lstat failed: %s", e.text, osutil.Reason(err))
	case isDir(st):
		if err := e.dir.rename(e.name, old); err != nil {
			return refuse("%s -> %s.OLD: rename failed: %s", e.text, e.text, osutil.Reason(err))
		}
		return nil
	}
	second := &temp{dir: e.dir}
	err = second.make(e, false, func(name string) error { return e.dir.link(e.dir, e.name, name) })
	if err == nil {
		defer second.discard() // two names of one file cannot be renamed to each other
		err = e.dir.rename(second.name, old)
	} else { // a file system without hard links
		err = e.dir.rename(e.name, old)
	}
	if err != nil {
		return refuse("%s -> %s.OLD: rename failed: %s", e.text, e.text, osutil.Reason(err))
	}
	return nil
}

// temp is a file, or a link, that is to take the place of another.
type temp struct {
	dir  *dir // the one of the entry that it is for
	name string
	text string
	file *newFile // nil for links
}

// The random letters of temporary names, and of names for keeping what a switch
// replaces, which are all chosen before the first is used.
const (
	tempRandom = 6
	keepRandom = 16
)

// tempName is a name that nobody can foresee. Those that stay for longer are
// hidden from programs that read all of a directory.
func tempName(hidden bool) string {
	name := "rdist" + rand.Text()[:tempRandom]
	if hidden {
		return "." + name
	}
	return name
}

func keepName() string { return ".rdist" + rand.Text()[:keepRandom] }

// tempTries is how many names are tried if others have them.
const tempTries = 100

// newTemp makes an empty file beside an entry, for its owner only.
func newTemp(e *entry, hidden bool) (*temp, error) {
	t := &temp{dir: e.dir}
	err := t.make(e, hidden, func(name string) (err error) {
		t.file, err = e.dir.createNew(name)
		return err
	})
	if err != nil {
		return nil, refuse("%s: create failed: %s", t.text, osutil.Reason(err))
	}
	return t, nil
}

// newTempLink makes a symbolic link beside an entry.
func newTempLink(e *entry, target string, hidden bool) (*temp, error) {
	t := &temp{dir: e.dir}
	if err := t.make(e, hidden, func(name string) error { return e.dir.symlink(target, name) }); err != nil {
		return nil, refuse("%s: symlink failed: %s", t.text, osutil.Reason(err))
	}
	return t, nil
}

func (t *temp) make(e *entry, hidden bool, try func(name string) error) (err error) {
	for range tempTries {
		name := tempName(hidden)
		t.text = e.beside(name)
		// Without it, and with all that can go wrong in writing it, only what
		// a kill leaves is not found.
		noted := e.s != nil && e.s.writeDownEntry(&record{op: recTemp, temp: name}, e) == nil
		if err = try(name); err == nil {
			t.name = name
			return nil
		}
		if noted {
			e.s.cancel()
		}
		if !is(err, unix.EEXIST) {
			break
		}
	}
	return err
}

// discard removes what was not installed. It does nothing after place.
func (t *temp) discard() {
	if t == nil {
		return
	}
	if t.file != nil {
		_ = t.file.Close()
	}
	if t.name != "" {
		_ = t.dir.unlink(t.name)
	}
}

// place renames to the final name.
func (t *temp) place(name string) error {
	err := t.dir.rename(t.name, name)
	if err == nil {
		t.name = ""
	}
	return err
}
