package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Bounds on lines, in octets without the newline. The real programs have
// buffers of 8192.
const (
	MaxRead  = 64 << 10
	MaxWrite = 8000
)

const bufferSize = 64 << 10

var (
	// ErrTooLong says that a line is longer than its bound.
	ErrTooLong = errors.New("the line is too long")
	// ErrTimeout says that the peer did not answer in time. The real program's
	// text.
	ErrTimeout = errors.New("Response time out")
)

// Line is a line of the protocol: its first octet, and the rest without the
// newline, which may hold any octet but the newline.
type Line struct {
	Op   byte
	Text string
}

// String shows a line as the recordings do.
func (l Line) String() string {
	if l.Op < ' ' {
		return fmt.Sprintf("^%c%s", l.Op+'@', l.Text)
	}
	return string(l.Op) + l.Text
}

// Conn reads and writes lines and the contents of files. What is written goes
// out with Flush, or when Read finds nothing that has arrived already, so a
// request needs no Flush of its own. It is for one goroutine.
type Conn struct {
	r       *bufio.Reader
	w       *bufio.Writer
	out     *pusher // what w writes to
	rw      io.ReadWriter
	timeout time.Duration
}

// NewConn begins a conversation over rw. If rw has deadlines and timeout is not
// 0, each wait for the peer ends with ErrTimeout after it.
func NewConn(rw io.ReadWriter, timeout time.Duration) *Conn {
	c := &Conn{rw: rw, timeout: timeout}
	c.r = bufio.NewReaderSize(deadlineReader{c}, bufferSize)
	c.out = newPusher(deadlineWriter{c})
	c.w = bufio.NewWriterSize(c.out, bufferSize)
	return c
}

// deadlineReader and deadlineWriter give each read and write the whole time.
type (
	deadlineReader struct{ c *Conn }
	deadlineWriter struct{ c *Conn }
)

func (d deadlineReader) Read(p []byte) (int, error) {
	if s, ok := d.c.rw.(interface{ SetReadDeadline(time.Time) error }); ok && d.c.timeout > 0 {
		_ = s.SetReadDeadline(time.Now().Add(d.c.timeout)) // a file that has none waits for ever
	}
	n, err := d.c.rw.Read(p)
	if err != nil {
		d.c.out.giveUp(timedOut(err))
	}
	return n, timedOut(err)
}

func (d deadlineWriter) Write(p []byte) (int, error) {
	if s, ok := d.c.rw.(interface{ SetWriteDeadline(time.Time) error }); ok && d.c.timeout > 0 {
		_ = s.SetWriteDeadline(time.Now().Add(d.c.timeout))
	}
	n, err := d.c.rw.Write(p)
	return n, timedOut(err)
}

func timedOut(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrTimeout
	}
	return err
}

// Read gives the next line; io.EOF is the end of the stream between two lines,
// io.ErrUnexpectedEOF one within a line. An empty line has Op 0.
func (c *Conn) Read() (Line, error) {
	if c.r.Buffered() == 0 {
		if err := c.w.Flush(); err != nil {
			return Line{}, err
		}
	}
	text, err := c.readLine()
	if err != nil || text == "" {
		return Line{}, err
	}
	return Line{Op: text[0], Text: text[1:]}, nil
}

func (c *Conn) readLine() (string, error) {
	var long []byte
	for {
		part, err := c.r.ReadSlice('\n')
		if err == nil && long == nil && len(part) <= MaxRead {
			return string(part[:len(part)-1]), nil
		}
		if len(long)+len(part) > MaxRead+1 {
			return "", ErrTooLong
		}
		long = append(long, part...)
		switch {
		case err == nil:
			return string(long[:len(long)-1]), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF && len(long) > 0:
			return "", io.ErrUnexpectedEOF
		default:
			return "", err
		}
	}
}

// Write sends a line. A text that a line cannot hold is refused with nothing
// sent: with a newline or NUL, which would be taken for further lines
// (reference rdist.md 12), or longer than MaxWrite.
func (c *Conn) Write(op byte, text string) error {
	if err := CheckText(text); err != nil {
		return err
	}
	_ = c.w.WriteByte(op)
	_, _ = c.w.WriteString(text)
	return c.w.WriteByte('\n')
}

// Message is Write for text from elsewhere that a person is to read: it is
// made one line that fits.
func (c *Conn) Message(op byte, text string) error {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == 0 {
			return ' '
		}
		return r
	}, text)
	return c.Write(op, text[:min(len(text), MaxWrite)])
}

// CheckText says why a text cannot be part of a line.
func CheckText(s string) error {
	switch {
	case strings.IndexByte(s, '\n') >= 0:
		return errors.New("it contains a newline")
	case strings.IndexByte(s, 0) >= 0:
		return errors.New("it contains a NUL")
	case len(s) > MaxWrite:
		return ErrTooLong
	}
	return nil
}

// Flush sends what was written.
func (c *Conn) Flush() error {
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.out.settle()
}

// Data is where the contents of files are read and written, between the lines.
// A write needs Flush, or a Read after it.
func (c *Conn) Data() io.ReadWriter {
	return struct {
		io.Reader
		io.Writer
	}{flushingReader{c}, c.w}
}

// DataWriter is the writing side of Data, with Flush.
func (c *Conn) DataWriter() *bufio.Writer { return c.w }

type flushingReader struct{ c *Conn }

func (f flushingReader) Read(p []byte) (int, error) {
	if f.c.r.Buffered() == 0 {
		if err := f.c.w.Flush(); err != nil {
			return 0, err
		}
	}
	return f.c.r.Read(p)
}

// Buffered says how many octets have arrived that were not read yet.
func (c *Conn) Buffered() int { return c.r.Buffered() }
