package kdb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// ErrLocked says that another receiver is writing the same file.
var ErrLocked = errors.New("another propagation is being received")

// ErrIncomingClosed says that an Incoming was already committed or aborted.
var ErrIncomingClosed = errors.New("the received file is closed already")

// IncomingError says what failed with a received dump.
type IncomingError struct {
	Op   string // "open", "lock", "write", "sync", "rename", "remove"
	Path string // of the temporary file
	To   string // of the file to be replaced; only for "rename"
	Err  error
}

func (e *IncomingError) Error() string { return e.MITText() }

// MITText is what MIT's kpropd logs (reference kprop-protocol.md 13.6), without
// "kpropd: ".
func (e *IncomingError) MITText() string {
	text := systemText(e.Err)
	switch e.Op {
	case "open":
		return fmt.Sprintf("%s while opening database file, '%s'", text, e.Path)
	case "lock":
		if errors.Is(e.Err, ErrLocked) {
			text = systemText(unix.EAGAIN)
		}
		return fmt.Sprintf("%s while trying to lock '%s'", text, e.Path)
	case "rename":
		return fmt.Sprintf("%s while renaming %s to %s", text, e.Path, e.To)
	}
	return fmt.Sprintf("%s while trying to %s '%s'", text, e.Op, e.Path)
}

func (e *IncomingError) Unwrap() error { return e.Err }

const tempSuffix = ".temp"

// Incoming is a dump that is being received: <path>.temp, mode 0600, under an
// exclusive lock, which keeps out every other receiver, MIT's kpropd included
// (reference kprop-protocol.md 13.3). The order of work is
//
//	NewIncoming, Write..., Sync, load TempPath into the database, Commit, SyncName
//
// so that, unlike MIT's, <path> is replaced only by a dump that did load, and the
// temporary file is removed by Abort whenever anything fails. Abort after Commit
// does nothing, so it may be deferred. An Incoming is for one goroutine.
type Incoming struct {
	path   string
	f      *os.File // nil when closed
	behind writeBehind
	size   int64
	failed error // the first write that failed
	synced bool
}

// NewIncoming creates and locks the temporary file, empty. If another receiver
// has it, the error wraps ErrLocked. A file left by a crash is used again if it
// is ours alone, and replaced otherwise. A symbolic link is refused. Errors are
// *IncomingError.
func NewIncoming(path string) (*Incoming, error) {
	in := &Incoming{path: path}
	const tries = 10
	for range tries {
		f, err := in.openTemp()
		if err != nil {
			return nil, err
		}
		if f != nil {
			in.f = f
			in.behind = writeBehind{f: f, keep: keepAll}
			return in, nil
		}
	}
	return nil, in.fault("open", errors.New("the file is replaced again and again"))
}

