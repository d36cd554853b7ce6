package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// hardLink gives a file that is here already one more name (reference 8.9).
func (s *session) hardLink(line wire.Line) error {
	t, err := wire.ParseHardLink(line.Text)
	if err != nil {
		return refuse("%v", err)
	}
	p, err := s.place(t.Name)
	if err != nil {
		return err
	}
	from, err := s.locate(t.Old)
	if err != nil {
		return err
	}
	if p.top {
		return refuse("%s: what this server may write in cannot become a link", p.text)
	}
	if option.Set(t.Options).Has(option.Verify) {
		return s.change("%s: need to update", p.text)
	}
	e, err := s.entry(p, true)
	if err != nil {
		return s.notCreated(p, err)
	}
	defer e.close()
	if st, err := e.dir.stat(e.name); err == nil && !isRegular(st) && !isLink(st) {
		return refuse("%s: not a regular file", p.text)
	}
	old, err := s.entry(from, false)
	if err == nil {
		defer old.close()
		err = s.linkTo(&e, &old, option.Set(t.Options))
	}
	var told *refused
	if err != nil && !errors.As(err, &told) {
		err = refuse("%s: cannot link to %s: %s", p.text, from.text, osutil.Reason(err))
	}
	if err != nil {
		return err
	}
	s.log(message.Change, p.text+": linked to "+from.text)
	return s.ack()
}

// linkTo makes the name by way of a temporary one, so that the target is never
// missing. Errors of the system come as they are.
func (s *session) linkTo(e, old *entry, o option.Set) error {
	source := old.name
	if s.update != nil {
		source = s.update.current(old)
	}
	st, err := old.dir.stat(source)
	if err != nil {
		return err
	}
	if !isRegular(st) && !isLink(st) {
		return errors.New("not a regular file")
	}
	if now, err := e.dir.stat(e.name); err == nil && now.Ino == st.Ino && now.Dev == st.Dev {
		return nil // the rename of a file onto itself would leave both names
	}
	t := &temp{dir: e.dir}
	if err := t.make(e, s.update != nil, func(name string) error { return e.dir.link(old.dir, source, name) }); err != nil {
		return err
	}
	defer t.discard()
	if now, err := e.dir.stat(t.name); err != nil || now.Mode&unix.S_IFMT != st.Mode&unix.S_IFMT {
		return errors.New("it changed meanwhile")
	}
	return s.install(e, t, o)
}
