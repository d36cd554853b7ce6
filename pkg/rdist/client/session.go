package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// session is the conversation with one server. Its methods return an error only
// when it is over, always an *overError, after the user was told. What a server
// refuses is told, counted, and no error.
type session struct {
	ctx     context.Context
	e       *env
	host    string // without login
	stream  *watched
	unwatch func() bool
	conn    *wire.Conn
	report  *report

	ours    bool      // the server has answered as our own one does
	asked   bool      // whether it is, is known
	granted []string  // extensions
	late    []pending // what was sent ahead, in order
	unread  int       // octets of it
	inData  bool      // the server takes all that is sent for contents of a file
	debug   bool      // each line is told

	unpushed int // octets since the last push
}

// overError says why a session is over.
type overError struct {
	text  string
	fatal bool // the real program exits at once
}

func (e *overError) Error() string { return e.text }

// over tells that the session cannot go on.
func (s *session) over(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	s.report.fail("%s", text)
	return &overError{text: text}
}

// answer is what a response of the server says (8.2).
type answer int

const (
	acknowledged answer = iota
	logged              // done, and the server has told of it
	refused             // an error, which was told
	declined            // an error without text
)

// ok reports whether the server did what was asked.
func (a answer) ok() bool { return a == acknowledged || a == logged }

// read gives the next line.
func (s *session) read() (wire.Line, error) {
	l, err := s.conn.Read()
	if err != nil {
		return l, s.lost(err)
	}
	if s.debug {
		s.report.say(message.Debug, "S< %s", l)
	}
	return l, nil
}

// line gives the next line that is no note, which are told.
func (s *session) line() (wire.Line, error) {
	for {
		l, err := s.read()
		switch {
		case err != nil:
			return l, err
		case l.Op == wire.OpNote:
			s.report.note(l.Text)
		case l.Op == wire.OpFatal:
			return l, s.fatal(l.Text)
		default:
			return l, nil
		}
	}
}

// fatal tells the reason with which the server ends the session.
func (s *session) fatal(text string) error {
	s.report.count.ServerErrors++
	if text == "" {
		text = "the server ended the session and gave no reason"
	}
	s.report.text(message.FError, text)
	return &overError{text: text}
}

// lost tells why the server cannot be heard any more.
func (s *session) lost(err error) error {
	switch {
	case s.ctx.Err() != nil:
		return s.over("Interrupted: the session with %s was given up", s.host)
	case errors.Is(err, wire.ErrTimeout):
		return s.over("%s", wire.ErrTimeout)
	case errors.Is(err, wire.ErrTooLong):
		return s.over("remote input line too long")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return s.over("Lost connection to %s", s.host)
	}
	return s.over("Lost connection to %s: %v", s.host, err)
}

// response reads the answer to a request. Log lines are told as type t.
func (s *session) response(t message.Type) (answer, error) {
	l, err := s.line()
	if err != nil {
		return refused, err
	}
	return s.answer(l, t)
}

// answer is what a line answers to a request.
func (s *session) answer(l wire.Line, t message.Type) (answer, error) {
	switch l.Op {
	case wire.OpAck:
		return acknowledged, nil
	case wire.OpLog:
		if l.Text == "" {
			return acknowledged, nil
		}
		s.report.text(t, l.Text)
		return logged, nil
	case wire.OpError:
		if l.Text == "" {
			return declined, nil
		}
		s.report.serverError(l.Text)
		return refused, nil
	}
	return refused, s.outOfStep("response", l)
}

// outOfStep ends the session at a line that does not answer the question.
func (s *session) outOfStep(where string, l wire.Line) error {
	return s.over("%s: unexpected control record '%s' from server: the session was ended, since it is out of step", where, l)
}

// send sends a request for which nothing is awaited yet. What cannot be sent
// has been refused before; if not, the session ends rather than go on without.
func (s *session) send(op byte, text string) error {
	if err := s.post(op, text); err != nil {
		return err
	}
	return s.settle()
}

// post is send while answers to other requests may still be to be read.
func (s *session) post(op byte, text string) error {
	if err := wire.CheckText(text); err != nil {
		return s.over("%q cannot be sent: %v", text, err)
	}
	if s.debug {
		s.report.say(message.Debug, "C> %s", wire.Line{Op: op, Text: text})
	}
	if err := s.conn.Write(op, text); err != nil {
		return s.lostWriting(err)
	}
	return nil
}

