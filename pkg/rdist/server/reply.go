package server

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// refused is why one request was not done. The client is told, and goes on.
type refused struct{ text string }

func (r *refused) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refused{fmt.Sprintf(format, args...)} }

// fatal is why the session cannot go on. The client is told.
type fatal struct{ text string }

func (f *fatal) Error() string { return f.text }

// errEnd is the client's end of the session.
var errEnd = errors.New("the client ended the session")

// errStep says that the client sent something else than its part of the
// exchange. What follows could be the contents of a file: to read it as
// requests would do what nobody asked for.
func errStep(where string, got wire.Line) error {
	return &fatal{fmt.Sprintf("%s: %q was not expected: client and server are out of step", where, clip(got.String(), 40))}
}

// ack is the plain yes.
func (s *session) ack() error { return s.conn.Write(wire.OpAck, "") }

// note tells the client of something on the way to the answer.
func (s *session) note(format string, args ...any) error {
	text := oneLine(fmt.Sprintf(format, args...))
	s.log(message.Notice, text)
	if s.quiet {
		return nil
	}
	return s.tell(wire.OpNote, "", text)
}

// change is the answer that something is, or should be, other than before.
func (s *session) change(format string, args ...any) error {
	text := oneLine(fmt.Sprintf(format, args...))
	s.log(message.Change, text)
	return s.tell(wire.OpLog, "", text)
}

// fail is the answer that a request was not done.
func (s *session) fail(err error) error {
	s.errors++
	text := oneLine(err.Error())
	s.log(message.NError, text)
	return s.tell(wire.OpError, "REMOTE ERROR: ", text)
}

// tell sends a line for people, with the host before it (reference 9).
func (s *session) tell(op byte, kind, text string) error {
	return s.conn.Message(op, message.Line("", s.o.HostName+": "+kind+text))
}

// await reads the client's answer to what it was told.
func (s *session) await(where string) error {
	line, err := s.read()
	switch {
	case err != nil:
		return unexpected(err)
	case line.Op == wire.OpAck && line.Text == "":
		return nil
	case line.Op == wire.OpError:
		s.log(message.NError, "the client: "+line.Text)
		return nil
	case line.Op == wire.OpFatal:
		return errEnd
	}
	return errStep(where, line)
}

// oneLine keeps what follows a newline in a name.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "?") }

// clip cuts text to what a message has room for.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}
