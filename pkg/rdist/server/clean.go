package server

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// clean asks the client for each entry of the directory it is in whether it is
// to be removed (reference 8.7).
func (s *session) clean(line wire.Line) error {
	number, err := strconv.ParseUint(line.Text, 8, 32)
	if err != nil {
		return refuse("clean: options not delimited")
	}
	if len(s.levels) == 0 {
		return refuse("clean: there is no directory")
	}
	in := s.levels[len(s.levels)-1]
	if !in.opened {
		return refuse("%s: opendir failed: %s", in.text, osutil.Reason(unix.ENOENT))
	}
	all, err := in.from.names()
	if err != nil {
		return refuse("%s: opendir failed: %s", in.text, osutil.Reason(err))
	}
	slices.Sort(all)
	if s.hooks.arrange != nil {
		s.hooks.arrange(in.text, all)
	}
	if err := s.ack(); err != nil {
		return err
	}
	for len(all) > 0 {
		some := all[:s.questions(all)]
		all = all[len(some):]
		if err := s.cleanEntries(in, some, option.Set(number)); err != nil {
			return err
		}
	}
	if err := s.conn.Write(wire.OpEnd, ""); err != nil {
		return err
	}
	return s.await("clean")
}

// questions is for how many of the names the client is asked before its answers
// are read.
func (s *session) questions(names []string) int {
	if !s.extends(wire.ExtAhead) {
		return 1
	}
	names = names[:min(len(names), wire.MaxQuestions)]
	octets := 0
	for i, name := range names {
		if octets += len(name) + 2; octets > wire.MaxQuestionsOctets {
			return max(i, 1)
		}
	}
	return len(names)
}

// cleanEntries asks for some entries, and removes those that are to go.
func (s *session) cleanEntries(in level, names []string, o option.Set) error {
	asked := make([]*entry, 0, len(names))
	for _, name := range names {
		e := &entry{dir: in.from, borrowed: true, name: name, text: in.text + "/" + name, at: in.place}
		e.at.names = []string{name}
		if isJournal(name) || s.update != nil && s.update.owns(e) {
			continue
		}
		if err := wire.CheckText(name); err != nil {
			if err := s.note("%s: it is kept, the name cannot be sent: %v", e.text, err); err != nil {
				return err
			}
			continue
		}
		if err := s.conn.Write(wire.OpQuery, name); err != nil {
			return err
		}
		asked = append(asked, e)
	}
	for _, e := range asked {
		if err := s.cleanEntry(e, o); err != nil {
			return err
		}
	}
	return nil
}

// cleanEntry does what the client answers for an entry.
func (s *session) cleanEntry(e *entry, o option.Set) error {
	line, err := s.read()
	switch {
	case err != nil:
		return unexpected(err)
	case line.Op == wire.OpNo && line.Text == "":
		return nil
	case line.Op == wire.OpFatal:
		return errEnd
	case line.Op == wire.OpError:
		s.log(message.NError, e.text+": the client: "+line.Text)
		return nil
	case line.Op != wire.OpYes || line.Text != "":
		return errStep("clean", line)
	}
	if o.Has(option.Verify) {
		return s.change("%s: need to remove", e.text)
	}
	return s.notRemoved(s.remove(e))
}

// notRemoved tells that an entry stays. The real client stops listening at an
// error here, and is then out of step with the server: it gets a note.
func (s *session) notRemoved(err error) error {
	told, ok := err.(*refused)
	switch {
	case !ok:
		return err
	case s.ours:
		return s.fail(err)
	}
	s.errors++
	return s.note("REMOTE ERROR: %s", told.text)
}