// ask sends a request for an object and reads the response.
func (s *session) ask(op byte, text, object string) (answer, error) {
	if err := s.send(op, text); err != nil {
		return refused, err
	}
	return s.answered(object)
}

// answered reads the response to a request for an object. A refusal without a
// reason gets one.
func (s *session) answered(object string) (answer, error) {
	a, err := s.response(message.Change)
	if err == nil && a == declined {
		s.noReason(object)
	}
	return a, err
}

func (s *session) noReason(what string) {
	s.report.count.ServerErrors++
	s.report.say(message.NError, "%s: refused by %s, which gave no reason", what, s.host)
}

// start greets, and tells the server what this client is.
func (s *session) start() error {
	if err := s.greet(); err != nil {
		return err
	}
	config := []string{string(byte(wire.ConfigHost)) + s.e.HostName}
	if n := s.e.MinFreeBytes; n > 0 {
		// Servers count in KiB.
		config = append(config, string(byte(wire.ConfigMinBytes))+strconv.FormatInt((n-1)/1024+1, 10))
	}
	if n := s.e.MinFreeFiles; n > 0 {
		config = append(config, string(byte(wire.ConfigMinFiles))+strconv.FormatInt(n, 10))
	}
	if s.e.RemoteLog != "" {
		config = append(config, string(byte(wire.ConfigLog))+s.e.RemoteLog)
	}
	for _, text := range config {
		a, err := s.ask(wire.OpConfig, text, "config "+text)
		if err != nil {
			return err
		}
		if !a.ok() {
			return &overError{text: "the server refused the configuration " + strconv.Quote(text)}
		}
	}
	if !s.e.Global.Has(option.Compare) && !s.e.Atomic {
		return nil
	}
	if err := s.identify(false); err != nil {
		return err
	}
	if s.e.Atomic && !s.has(wire.ExtAtomic) {
		return s.over("%s: the server there cannot stage files: nothing was sent: install krdistd of this version there, or distribute without --atomic", s.host)
	}
	return nil
}

// greet is the exchange of versions (8.3).
func (s *session) greet() error {
	l, err := s.conn.Read()
	if errors.Is(err, io.EOF) {
		return s.over(`Unexpected input from server: "".`)
	}
	if err != nil {
		return s.lost(err)
	}
	switch {
	case l.Op == wire.OpFatal:
		return s.fatal(l.Text)
	case l.Op != wire.OpGreet:
		return s.over(`Unexpected input from server: "%s".`, l)
	case l.Text == wire.Version:
		return nil
	case l.Text != "":
		s.report.count.LocalErrors++
		text := fmt.Sprintf("Server version (%s) is not the same as local version (%s).", l.Text, wire.Version)
		s.report.text(message.FError, "LOCAL ERROR: "+text)
		return &overError{text: text, fatal: true}
	}
	a, err := s.ask(wire.OpGreet, wire.Version, "version "+wire.Version)
	if err == nil && !a.ok() {
		return &overError{text: "the server refused protocol version " + wire.Version}
	}
	return err
}

// has reports whether the server granted an extension.
func (s *session) has(word string) bool { return slices.Contains(s.granted, word) }

// end says goodbye, unless the server would take that for something else, and
// waits for it to go.
func (s *session) end(polite bool) {
	if polite && !s.inData && s.conn.Write(wire.OpFatal, "") == nil && s.conn.Flush() == nil {
		s.stream.closeWrite()
	}
	s.unwatch()
	_ = s.stream.Close()
	s.conn.Wait()
}

// lostWriting is lost after a failed write. A server that has gone may have
// said why, and that was not read yet.
func (s *session) lostWriting(err error) error {
	words := s.conn
	for range 100 {
		if words == s.conn && words.Buffered() == 0 {
			words = wire.NewConn(readOnly{s.stream}, lastWords)
		}
		l, readErr := words.Read()
		if readErr != nil {
			break
		}
		switch l.Op {
		case wire.OpNote:
			s.report.note(l.Text)
		case wire.OpError:
			s.report.serverError(strings.TrimSpace(l.Text))
		case wire.OpFatal:
			return s.fatal(l.Text)
		}
	}
	return s.lost(err)
}

// readOnly takes what is written to nowhere.
type readOnly struct{ *watched }

func (readOnly) Write(p []byte) (int, error) { return len(p), nil }
