package server

import (
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// directory makes a directory, or gives one that exists its owner and mode, and
// enters it (reference 8.7, 9).
func (s *session) directory(line wire.Line) error {
	o, err := wire.ParseObject(line.Text)
	if err != nil {
		return refuse("%v", err)
	}
	p, err := s.place(o.Name)
	if err != nil {
		return err
	}
	if len(s.levels) >= maxDepth {
		return refuse("%s: too many directory levels", clip(p.text, 200))
	}
	options := option.Set(o.Options)
	if err := s.room(p, 0, options); err != nil {
		return err
	}
	d, err := s.makeDirectory(p, o, options)
	if err != nil {
		return err
	}
	s.enter(d, p)
	return s.ack()
}

// makeDirectory opens the directory, with the attributes that it is to have.
// With verify nothing is changed, and there may be none to open.
func (s *session) makeDirectory(p place, o wire.Object, options option.Set) (*dir, error) {
	verify := options.Has(option.Verify)
	e, err := s.entry(p, !verify)
	if err != nil {
		if verify && is(err, unix.ENOENT) {
			return nil, nil
		}
		return nil, notMade(p, err)
	}
	defer e.close()
	st, err := e.dir.stat(e.name)
	switch {
	case is(err, unix.ENOENT):
	case err != nil:
		return nil, refuse("%s: lstat failed: %s", p.text, osutil.Reason(err))
	case isDir(st):
		return s.existing(&e, o, options)
	case !isRegular(st) && !isLink(st):
		return nil, refuse("%s: not a plain file", p.text)
	case p.top:
		return nil, refuse("%s: it is a file that this server may write, it cannot become a directory", p.text)
	case verify:
		return nil, s.note("%s: need to remove", p.text)
	default:
		if err := s.makeWay(&e); err != nil {
			return nil, refuse("%s: unlink failed: %s", p.text, osutil.Reason(err))
		}
	}
	if verify {
		return nil, nil
	}
	return s.newDirectory(&e, o)
}

// makeWay takes away what is no directory where one is to be.
func (s *session) makeWay(e *entry) error {
	if s.update != nil {
		return s.update.putAside(e)
	}
	return e.dir.unlink(e.name)
}

func notMade(p place, err error) error {
	if told, ok := err.(*refused); ok {
		return told
	}
	return refuse("%s: mkdir failed: %s", p.text, osutil.Reason(err))
}

func (s *session) newDirectory(e *entry, o wire.Object) (*dir, error) {
	// For the owner only, until it has the mode that is wanted.
	if err := s.mkdir(e, 0o700); err != nil {
		return nil, notMade(e.at, err)
	}
	if err := s.note("%s: mkdir", e.text); err != nil {
		return nil, err
	}
	d, err := e.dir.child(e.name)
	if err != nil {
		return nil, refuse("%s: mkdir failed: %s", e.text, osutil.Reason(err))
	}
	want, err := s.attributes(e.text, o)
	if err == nil {
		err = s.apply(e.text, o, want, d.chown, d.chmod)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// existing gives a directory the attributes that differ.
func (s *session) existing(e *entry, o wire.Object, options option.Set) (*dir, error) {
	d, err := e.dir.child(e.name)
	if err != nil {
		return nil, refuse("%s: opendir failed: %s", e.text, osutil.Reason(err))
	}
	st, err := d.stat(".")
	if err != nil {
		err = refuse("%s: lstat failed: %s", e.text, osutil.Reason(err))
	}
	if err == nil {
		err = s.changeMode(d, e, st, o, options)
	}
	if err == nil {
		err = s.changeOwner(d, e, st, o, options)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// changing is told before a directory gets other attributes.
func (s *session) changing(e *entry, st unix.Stat_t) error {
	if s.update == nil {
		return nil
	}
	return s.update.changing(e, st)
}

func (s *session) changeMode(d *dir, e *entry, st unix.Stat_t, o wire.Object, options option.Set) error {
	mode, text := uint32(st.Mode&0o7777), e.text
	switch {
	case mode == o.Mode || options.Has(option.NoChkMode):
		return nil
	case options.Has(option.Verify):
		return s.note("%s: need to chmod to %o", text, o.Mode)
	}
	if err := s.changing(e, st); err != nil {
		return err
	}
	if err := d.chmod(o.Mode); err != nil {
		return s.note("%s: chmod failed: %s", text, osutil.Reason(err))
	}
	return s.note("%s: chmod from %o to %o", text, mode, o.Mode)
}

func (s *session) changeOwner(d *dir, e *entry, st unix.Stat_t, o wire.Object, options option.Set) error {
	text := e.text
	owner, group := s.names.owner(st.Uid, options), s.names.group(st.Gid, options)
	otherOwner := owner != o.Owner && !options.Has(option.NoChkOwner)
	otherGroup := group != o.Group && !options.Has(option.NoChkGroup)
	if !otherOwner && !otherGroup {
		return nil
	}
	if options.Has(option.Verify) {
		return s.note("%s: need to chown from %s.%s to %s.%s", text, bare(owner), bare(group), bare(o.Owner), bare(o.Group))
	}
	want, err := s.attributes(text, wire.Object{Owner: o.Owner, Group: o.Group})
	if err != nil {
		return err
	}
	if !otherOwner || want.uid == int(st.Uid) {
		want.uid = -1
	}
	if !otherGroup || want.gid == int(st.Gid) {
		want.gid = -1
	}
	if want.uid < 0 && want.gid < 0 {
		return nil // this account cannot, or the host does not know the names
	}
	if err := s.changing(e, st); err != nil {
		return err
	}
	if err := d.chown(want.uid, want.gid); err != nil {
		return s.notOwned(text, o, &attributes{}, err)
	}
	return s.note("%s: chown from %s.%s to %s.%s", text, bare(owner), bare(group), bare(o.Owner), bare(o.Group))
}
