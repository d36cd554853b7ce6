package server

import (
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// symlink makes a symbolic link, or leaves one that is as wanted (reference
// 8.8). Owner, mode and time of links are not set.
func (s *session) symlink(line wire.Line) error {
	o, err := wire.ParseObject(line.Text)
	if err != nil {
		return refuse("%v", err)
	}
	options := option.Set(o.Options)
	p, err := s.place(o.Name)
	if err != nil {
		return err
	}
	if p.top {
		// The next session would take where it points to for the grant.
		return refuse("%s: what this server may write in cannot become a link", p.text)
	}
	if err := s.room(p, 0, options); err != nil {
		return err
	}
	e, err := s.entry(p, !options.Has(option.Verify))
	defer e.close()
	if err != nil && (!options.Has(option.Verify) || !is(err, unix.ENOENT)) {
		return s.notCreated(p, err)
	}
	e.text = p.text
	if err := s.ack(); err != nil {
		return err
	}
	target, err := s.linkText(p.text, o.Size)
	if err != nil {
		return err
	}
	complete, err := s.confirmed(p.text)
	if err != nil {
		return err
	}
	if !complete {
		return s.conn.Write(wire.OpError, "")
	}
	return s.makeLink(&e, target, options)
}

// linkText reads where a link points to: a line. The real client sends a text
// that has newlines as it is, and the rest would be taken for requests: the
// length tells.
func (s *session) linkText(text string, size int64) (string, error) {
	line, err := s.read()
	if err != nil {
		return "", unexpected(err)
	}
	target := line.Text
	if line.Op != 0 || target != "" {
		target = string([]byte{line.Op}) + target
	}
	if int64(len(target)) != size {
		return "", &fatal{text + ": the text of the link is not as long as announced: a newline in it?"}
	}
	return target, nil
}

func (s *session) makeLink(e *entry, target string, options option.Set) error {
	if err := wire.CheckText(target); err != nil {
		return refuse("%s: the text of the link: %v", e.text, err)
	}
	compare := options.Has(option.Compare)
	if compare && e.dir != nil {
		if now, err := e.dir.readlink(e.name); err == nil && now == target {
			return s.ack()
		}
	}
	if options.Has(option.Verify) {
		return s.linked(s.change("%s: need to update", e.text))
	}
	t, err := newTempLink(e, target, s.update != nil)
	if err != nil {
		return err
	}
	defer t.discard()
	if err := s.install(e, t, options); err != nil {
		return err
	}
	if compare {
		return s.linked(s.change("%s: updated", e.text))
	}
	s.logInstalled(e.text)
	return s.linked(s.ack())
}

// linked ends the exchange of a link that was, or should be, changed.
func (s *session) linked(err error) error {
	if err == nil {
		err = s.conn.Write(wire.OpEnd, "")
	}
	if err != nil {
		return err
	}
	return s.await("symlink")
}
