package kdb

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// DumpFileKind tells what was wrong with a dump or with a file beside it.
type DumpFileKind int

const (
	DumpOpen       DumpFileKind = iota + 1 // the dump cannot be opened
	DumpNotRegular                         // it is a directory, a FIFO or a device
	DumpLocked                             // a program is writing it
	DumpLock                               // it cannot be locked for another reason
	DumpStat                               // size and time of the dump or its .dump_ok are not to be had
	DumpStale                              // the dump is newer than its .dump_ok
	DumpLastProp                           // the .last_prop file cannot be written
)

// DumpFileError says which file failed and how.
type DumpFileError struct {
	Kind DumpFileKind
	Path string // of the file in question: dump, .dump_ok or .last_prop
	Err  error  // nil for DumpStale
}

// MITText is what MIT's kprop prints after "kprop: " (reference
// kprop-protocol.md 11).
func (e *DumpFileError) MITText() string {
	switch e.Kind {
	case DumpOpen:
		return systemText(e.Err) + " while trying to open " + e.Path
	case DumpLocked:
		return "database locked"
	case DumpLock:
		return systemText(e.Err) + " while trying to lock '" + e.Path + "'"
	case DumpStat:
		return systemText(e.Err) + " while trying to stat " + e.Path
	case DumpStale:
		return "'" + e.Path + "' more recent than '" + e.Path + okSuffix + "'."
	case DumpLastProp:
		return systemText(e.Err) + " while creating 'last_prop' file, '" + e.Path + "'"
	}
	return "'" + e.Path + "' is " + errNotRegular.Error()
}

// Error is MITText and, where there is one, what to do about it.
func (e *DumpFileError) Error() string {
	switch e.Kind {
	case DumpLocked:
		return e.MITText() + " (another program is using " + e.Path + " just now; try again when it has finished)"
	case DumpStale:
		return e.MITText() + " (the last dump did not finish; repeat it: kdb5_util dump " + e.Path + ")"
	case DumpOpen, DumpStat:
		if errors.Is(e.Err, os.ErrNotExist) {
			return e.MITText() + " (make it: kdb5_util dump " + strings.TrimSuffix(e.Path, okSuffix) + ")"
		}
	}
	return e.MITText()
}

func (e *DumpFileError) Unwrap() error { return e.Err }

const (
	okSuffix       = ".dump_ok"
	lastPropSuffix = ".last_prop"
)

// DumpFile is a finished dump, open for reading under a shared lock.
type DumpFile struct {
	f        *os.File
	path     string // empty: it has no name
	size     int64
	modTime  time.Time
	finished bool
}

// OpenDump opens the dump for a propagation by the rule of MIT's kprop
// (reference kprop-protocol.md 12): a shared lock must be free at once, and
// <path>.dump_ok must not be older than the dump, in whole seconds. Beyond MIT
// it refuses what is not a regular file. Errors are *DumpFileError. The caller
// closes the DumpFile; the lock ends with that.
func OpenDump(path string) (*DumpFile, error) {
	f, err := openRegular(path, os.O_RDONLY)
	if errors.Is(err, errNotRegular) {
		return nil, &DumpFileError{DumpNotRegular, path, err}
	}
	if err != nil {
		return nil, &DumpFileError{DumpOpen, path, err}
	}
	d := &DumpFile{f: f, path: path}
	if err := d.check(); err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

func (d *DumpFile) check() error {
	err := osutil.TryLock(d.f, osutil.Shared)
	if errors.Is(err, osutil.ErrLocked) {
		return &DumpFileError{DumpLocked, d.path, err}
	}
	if err != nil {
		return &DumpFileError{DumpLock, d.path, err}
	}
	st, err := d.f.Stat()
	if err != nil {
		return &DumpFileError{DumpStat, d.path, err}
	}
	ok, err := os.Stat(d.path + okSuffix)
	if err != nil {
		return &DumpFileError{DumpStat, d.path + okSuffix, err}
	}
	if st.ModTime().Unix() > ok.ModTime().Unix() {
		return &DumpFileError{Kind: DumpStale, Path: d.path}
	}
	d.size, d.modTime, d.finished = st.Size(), st.ModTime(), ok.Size() > 0
	return nil
}

// UnnamedDump is a DumpFile for a finished dump in a file without a name, which it
// takes over. It has no marks, and nobody else can come by it.
func UnnamedDump(f *os.File) (*DumpFile, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, &DumpFileError{DumpStat, f.Name(), err}
	}
	return &DumpFile{f: f, size: st.Size(), modTime: st.ModTime(), finished: true}, nil
}

// Remove removes the dump's name and its marks. What is open goes on, as an
// UnnamedDump.
func (d *DumpFile) Remove() error {
	path := d.path
	d.path = ""
	return RemoveDump(path)
}

// File returns the open dump; it stays the DumpFile's.
func (d *DumpFile) File() *os.File { return d.f }

// Size is the dump's length in bytes when it was opened.
func (d *DumpFile) Size() int64 { return d.size }

// ModTime is when the dump was last written.
func (d *DumpFile) ModTime() time.Time { return d.modTime }

// Finished reports whether kdb5_util left its mark of a complete dump. It is
// false while a dump runs and after one failed (reference kdb-formats.md 1.8),
// but also when a script only touched the .dump_ok file; MIT's kprop does not
// look.
func (d *DumpFile) Finished() bool { return d.finished }

// Close ends the lock.
func (d *DumpFile) Close() error { return d.f.Close() }

// WriteLastProp marks a successful propagation to a replica, named as the user
// typed it: <dump>.<host>.last_prop holds one NUL byte, mode 0600, and its time
// is that of the propagation. A name with a slash is refused, and a symbolic
// link is not followed. An UnnamedDump has no marks, so none is written. The error is a *DumpFileError.
func (d *DumpFile) WriteLastProp(host string) error {
	if d.path == "" {
		return nil
	}
	path := d.path + "." + host + lastPropSuffix
	if host == "" || strings.ContainsAny(host, "/\x00") {
		return &DumpFileError{DumpLastProp, path, fmt.Errorf("the host name %q cannot be part of a file name: %w", host, unix.EINVAL)}
	}
	if err := writeMark(path); err != nil {
		return &DumpFileError{DumpLastProp, path, err}
	}
	return nil
}

func writeMark(path string) (err error) {
	f, err := openRegular(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write([]byte{0})
	return err
}
