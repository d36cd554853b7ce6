package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// Bounds on what a client can ask for.
const (
	maxPath    = 4096    // octets of a name with its directories, as the system has it
	maxDepth   = 256     // directories within each other, each of which is kept open
	maxEntries = 1 << 20 // names of one directory
	bufferSize = 128 << 10
)

const (
	defaultTimeout        = 900 * time.Second
	defaultCommandTimeout = time.Hour
)

// Account is who the files are written for. The process is to run as it: the
// server asks it only what it need not try.
type Account struct {
	Name     string
	Home     string // where relative names begin
	UID, GID int
	Groups   []int // the others that it is in
}

// Options say what a session may do.
type Options struct {
	// Roots are the absolute names of what may be written: directories with
	// all that is in them, and files, which need not exist yet. Links in
	// them are resolved once, at the beginning. nil is everything that the
	// account may write.
	Roots   []string
	Special bool // special and cmdspecial commands may be run
	Account Account

	// Journal is the directory of the journal where everything is granted.
	// Empty: the account's home directory.
	Journal string

	HostName string // short, for messages
	// Log records what is done. The client may change its options but for
	// the file, so it is of this session alone. nil: no record.
	Log     *message.Logger
	Timeout time.Duration // for each wait for the client; 0: 900 s
	// CommandTimeout is the longest that one special command may take; 0: 1 h.
	CommandTimeout time.Duration
	Extensions     bool // what the package documentation lists is offered

	minDelta    int64    // octets of what is there; 0: wire.MinDelta
	Users       Users    // nil: those that the host knows
	Environment []string // of special commands; nil: this process's
}

// Failed says that a session ended in order, but not all was done.
type Failed struct{ Errors int }

func (f *Failed) Error() string { return fmt.Sprintf("%d errors were told to the client", f.Errors) }

// Serve is the server's side of one session, until the client ends it. It ends
// early with ctx, if rw has deadlines. The error is a *Failed if the client was
// told of errors, wire.ErrTimeout if it was silent too long, and
// io.ErrUnexpectedEOF if it went away in the middle of something. Serve does
// not close rw.
func Serve(ctx context.Context, rw io.ReadWriter, o Options) error {
	return serve(ctx, rw, o, hooks{fileSystem: statFileSystem})
}

// hooks are what tests replace.
type hooks struct {
	fileSystem func(*dir) (fileSystem, error)
	arrange    func(dir string, names []string) // the order of questions
}

// session is one conversation with a client.
type session struct {
	ctx   context.Context
	conn  *wire.Conn
	o     Options
	hooks hooks
	names *names
	roots []*root

	home      []string // of the account, without links
	homeAlias []string // as it is known

	minKiB, minFiles int64      // to be left free
	extensions       []string   // granted
	ours             bool       // the client is one that knows of extensions
	target           *place     // nil: none yet
	options          option.Set // of the target
	levels           []level
	update           *update // all or nothing; nil: there is none
	journal          *journal
	noJournal        error    // why there is none
	recovered        []string // what the client is to be told of former sessions
	quiet            bool     // notes are only logged
	errors           int      // told to the client

	fileLog       *message.Logger // of the client's -L; nil: none
	buffer, other []byte          // of bufferSize
}

func serve(ctx context.Context, rw io.ReadWriter, o Options, h hooks) error {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.minDelta == 0 {
		o.minDelta = wire.MinDelta
	}
	if o.Users == nil {
		o.Users = &account.Names{}
	}
	roots, err := openRoots(o.Roots)
	if err != nil {
		// Rdist's own word for the end of everything, in place of a greeting.
		c := wire.NewConn(rw, o.Timeout)
		_ = errors.Join(c.Message(wire.OpFatal, message.Line("", o.HostName+": REMOTE ERROR: "+err.Error())), c.Flush())
		return err
	}
	defer closeRoots(roots)
	stream, stop := newInterruptible(ctx, rw)
	defer stop()
	s := &session{
		ctx: ctx, conn: wire.NewConn(stream, o.Timeout), o: o, hooks: h,
		names: newNames(o.Users), roots: roots,
		buffer: make([]byte, bufferSize), other: make([]byte, bufferSize),
	}
	s.findHome()
	s.recover()
	defer s.leaveAll()
	defer s.closeJournal(false)
	defer s.abandon()
	err = s.finish(s.converse())
	if s.fileLog != nil {
		if failed := s.fileLog.Close(); err == nil && failed != nil {
			err = fmt.Errorf("write the log that the client asked for: %w", failed)
		}
	}
	return err
}

