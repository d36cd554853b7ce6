package server

import (
	"strings"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// atomic is the client's word about an update that is all or nothing.
func (s *session) atomic(verb string) error {
	if verb != wire.AtomicBegin && s.update == nil {
		return refuse("atomic: no update has begun")
	}
	var err error
	switch verb {
	case wire.AtomicBegin:
		if s.update != nil {
			return refuse("atomic: an update has begun already")
		}
		if _, err := s.openJournal(); err != nil {
			if err := s.note("there is no journal of this update: if this host, or the server, breaks down in it, some files may be new and some old: %s", osutil.Reason(err)); err != nil {
				return err
			}
		}
		s.update = s.newUpdate()
	case wire.AtomicSwitch:
		err = s.update.switchAll()
	case wire.AtomicCommit:
		err = s.update.commit()
	case wire.AtomicAbort:
		if err = s.update.abort(); err != nil {
			err = refuse("atomic: %v", err)
		}
	default:
		return refuse("atomic: unknown command '%s'", clip(verb, 40))
	}
	if err != nil {
		return err
	}
	s.log(message.Change, "atomic "+verb)
	return s.ack()
}

// abandon puts back what an update did that the session ends without a word
// about.
func (s *session) abandon() {
	if s.update != nil {
		_ = s.update.abort() // the failures are logged
	}
}

// atomicVerb is what follows the word in a line of an update.
func atomicVerb(value string) (string, bool) {
	return strings.CutPrefix(value, wire.ExtAtomic+" ")
}
