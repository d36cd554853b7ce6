package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// DefaultMaxLine bounds a line, in bytes. MIT has no bound; its counts would
// allow 4 GiB. The largest records met in practice, of a service whose keys
// were never purged in hundreds of changes, stay below 1 MiB.
const DefaultMaxLine = 64 << 20

// firstBuffer is how much a Reader asks for at once.
const firstBuffer = 256 << 10

// Reader reads a dump record by record. It is not safe for concurrent use.
type Reader struct {
	src lineSource
	p   parser
	err error
}

// NewReader reads the header line from r. It takes bytes from r in large pieces
// and does not close it. A wrong header gives a [*FaultError], an empty file
// [ErrEmpty].
func NewReader(r io.Reader) (*Reader, error) {
	d := &Reader{src: lineSource{r: r, max: maxHeader}}
	line, err := d.src.next()
	switch {
	case err == io.EOF:
		return nil, fmt.Errorf("%w: it has 0 bytes", ErrEmpty)
	case errors.Is(err, ErrLongLine), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, notADump(d.src.rest())
	case err != nil:
		return nil, fmt.Errorf("read dump header: %w", err)
	}
	if d.p.header, err = ParseHeader(string(line)); err != nil {
		return nil, err
	}
	d.p.lineNo = 1
	d.src.max = DefaultMaxLine
	return d, nil
}

// notADump is the fault of a file whose first line does not end where a header
// would; start is how it begins.
func notADump(start []byte) error {
	if _, err := ParseHeader(string(start[:min(len(start), maxHeader)])); err != nil {
		return err
	}
	return headerFault("the dump ends in the middle of its header")
}

// Header returns the header line.
func (d *Reader) Header() Header { return d.p.header }

// Next returns the next record, a [*Principal] or a [*Policy], and io.EOF after
// the last. The record and all that it points to is overwritten by the following call: use
// Clone to keep it. A line that is not as MIT writes it gives a [*FaultError],
// after which there is no way on.
//
// Next checks the form only. Whether a record makes sense (e_data, lengths of
// keys, contents of known tl_data, names that MIT's load would damage) is for
// [Verify].
func (d *Reader) Next() (Record, error) {
	if d.err != nil {
		return nil, d.err
	}
	var rec Record
	line, err := d.src.next()
	if err == nil {
		rec, err = d.p.record(line)
	} else if err != io.EOF {
		err = d.p.readError(err)
	}
	if err != nil {
		d.err = err
		return nil, err
	}
	return rec, nil
}

// readError names the line that could not be had.
func (p *parser) readError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &FaultError{Line: p.lineNo + 1, Msg: msgCut}
	case errors.Is(err, ErrLongLine):
		return &FaultError{Line: p.lineNo + 1, Msg: msgTooLong}
	}
	return fmt.Errorf("read dump line %d: %w", p.lineNo+1, err)
}

// ErrLongLine says that a line is longer than its bound.
var ErrLongLine = errors.New("line too long")

// lineSource cuts a stream into lines.
type lineSource struct {
	r          io.Reader
	max        int // longest line, without its LF
	buf        []byte
	start, end int // what of buf is not yet taken
	err        error
}

// next returns a line without its LF, valid until the following call: io.EOF
// after the last, io.ErrUnexpectedEOF if the last has no LF, ErrLongLine.
func (s *lineSource) next() ([]byte, error) {
	seen := 0
	for {
		if n := bytes.IndexByte(s.buf[s.start+seen:s.end], '\n'); n >= 0 {
			n += seen
			if n > s.max {
				return nil, ErrLongLine
			}
			line := s.buf[s.start : s.start+n]
			s.start += n + 1
			return line, nil
		}
		seen = s.end - s.start
		switch {
		case seen > s.max:
			return nil, ErrLongLine
		case s.err == io.EOF && seen > 0:
			return nil, io.ErrUnexpectedEOF
		case s.err != nil:
			return nil, s.err
		}
		s.fill()
	}
}

func (s *lineSource) rest() []byte { return s.buf[s.start:s.end] }

// fill makes room and reads once.
func (s *lineSource) fill() {
	if s.start > 0 {
		s.end = copy(s.buf, s.buf[s.start:s.end])
		s.start = 0
	}
	if s.end == len(s.buf) {
		grown := make([]byte, max(firstBuffer, 2*len(s.buf)))
		s.end = copy(grown, s.buf[:s.end])
		s.buf = grown
	}
	// As bufio: a reader that gives nothing again and again is broken.
	for range 100 {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if n > 0 || err != nil {
			return
		}
	}
	s.err = io.ErrNoProgress
}
