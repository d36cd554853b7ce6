package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// StreamRequest is what a client of krdistd asks for in the first protected
// message.
type StreamRequest struct {
	Login string // the account on the server's host
	// Compress has words for compressions, best first, of which the server may
	// choose one.
	Compress []string
}

// CompressZstd is the compression that this package knows.
const CompressZstd = compressZstd

// Bounds of the first message in each direction, in bytes.
const (
	maxRequest = 4096
	maxLogin   = 256
)

// RefusedError is the refusal of a request by a server that has authenticated.
type RefusedError struct {
	Reason string // in the server's words, safe to print
}

func (e *RefusedError) Error() string { return "refused by the server: " + e.Reason }

// marshal gives lines of a word, a blank and a value.
func (r *StreamRequest) marshal() ([]byte, error) {
	if err := checkLogin(r.Login); err != nil {
		return nil, err
	}
	text := "login " + r.Login + "\n"
	if len(r.Compress) > 0 {
		text += "compress " + strings.Join(r.Compress, ",") + "\n"
	}
	if len(text) > maxRequest {
		return nil, fmt.Errorf("the request has %d bytes, at most %d are allowed", len(text), maxRequest)
	}
	return []byte(text), nil
}

func checkLogin(s string) error {
	switch {
	case s == "":
		return errors.New("no account is named")
	case len(s) > maxLogin:
		return fmt.Errorf("the account's name has %d bytes, at most %d are allowed", len(s), maxLogin)
	case cleanText(s) != s || strings.ContainsAny(s, " :/"):
		return fmt.Errorf("%q is no name of an account", s)
	}
	return nil
}

// parseRequest is the reverse of marshal. Words that are not known are passed
// over, so that later versions can add some.
func parseRequest(text []byte) (*StreamRequest, error) {
	words, err := parseWords(text, "login", "compress")
	if err != nil {
		return nil, err
	}
	r := &StreamRequest{Login: words["login"]}
	if s := words["compress"]; s != "" {
		r.Compress = strings.Split(s, ",")
	}
	return r, checkLogin(r.Login)
}

// parseWords reads lines of a word and a value; the known words may stand once.
func parseWords(text []byte, known ...string) (map[string]string, error) {
	if len(text) > maxRequest {
		return nil, fmt.Errorf("the first message has %d bytes, at most %d are allowed", len(text), maxRequest)
	}
	rest, ok := strings.CutSuffix(string(text), "\n")
	if !ok || strings.ContainsRune(rest, 0) {
		return nil, errors.New("the first message does not consist of lines")
	}
	words := map[string]string{}
	for line := range strings.SplitSeq(rest, "\n") {
		word, value, _ := strings.Cut(line, " ")
		if !slices.Contains(known, word) {
			continue
		}
		if _, twice := words[word]; twice {
			return nil, fmt.Errorf("the first message has the word %s twice", word)
		}
		words[word] = value
	}
	return words, nil
}

// marshalAnswer gives the second message: compression is one that was chosen,
// or empty; with a reason it is a refusal.
func marshalAnswer(compression, reason string) []byte {
	switch {
	case reason != "":
		return []byte("refused " + cleanText(reason) + "\n")
	case compression != "":
		return []byte("granted\ncompress " + compression + "\n")
	}
	return []byte("granted\n")
}

// parseAnswer gives the compression, or the refusal.
func parseAnswer(text []byte, asked []string) (compression string, err error) {
	words, err := parseWords(text, "granted", "refused", "compress")
	if err != nil {
		return "", err
	}
	_, granted := words["granted"]
	reason, refused := words["refused"]
	compression, packed := words["compress"]
	switch {
	case granted == refused:
		return "", errors.New("the server's answer is neither yes nor no")
	case refused:
		return "", &RefusedError{cleanText(reason)}
	case packed && (compression != compressZstd || !slices.Contains(asked, compression)):
		return "", fmt.Errorf("the server has chosen a compression that was not offered, %q", cleanText(compression))
	}
	return compression, nil
}