// converse is the whole session; nil and errEnd are its end in order.
func (s *session) converse() error {
	if err := s.greet(); err != nil {
		var told *refused
		if errors.As(err, &told) {
			_ = s.fail(err)
		}
		return err
	}
	for {
		line, err := s.read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		err = s.request(line)
		var told *refused
		if errors.As(err, &told) {
			err = s.fail(err)
		}
		if err != nil {
			return err
		}
	}
}

// finish sends what is still to be said, and judges the session.
func (s *session) finish(err error) error {
	var told *fatal
	if errors.As(err, &told) {
		s.log(message.FError, told.text)
		_ = s.tell(wire.OpFatal, "REMOTE ERROR: ", told.text)
	}
	if flushed := s.conn.Flush(); err == nil || err == errEnd {
		err = flushed
		if err == nil && s.errors > 0 {
			err = &Failed{s.errors}
		}
	}
	return err
}

// commandTimeout is the longest that a special command may take.
func (s *session) commandTimeout() time.Duration {
	if s.o.CommandTimeout > 0 {
		return s.o.CommandTimeout
	}
	return defaultCommandTimeout
}

// extends reports whether the client was granted an extension.
func (s *session) extends(word string) bool { return slices.Contains(s.extensions, word) }

// request does what one line asks for.
func (s *session) request(line wire.Line) error {
	s.trimJournal()
	switch line.Op {
	case 0:
		return refuse("server: expected control record")
	case wire.OpFatal:
		return errEnd
	case wire.OpError:
		s.log(message.NError, "the client: "+line.Text)
		return nil
	case wire.OpConfig:
		return s.config(line)
	case wire.OpTarget, wire.OpTargetDir:
		return s.setTarget(line)
	case wire.OpQuery:
		return s.query(line)
	case wire.OpRegular:
		return s.regular(line)
	case wire.OpDirectory:
		return s.directory(line)
	case wire.OpSymlink:
		return s.symlink(line)
	case wire.OpHardLink:
		return s.hardLink(line)
	case wire.OpEnd:
		return s.end(line)
	case wire.OpClean:
		return s.clean(line)
	case wire.OpSpecial:
		return s.special(line)
	case wire.OpCmdSpecial:
		return s.cmdSpecial(line)
	case wire.OpAhead:
		if s.extends(wire.ExtAhead) {
			return s.regularAhead(line)
		}
	case wire.OpList:
		if s.extends(wire.ExtList) {
			return s.directoryListed(line)
		}
	case wire.OpListing:
		if s.extends(wire.ExtList) {
			return s.listing(line)
		}
	case wire.OpDigest:
		if s.extends(wire.ExtDigest) {
			return s.digest(line)
		}
	case wire.OpDelta:
		if s.extends(wire.ExtDelta) {
			return s.regularDelta(line)
		}
	}
	return refuse("server: unknown command '%c'", line.Op)
}

// read gives the client's next line.
func (s *session) read() (wire.Line, error) {
	if err := s.ctx.Err(); err != nil {
		return wire.Line{}, err
	}
	line, err := s.conn.Read()
	if err != nil && s.ctx.Err() != nil {
		return line, s.ctx.Err()
	}
	return line, err
}

// broken explains an end in the middle of a file.
func (s *session) broken(err error) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	return unexpected(err)
}

// unexpected makes the end of the stream one that was not in order.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
