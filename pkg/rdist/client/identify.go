package client

import (
	"slices"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

const maxSurplus = 16

// identify asks for our extensions. A server that does not know them says so
// in a note, which is kept quiet.
//
// With resync it also gets the session back in step after an error behind which
// nobody can tell what comes: rdistd 6.1.5 sends an acknowledgement behind some
// errors (8.6, recorded as 65), and E, to which it waits for an answer, behind
// others (8.8). Both stand before the note, which nothing else causes.
func (s *session) identify(resync bool) error {
	question := string(byte(wire.ConfigExtension)) + strings.Join(s.wanted(), ",")
	if err := s.send(wire.OpConfig, question); err != nil {
		return err
	}
	s.granted = nil
	told, repeated := false, false
	for range maxSurplus {
		l, err := s.read()
		if err != nil {
			return err
		}
		switch {
		case l.Op == wire.OpNote && s.identified(l.Text):
			told = true
		case l.Op == wire.OpNote:
			s.report.note(l.Text)
		case l.Op == wire.OpFatal:
			return s.fatal(l.Text)
		case l.Op == wire.OpAck && (told || !resync):
			s.asked = true
			return nil
		case l.Op == wire.OpAck:
		case l.Op == wire.OpEnd && resync && !told && !repeated:
			// It has taken the question for the answer to this.
			repeated = true
			if err := s.send(wire.OpConfig, question); err != nil {
				return err
			}
		case l.Op == wire.OpError && resync && !told:
			if !strings.Contains(l.Text, question) { // or it has told of that answer
				s.report.serverError(l.Text)
			}
		default:
			return s.outOfStep("config", l)
		}
	}
	return s.over("config: the server does not come to an answer: the session was ended, since it is out of step")
}

// identified reads a note that answers the question for extensions.
func (s *session) identified(text string) bool {
	if strings.Contains(text, "Unknown config command") {
		return true
	}
	words, ours := strings.CutPrefix(text, string(byte(wire.ConfigExtension)))
	if !ours || strings.Trim(words, "abcdefghijklmnopqrstuvwxyz,") != "" {
		return false
	}
	s.ours = true
	for word := range strings.SplitSeq(words, ",") {
		if slices.Contains(s.wanted(), word) {
			s.granted = append(s.granted, word)
		}
	}
	return true
}

// isOurs reports whether the server is krdistd; it asks if that is not known.
func (s *session) isOurs() (bool, error) {
	if s.asked {
		return s.ours, nil
	}
	err := s.identify(false)
	return s.ours, err
}

// uncertain is called after an error behind which a server that is not ours
// may have sent more.
func (s *session) uncertain() error {
	if s.ours {
		return nil
	}
	return s.identify(true)
}

// wanted are the words that the server is asked for. What is staged is sent
// step by step.
func (s *session) wanted() []string {
	words := []string{wire.ExtDigest, wire.ExtAhead, wire.ExtList}
	if s.e.Atomic {
		words = []string{wire.ExtDigest, wire.ExtAtomic}
	}
	if !s.e.NoDelta {
		words = append(words, wire.ExtDelta)
	}
	return words
}