// openTemp returns nil without an error if the attempt has to be repeated.
func (in *Incoming) openTemp() (*os.File, error) {
	err := osutil.Step("open", in.TempPath())
	if err != nil {
		return nil, in.fault("open", err)
	}
	f, err := openRegular(in.TempPath(), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW)
	if err != nil {
		return nil, in.fault("open", err)
	}
	usable, err := in.prepare(f)
	if err != nil || !usable {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (in *Incoming) prepare(f *os.File) (usable bool, err error) {
	if err := osutil.TryLock(f, osutil.Exclusive); err != nil {
		if errors.Is(err, osutil.ErrLocked) {
			err = ErrLocked
		}
		return false, in.fault("lock", err)
	}
	// Its last owner may have renamed or removed it before we got the lock.
	if !namesFile(in.TempPath(), f) {
		return false, nil
	}
	st, err := f.Stat()
	if err != nil {
		return false, in.fault("open", err)
	}
	if !oursAlone(st) {
		if err := remove(in.TempPath()); err != nil {
			return false, in.fault("remove", err)
		}
		return false, nil
	}
	if err := f.Truncate(0); err != nil {
		return false, in.fault("open", err)
	}
	return true, nil
}

// oursAlone reports whether nobody else may have the file open for writing, or
// under another name.
func oursAlone(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int64(sys.Uid) == int64(os.Geteuid()) && sys.Nlink == 1 && st.Mode().Perm()&0o177 == 0
}

// namesFile reports whether the path, itself no link, names the open file.
func namesFile(path string, f *os.File) bool {
	st, err := f.Stat()
	if err != nil {
		return false
	}
	at, err := os.Lstat(path)
	return err == nil && os.SameFile(st, at)
}

// TempPath is the path of the temporary file, to load from.
func (in *Incoming) TempPath() string { return in.path + tempSuffix }

// Path is the path of the file that Commit replaces.
func (in *Incoming) Path() string { return in.path }

// Size is how many bytes have been written, up to the furthest.
func (in *Incoming) Size() int64 { return in.size }

// Reader reads what has been written so far, from the start.
func (in *Incoming) Reader() io.Reader { return io.NewSectionReader(in, 0, in.size) }

// ReadAt reads what has been written.
func (in *Incoming) ReadAt(p []byte, off int64) (int, error) {
	if in.f == nil {
		return 0, ErrIncomingClosed
	}
	return in.f.ReadAt(p, off)
}

// Write appends. After a failure every further Write, and Commit, fails too.
func (in *Incoming) Write(p []byte) (int, error) { return in.WriteAt(p, in.size) }

// WriteAt writes at an offset; it shares Write's rule of failure.
func (in *Incoming) WriteAt(p []byte, off int64) (int, error) {
	if in.f == nil {
		return 0, ErrIncomingClosed
	}
	if in.failed != nil {
		return 0, in.failed
	}
	if in.synced {
		return 0, in.fault("write", errors.New("more data after Sync"))
	}
	n, err := 0, osutil.Step("write", in.TempPath())
	if err == nil {
		n, err = in.f.WriteAt(p, off)
	}
	in.size = max(in.size, off+int64(n))
	in.behind.wrote(in.size)
	if err != nil {
		in.failed = in.fault("write", err)
	}
	return n, in.failed
}

// WrittenOnce says that the file will hardly be read, so that the system need not
// keep it in memory.
func (in *Incoming) WrittenOnce() { in.behind.keep = 0 }

// Sync makes the content durable and turns the lock into a shared one, as MIT
// does before the load: other receivers are still kept out, readers are not.
// Write is possible no more.
func (in *Incoming) Sync() error {
	if in.f == nil {
		return ErrIncomingClosed
	}
	if in.failed != nil {
		return in.failed
	}
	if in.synced {
		return nil
	}
	err := osutil.Step("fsync", in.TempPath())
	if err == nil {
		err = in.f.Sync()
	}
	if err != nil {
		// The kernel may have dropped what it could not write.
		in.failed = in.fault("sync", err)
		return in.failed
	}
	if err := osutil.TryLock(in.f, osutil.Shared); err != nil {
		return in.fault("lock", err)
	}
	in.synced = true
	in.behind.synced(in.size)
	return nil
}

// Commit gives the durable content the final name and ends the lock. If it
// fails, what had the name before is still there, and Abort is still due. The
// name is durable after SyncName.
func (in *Incoming) Commit() error {
	if err := in.Sync(); err != nil {
		return err
	}
	if !namesFile(in.TempPath(), in.f) {
		return in.rename(fs.ErrNotExist)
	}
	if err := rename(in.TempPath(), in.path); err != nil {
		return in.rename(err)
	}
	in.f.Close()
	in.f = nil
	return nil
}

// SyncName makes the name durable that Commit gave. It is apart from it, since
// the file system may take its time to let go of a large file that had the name
// before, and nothing depends on which of the two a power cut leaves.
func (in *Incoming) SyncName() error {
	if err := syncDir(in.path); err != nil {
		return in.fault("sync", err)
	}
	return nil
}

// Abort removes the temporary file and ends the lock. It does nothing after
// Commit or another Abort.
func (in *Incoming) Abort() error {
	if in.f == nil {
		return nil
	}
	defer func() {
		in.f.Close()
		in.f = nil
	}()
	if !namesFile(in.TempPath(), in.f) {
		return nil
	}
	if err := remove(in.TempPath()); err != nil {
		return in.fault("remove", err)
	}
	return nil
}

func (in *Incoming) fault(op string, err error) error {
	return &IncomingError{Op: op, Path: in.TempPath(), Err: err}
}

func (in *Incoming) rename(err error) error {
	return &IncomingError{Op: "rename", Path: in.TempPath(), To: in.path, Err: err}
}
