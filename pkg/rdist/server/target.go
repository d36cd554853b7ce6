package server

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

var (
	errAbsolute = errors.New("an absolute name is not taken here")
	errNoName   = errors.New("the name is empty")
	errDotDot   = errors.New(`".." is not taken in names`)
)

// level is a directory that the client is in.
type level struct {
	place
	opened bool // from is the directory itself, to be closed with the level
}

// setTarget begins with another object (reference 8.5). Whether it can be
// written turns out with what is to be done.
func (s *session) setTarget(line wire.Line) error {
	t, err := wire.ParseTarget(line.Text)
	if err != nil {
		return refuse("%v", err)
	}
	s.leaveAll()
	s.target = nil
	p, err := s.locate(t.Name)
	if err != nil {
		return err
	}
	s.options = option.Set(t.Options)
	s.target = &p
	if line.Op == wire.OpTargetDir {
		s.levels = append(s.levels, level{place: p})
	}
	// Not before: here a client of any kind takes notes.
	for ; len(s.recovered) > 0; s.recovered = s.recovered[1:] {
		if err := s.note("%s", s.recovered[0]); err != nil {
			return err
		}
	}
	return s.ack()
}

// locate finds a name that is not below a target.
func (s *session) locate(name string) (place, error) {
	text, err := s.expand(name)
	if err != nil {
		return place{}, err
	}
	names := components(text)
	switch {
	case text == "":
		return place{}, refuse("settarget: %v", errNoName)
	case slices.Contains(names, ".."):
		return place{}, refuse("%s: %v", text, errDotDot)
	case len(text) > maxPath:
		return place{}, refuse("%s: %s", clip(text, 200), osutil.Reason(unix.ENAMETOOLONG))
	case slices.ContainsFunc(names, isJournal):
		return place{}, errReserved(text)
	case !strings.HasPrefix(text, "/"):
		names = slices.Concat(s.home, names)
	case len(names) >= len(s.homeAlias) && slices.Equal(names[:len(s.homeAlias)], s.homeAlias):
		names = slices.Concat(s.home, names[len(s.homeAlias):])
	}
	r, way := find(s.roots, names)
	if r == nil {
		return place{}, refuse("%s: it is not in what this server may write for %s (%s)", text, s.o.Account.Name, s.grants())
	}
	return place{from: r.from, names: way, text: text, top: len(way) <= len(r.prefix), base: r.from}, nil
}

func (s *session) grants() string {
	if len(s.o.Roots) == 0 {
		return "nothing is granted"
	}
	return "granted: " + clip(strings.Join(s.o.Roots, " "), 500)
}

// expand replaces a leading ~ by the home directory of the account, or of the
// user that is named.
func (s *session) expand(name string) (string, error) {
	if !strings.HasPrefix(name, "~") {
		return name, nil
	}
	user, rest, _ := strings.Cut(name[1:], "/")
	home := s.o.Account.Home
	if user != "" {
		var ok bool
		if home, ok = s.names.home(user); !ok {
			return "", refuse("%s: unknown user name", user)
		}
	}
	if len(name) == len(user)+1 {
		return home, nil
	}
	return home + "/" + rest, nil
}

// findHome resolves the account's home directory, once, as the roots are.
func (s *session) findHome() {
	home := filepath.Clean("/" + s.o.Account.Home)
	s.homeAlias = components(home)
	s.home = withoutLinks(home)
}

// withoutLinks takes an absolute name apart once its links are resolved. One
// that does not exist stays as it is.
func withoutLinks(name string) []string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	return components(name)
}

// leave ends the innermost directory.
func (s *session) leave() {
	last := len(s.levels) - 1
	if s.levels[last].opened {
		s.levels[last].from.close()
	}
	s.levels = s.levels[:last]
}

func (s *session) leaveAll() {
	for len(s.levels) > 0 {
		s.leave()
	}
}

// enter makes a directory the one that following names are in; nil stands for
// one that is only said to be missing.
func (s *session) enter(d *dir, p place) {
	s.levels = append(s.levels, level{place: place{from: d, text: p.text, base: p.base, route: p.whole()}, opened: d != nil})
}

// end is the client's end of a directory.
func (s *session) end(wire.Line) error {
	if len(s.levels) == 0 || len(s.levels) == 1 && !s.levels[0].opened && s.levels[0].from != nil {
		return refuse("server: too many 'E's")
	}
	s.leave()
	return s.ack()
}

// query answers what there is at a name (reference 8.5).
func (s *session) query(line wire.Line) error {
	p, err := s.place(line.Text)
	if err != nil {
		return err
	}
	answer, err := s.fileSystemAnswer(p)
	if err != nil || answer != 0 {
		return s.answer(answer, err)
	}
	e, err := s.entry(p, false)
	if err != nil {
		return s.absent(p, err)
	}
	defer e.close()
	st, err := e.dir.stat(e.name)
	switch {
	case err != nil:
		return s.absent(p, err)
	case isLink(st) && s.options.Has(option.ChkSym):
		return s.conn.Write(wire.OpIsLink, "")
	case !isRegular(st) && !isDir(st) && !isLink(st):
		return refuse("%s: not a file or directory", p.text)
	}
	return s.conn.Write(wire.OpYes, s.existingOf(st).String())
}

func (s *session) answer(op byte, err error) error {
	if err != nil {
		return err
	}
	return s.conn.Write(op, "")
}

// absent answers a query that found nothing, or could not look.
func (s *session) absent(p place, err error) error {
	var told *refused
	switch {
	case is(err, unix.ENOENT):
		return s.conn.Write(wire.OpNo, "")
	case errors.As(err, &told):
		return err
	}
	return refuse("%s: lstat failed: %s", p.text, osutil.Reason(err))
}