// RequestStream asks the server for a Stream, waits for its answer no longer
// than Timeouts.Handshake, by default two minutes, and gives the Stream. The
// error is a *RefusedError if the server refuses. On failure the conversation
// is closed; else the end of ctx closes the Stream.
func (c *Conn) RequestStream(ctx context.Context, r StreamRequest) (*Stream, error) {
	c.untilDone(ctx)
	s, err := c.requestStream(r)
	if err != nil {
		err = c.causeOf(err)
		c.Close()
	}
	return s, err
}

func (c *Conn) requestStream(r StreamRequest) (*Stream, error) {
	text, err := r.marshal()
	if err != nil {
		return nil, err
	}
	s := newStream(c)
	if err := s.SetDeadline(timeoutAfter(orDefault(c.timeouts.Handshake, DefaultInitiateTimeout))); err != nil {
		return nil, err
	}
	if _, err := s.out.write(text); err != nil {
		return nil, fmt.Errorf("ask for a session: %w", err)
	}
	answer, err := s.in.first()
	if err != nil {
		return nil, fmt.Errorf("read the answer to the request for a session: %w", err)
	}
	compression, err := parseAnswer(answer, r.Compress)
	if err != nil {
		return nil, err
	}
	if err := s.SetDeadline(noDeadline); err != nil {
		return nil, err
	}
	return s, s.compress(compression)
}

// first gives the content of the first message.
func (in *inbound) first() ([]byte, error) {
	if err := in.next(); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	first := in.rest
	in.rest = nil
	return first, nil
}

// ReadRequest waits for the client's request, no longer than
// Timeouts.Handshake: it is the first message that proves the client to be
// there now. Then one of GrantStream, RefuseStream or Export must follow. On
// failure the conversation is closed; else the end of ctx closes it.
func (c *Conn) ReadRequest(ctx context.Context) (*StreamRequest, error) {
	c.untilDone(ctx)
	r, err := c.readRequest()
	if err != nil {
		err = c.causeOf(err)
		c.Close()
	}
	return r, err
}

func (c *Conn) readRequest() (*StreamRequest, error) {
	if c.first == nil {
		c.f.limit(c.timeouts.handshake())
		msg, err := c.f.readMessage(nil, maxStreamMessage)
		if err != nil {
			return nil, fmt.Errorf("read the request for a session: %w", err)
		}
		if c.f.br.Buffered() > 0 {
			return nil, errors.New("the client has not waited for the answer to its request")
		}
		c.first = msg
	}
	c.f.limit(0)
	c.stream = newStream(c)
	if err := c.stream.SetWriteDeadline(timeoutAfter(c.timeouts.handshake())); err != nil {
		return nil, err
	}
	text, err := c.stream.in.reopen(c.first)
	if err != nil {
		return nil, fmt.Errorf("the request for a session: %w", err)
	}
	return parseRequest(text)
}

// reopen opens a first message that was read already. The message stays as it
// is.
func (in *inbound) reopen(msg []byte) ([]byte, error) {
	a := in.batch()
	slot := a.add()
	if _, err := in.accept(slot, slices.Clone(msg), a); err != nil {
		return nil, err
	}
	a.open(in.stream, in.check)
	if a.err != nil {
		return nil, a.err
	}
	return slot.data, slot.err
}

// GrantStream tells the client that its request is granted, and gives the
// Stream. It takes the first compression of the request that it knows.
func (c *Conn) GrantStream(r *StreamRequest) (*Stream, error) {
	s, compression := c.stream, ""
	if slices.Contains(r.Compress, compressZstd) {
		compression = compressZstd
	}
	if _, err := s.out.write(marshalAnswer(compression, "")); err != nil {
		return nil, fmt.Errorf("answer the request for a session: %w", c.causeOf(err))
	}
	if err := s.SetDeadline(noDeadline); err != nil {
		return nil, err
	}
	return s, s.compress(compression)
}

// RefuseStream tells the client why its request is refused, and closes, when
// the client has closed or has had five seconds to read the reason.
func (c *Conn) RefuseStream(reason string) error {
	s := c.stream
	_, err := s.out.write(marshalAnswer("", orUnknown(reason)))
	if err == nil {
		err = s.CloseWrite()
	}
	_ = s.Close()
	return err
}

func orUnknown(reason string) string {
	if reason == "" {
		return "no reason is given"
	}
	return reason
}
