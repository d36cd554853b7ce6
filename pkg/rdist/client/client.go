// Package client is the sending side of rdist's protocol 6: it brings the
// entries of a distfile to their hosts (reference rdist.md 4, 5, 7, 8 and 10).
//
// The hosts are worked on side by side, each over one session with all of its
// entries. An object is looked at here, the server is asked what it has, and
// only what differs is sent. The server is taken for a suspect: each of its
// lines is checked, its messages are text and nothing else, and one that
// answers what the question does not allow ends the session, since nobody
// could say any more which answer belongs to which question.
//
// # What differs from rdist 6.1.5
//
// Names, link texts, hosts and owners with a newline or NUL are refused before
// anything is sent. FILE, REMFILE, BASEFILE and FILES are quoted for the shell
// where they need it. A cmdspecial with a list of names runs only if one of
// them was updated, an entry :: runs all its cmdspecial commands with what is
// newer in FILES, and only if there is something. A host written with + is not
// checked for NFS whatever its install commands say. The least free space is
// given in bytes; the wire has kilobytes. Errors of the server count. Entries
// of directories are taken in sorted order. A second name of a file is only
// linked to the first one if that is known to be there as it should.
//
// # Questions ahead
//
// rdist asks for an object, waits, and sends it. Here the objects of a
// directory are asked for up to 256 at a time, and all answers are read before
// the first of these objects is sent; each single object's octets are the
// same. What may change other objects, a special command or a saved target,
// makes the answers stale: the objects that are left are then asked for again.
//
// # Hosts
//
// MaxHosts are worked on at once. One that is waited for longer than 2 seconds,
// or whose answers take long, gives its place to another and goes on beside it:
// dead and slow hosts do not hold up the rest. There may be 64 of these. A host
// has its own messages for mail, also in sequence, where rdist had one
// collection for all.
//
// # Extensions
//
// With compare in the global options the server is asked for the word digest
// by the config line X (and otherwise only where it matters whether the server
// is one of ours). If it grants it, the line H with the name of an object that
// a query has just shown to be there is answered by Y and the SHA-256 of its
// contents in hexadecimal digits, or N if it has none to tell; a file whose
// digest is equal is not sent. H is answered for the same directory level as Q.
//
// A server that has another version of a regular file that is to be sent is
// asked for the word delta, if both have at least 256 KiB, unless NoDelta forbids
// it. If it grants it, only what is new in the file is sent (package
// delta says how, and package server with which lines). Where the server does not
// come to the file that way, it is sent whole.
//
// With Atomic the server is asked for the word atomic as well, and must grant
// it (package server says what it means). All entries of a host are staged; if
// none of them had an error they are switched, then the special and cmdspecial
// commands run, in the order of the entries, and if none of these fails the
// update is committed. Otherwise everything is put back: nothing has changed on
// that host but by the commands that did run. The server answers what is there,
// not what is staged, so an object that is to be removed and put there again in
// one update is an error. Notify commands mail at the end.
//
// A server that is to be asked for 32 objects is asked for the word ahead, too.
// If it grants it, small files are sent one after the other, up to 32 KiB of
// them before the first answer is read. With Atomic it is not asked.
package client

import (
	"context"
	"io"
	"time"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// Defaults of Options.
const (
	DefaultMaxHosts = 4
	DefaultTimeout  = 900 * time.Second
)

// Session is a two-way stream to a server on a host. If it has SetReadDeadline
// and SetWriteDeadline, as a net.Conn, these bound each wait for the server;
// otherwise Close must end a pending Read or Write, and is called for that. If
// it has CloseWrite, this tells the server that nothing more will come, and if it
// has Abort, this is called before Close when nobody wants to wait any more.
// Close waits for the server's end as long as the Dialer sees fit.
type Session interface{ io.ReadWriteCloser }

// Dialer starts servers.
type Dialer interface {
	// Dial starts a server for the account login on the host. Its error is
	// what the user is told, and should begin with the host's name.
	Dial(ctx context.Context, login, host string) (Session, error)
}

// Names are the names of users and groups of this machine; false: it has none.
type Names interface {
	User(uid uint32) (string, bool)
	Group(gid uint32) (string, bool)
}

// Options say what Run does. Entries, Log and Dialer are needed.
type Options struct {
	Entries []distfile.Entry
	Global  option.Set // ORed to the options of each install command

	MaxHosts   int  // worked on at once; 0: DefaultMaxHosts
	Sequential bool // one after the other, in the order of Entries (-F)
	// Atomic makes all entries of a host one update, which is done whole or not
	// at all. A server that does not have the extension atomic is refused.
	Atomic bool
	// NoDelta has large files sent whole, also where the server has another
	// version of them.
	NoDelta bool

	MinFreeBytes, MinFreeFiles int64         // that the server must leave free; 0: no minimum
	RemoteLog                  string        // logging options for the server (-L); empty: none
	Timeout                    time.Duration // for each answer; 0: DefaultTimeout, negative: none

	HostName string // the short name of this host; empty: the machine's
	UserName string // the local user; empty: the account of the process
	// Home gives the home directory of a user, "" is the local one; nil: the
	// machine's user database.
	Home  func(user string) (string, error)
	Names Names // nil: the machine's

	Log    *message.Logger
	Dialer Dialer
	// Sendmail sends a mail whose header has the recipients; nil: the
	// machine's sendmail.
	Sendmail func(ctx context.Context, mail io.Reader) error
	// Progress is told what happens, by several goroutines at once, and must
	// not block; nil: nobody.
	Progress func(Event)

	minDelta int64                                            // octets; 0: wire.MinDelta
	many     int                                              // from how many objects on extensions are asked for; 0: manyObjects
	window   int                                              // most queries in flight; 0: maxWindow
	stat     func(name string, follow bool) (statInfo, error) // nil: the system's
	readDir  func(name string) ([]string, error)              // nil: the system's, sorted
	byPath   bool                                             // directories are not kept open: stat or readDir is another's
	patience time.Duration                                    // 0: the constant
	tempDir  string                                           // for the notify file; empty: $TMPDIR or /tmp
}

// EventKind says what an Event tells.
type EventKind int

// The kinds of events.
const (
	Started  EventKind = iota // the work for a host begins
	Looked                    // an object is done with
	Sent                      // contents of a file were sent
	Finished                  // the work for a host has ended
)

// Event is progress on one host.
type Event struct {
	Kind    EventKind
	Host    string // as in the distfile; of a :: entry the stamp file
	Path    string // of Looked and Sent: the local path
	Objects int    // that were done with so far, of this host
	Octets  int64  // of contents sent so far, to this host
}

func (o *Options) timeout() time.Duration {
	switch {
	case o.Timeout == 0:
		return DefaultTimeout
	case o.Timeout < 0:
		return 0
	}
	return o.Timeout
}
