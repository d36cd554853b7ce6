package server

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// directoryListed is directory, and tells what is in it.
func (s *session) directoryListed(line wire.Line) error {
	if err := s.directory(line); err != nil {
		return err
	}
	return s.list(s.levels[len(s.levels)-1].from)
}

// listing tells what is in a directory, which is not entered. Why it cannot be
// told turns out when it is.
func (s *session) listing(line wire.Line) error {
	p, err := s.place(line.Text)
	if err != nil {
		return err
	}
	e, err := s.entry(p, false)
	if err != nil {
		return s.conn.Write(wire.OpNo, "")
	}
	defer e.close()
	d, err := e.dir.child(e.name)
	if err != nil {
		return s.conn.Write(wire.OpNo, "")
	}
	defer d.close()
	return s.list(d)
}

// notListed are options that have a query answered by something else than what
// is there.
const notListed = option.ChkNFS | option.ChkReadonly | option.ChkSym

// list sends what queries for all entries of a directory would be answered, in
// the order of names. What cannot be told so is left to queries: single
// entries, or all of them.
func (s *session) list(in *dir) error {
	if s.options&notListed != 0 || s.update != nil {
		return s.conn.Write(wire.OpNo, "")
	}
	if in == nil { // verify did not make it
		return s.conn.Write(wire.OpEnd, "")
	}
	names, err := in.names()
	if err != nil || len(names) > wire.MaxListed {
		return s.conn.Write(wire.OpNo, "")
	}
	slices.Sort(names)
	octets := 0
	for _, name := range names {
		if isJournal(name) { // it is no concern of a client's, and clean leaves it out too
			continue
		}
		if wire.CheckText(name) != nil {
			return s.conn.Write(wire.OpNo, "")
		}
		line, ok := s.listed(in, name)
		if !ok {
			continue
		}
		if octets += len(line.Text) + 2; octets > wire.MaxListedOctets {
			return s.conn.Write(wire.OpNo, "")
		}
		if err := s.conn.Write(line.Op, line.Text); err != nil {
			return err
		}
	}
	return s.conn.Write(wire.OpEnd, "")
}

// listed is the line for one entry; false: it is gone.
func (s *session) listed(in *dir, name string) (wire.Line, bool) {
	st, err := in.stat(name)
	switch {
	case is(err, unix.ENOENT):
		return wire.Line{}, false
	case err != nil, !isRegular(st) && !isDir(st) && !isLink(st):
		return wire.Line{Op: wire.OpQuery, Text: name}, true
	}
	op := byte(wire.OpYes)
	if isDir(st) {
		op = wire.OpDirectory
	}
	return wire.Line{Op: op, Text: wire.ListedText(s.existingOf(st), name)}, true
}

// existingOf is what a query tells of an entry.
func (s *session) existingOf(st unix.Stat_t) wire.Existing {
	return wire.Existing{
		Known: true,
		Size:  st.Size,
		MTime: st.Mtim.Sec,
		Mode:  st.Mode & 0o7777,
		Owner: s.names.owner(st.Uid, s.options),
		Group: s.names.group(st.Gid, s.options),
	}
}
