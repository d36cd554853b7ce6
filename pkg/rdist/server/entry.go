package server

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// place is a name that the client gave, as the way to it.
type place struct {
	from  *dir     // where the way begins; nil: a directory that verify did not make
	names []string // from there
	text  string   // the name as the client knows it
	top   bool     // it is a granted root itself

	// base is the root's directory, and route the way from it to from, for
	// who comes back to the place later.
	base  *dir
	route []string
}

// whole is the way from base to the place itself.
func (p *place) whole() []string { return slices.Concat(p.route, p.names) }

// entry is a place whose directory is open.
type entry struct {
	s        *session // that writes down what it makes; nil: it makes nothing
	dir      *dir
	borrowed bool // dir is the session's
	name     string
	text     string
	top      bool
	at       place // by which it was found
}

func (e *entry) close() {
	if !e.borrowed {
		e.dir.close()
	}
}

// beside is the text for another name in the same directory.
func (e *entry) beside(name string) string {
	if i := strings.LastIndexByte(e.text, '/'); i >= 0 {
		return e.text[:i+1] + name
	}
	return name
}

// entry opens the directory that a place is in. No link is followed on the
// way. With build, directories that are missing are made, as mkdir would.
func (s *session) entry(p place, build bool) (entry, error) {
	e := entry{s: s, dir: p.from, borrowed: true, name: ".", text: p.text, top: p.top, at: p}
	if p.from == nil {
		return e, unix.ENOENT
	}
	for i, name := range p.names {
		if i == len(p.names)-1 {
			e.name = name
			return e, nil
		}
		next, err := e.dir.child(name)
		if build && err == unix.ENOENT {
			next, err = s.makeParent(&e, name, p.upTo(i+1), p.names[:i+1])
		}
		if err != nil {
			err = p.onTheWay(e.dir, i, err)
			e.close()
			return entry{}, err
		}
		e.close()
		e.dir, e.borrowed = next, false
	}
	return e, nil
}

// makeParent makes a directory on the way; names is the way to it.
func (s *session) makeParent(in *entry, name, text string, names []string) (*dir, error) {
	e := entry{dir: in.dir, borrowed: true, name: name, text: text, at: in.at}
	e.at.names = names
	if err := s.mkdir(&e, 0o777); err != nil {
		return nil, err
	}
	if err := s.note("%s: mkdir", text); err != nil {
		return nil, err
	}
	return e.dir.child(name)
}

// mkdir makes a directory; an update that is all or nothing remembers it.
func (s *session) mkdir(e *entry, mode uint32) error {
	if s.update == nil {
		return e.dir.mkdir(e.name, mode)
	}
	if err := s.writeDownEntry(&record{op: recMake, name: e.name}, e); err != nil {
		return err
	}
	if err := e.dir.mkdir(e.name, mode); err != nil {
		s.cancel()
		return err
	}
	return s.update.made(e)
}

// onTheWay explains why the directory names[i] of in could not be opened.
func (p place) onTheWay(in *dir, i int, err error) error {
	if is(err, unix.ENOTDIR) || is(err, unix.ELOOP) {
		if st, failed := in.stat(p.names[i]); failed == nil && isLink(st) {
			return refuse("%s: %s is a symbolic link, and those on the way to a target are not followed: "+
				"name the directory that it points to as the destination", p.text, p.upTo(i+1))
		}
	}
	return err
}

// upTo is the text of the first n names.
func (p place) upTo(n int) string {
	text := p.text
	for range len(p.names) - n {
		text = trimSlashes(text)
		i := strings.LastIndexByte(text, '/')
		if i < 0 {
			return "/" + strings.Join(p.names[:n], "/")
		}
		text = text[:i]
	}
	return trimSlashes(text)
}

// trimSlashes drops what does not name anything from the end of a name.
func trimSlashes(text string) string {
	for strings.HasSuffix(text, "/") || strings.HasSuffix(text, "/.") {
		text = text[:strings.LastIndexByte(text, '/')]
	}
	return text
}

// nearest opens the directory that a place is, or the nearest above it that
// exists.
func (s *session) nearest(p place) (entry, error) {
	e := entry{dir: p.from, borrowed: true, text: p.text}
	if p.from == nil {
		return e, unix.ENOENT
	}
	for _, name := range p.names {
		next, err := e.dir.child(name)
		if err != nil {
			break
		}
		e.close()
		e.dir, e.borrowed = next, false
	}
	return e, nil
}

// place finds the object that a request is about: the target itself, or what
// is below the directory that the client is in (reference 8.5).
func (s *session) place(name string) (place, error) {
	if s.target == nil {
		return place{}, refuse("server: there is no target")
	}
	if len(s.levels) == 0 {
		return *s.target, nil
	}
	in := s.levels[len(s.levels)-1]
	names, err := below(name)
	if err != nil {
		return place{}, refuse("%s: %v", in.text+"/"+name, err)
	}
	p := place{from: in.from, names: slices.Concat(in.names, names), text: in.text + "/" + name, base: in.base, route: in.route}
	switch {
	case len(p.text) > maxPath:
		return place{}, refuse("%s: %s", clip(p.text, 200), osutil.Reason(unix.ENAMETOOLONG))
	case slices.ContainsFunc(names, isJournal):
		return place{}, errReserved(p.text)
	}
	return p, nil
}

// errReserved refuses names that the server has for itself: the next session
// would do what a journal says.
func errReserved(text string) error {
	return refuse("%s: names that begin with %s are krdistd's own: except them", clip(text, 200), journalName)
}

// below takes a name apart that must stay below the directory it is used in.
func below(name string) ([]string, error) {
	names := components(name)
	switch {
	case strings.HasPrefix(name, "/"):
		return nil, errAbsolute
	case len(names) == 0:
		return nil, errNoName
	case slices.Contains(names, ".."):
		return nil, errDotDot
	}
	return names, nil
}
