package server

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// dir is an open directory. It stays the same directory whatever is renamed
// around it, so what is done in it cannot be led elsewhere. No method follows
// a symbolic link; names are single components, or "." for the directory.
type dir struct{ fd int }

// openDir opens the directory at a path and follows links: for what the
// administrator named, never for what a client did.
func openDir(path string) (*dir, error) {
	return openAt(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY, 0)
}

func openAt(at int, name string, flags int, mode uint32) (*dir, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(at, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &dir{fd}, nil
}

// change is retry for a call that changes what is on the disk.
func change(op, name string, call func() error) error {
	if err := osutil.Step(op, name); err != nil {
		return err
	}
	return retry(call)
}

// retry repeats a system call that a signal cut short.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (d *dir) close() {
	if d != nil {
		_ = unix.Close(d.fd) // nothing was written through it
	}
}

// child opens a directory in d. A link is ENOTDIR.
func (d *dir) child(name string) (*dir, error) {
	return openAt(d.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

// stat is about the entry itself, if it is a link too.
func (d *dir) stat(name string) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

// open opens a file for reading. The open does not wait, should the entry have
// become a FIFO.
func (d *dir) open(name string) (*os.File, error) {
	return d.file(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
}

// create makes a file that was not there, for its owner only.
func (d *dir) create(name string) (*os.File, error) {
	f, err := d.createNew(name)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(f.fd), name), nil
}

// createNew is create for a file that only comes in.
func (d *dir) createNew(name string) (*newFile, error) {
	if err := osutil.Step("create", name); err != nil {
		return nil, err
	}
	opened, err := openAt(d.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return &newFile{opened.fd}, nil
}

func (d *dir) file(name string, flags int, mode uint32) (*os.File, error) {
	opened, err := openAt(d.fd, name, flags|unix.O_NOFOLLOW, mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(opened.fd), name), nil
}

func (d *dir) mkdir(name string, mode uint32) error {
	return change("mkdir", name, func() error { return unix.Mkdirat(d.fd, name, mode) })
}

func (d *dir) unlink(name string) error {
	return change("unlink", name, func() error { return unix.Unlinkat(d.fd, name, 0) })
}

func (d *dir) rmdir(name string) error {
	return change("rmdir", name, func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) })
}

func (d *dir) rename(from, to string) error {
	return change("rename", to, func() error { return unix.Renameat(d.fd, from, d.fd, to) })
}

func (d *dir) symlink(text, name string) error {
	return change("symlink", name, func() error { return unix.Symlinkat(text, d.fd, name) })
}

// link gives the entry of another directory, be it a link, one more name here.
func (d *dir) link(from *dir, old, name string) error {
	return change("link", name, func() error { return unix.Linkat(from.fd, old, d.fd, name, 0) })
}

func (d *dir) readlink(name string) (string, error) {
	buf := make([]byte, maxPath+1)
	n := 0
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(d.fd, name, buf)
		return err
	})
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// names lists the entries, at most maxEntries, in the order of the directory.
func (d *dir) names() ([]string, error) {
	open, err := openAt(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer open.close()
	var all []string
	buf := make([]byte, 8<<10)
	for {
		n := 0
		err := retry(func() (err error) {
			n, err = unix.ReadDirent(open.fd, buf)
			return err
		})
		_, _, all = unix.ParseDirent(buf[:max(n, 0)], -1, all)
		switch {
		case err != nil:
			return nil, err
		case n == 0:
			return all, nil
		case len(all) > maxEntries:
			return nil, errors.New("it has more than " + strconv.Itoa(maxEntries) + " entries")
		}
	}
}

// chown changes the owner of the directory itself; -1 leaves one alone.
func (d *dir) chown(uid, gid int) error {
	return change("chown", ".", func() error { return unix.Fchownat(d.fd, "", uid, gid, unix.AT_EMPTY_PATH) })
}

// chmod changes the mode of the directory itself. A descriptor that was opened
// without leave to read does for walking only; the name of it in /proc is the
// same directory.
func (d *dir) chmod(mode uint32) error {
	if err := osutil.Step("chmod", "."); err != nil {
		return err
	}
	f, err := d.file(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return retry(func() error { return unix.Chmod("/proc/self/fd/"+strconv.Itoa(d.fd), mode) })
	}
	defer f.Close()
	return retry(func() error { return unix.Fchmod(int(f.Fd()), mode) })
}

// renameNew renames to a name that is not there yet. Where the file system
// cannot tell, it must be one that nobody foresees.
func (d *dir) renameNew(from, to string) error {
	err := change("rename", to, func() error { return unix.Renameat2(d.fd, from, d.fd, to, unix.RENAME_NOREPLACE) })
	if is(err, unix.EINVAL) {
		err = d.rename(from, to)
	}
	return err
}

// sync makes the names in d durable.
func (d *dir) sync() error {
	return d.withFile("fsync", func(fd int) error { return unix.Fsync(fd) })
}

// syncFileSystem makes all that was written to the file system of d durable.
func (d *dir) syncFileSystem() error {
	return d.withFile("syncfs", func(fd int) error { return unix.Syncfs(fd) })
}

// withFile opens d for a call that takes no descriptor that is for walking only.
func (d *dir) withFile(op string, call func(fd int) error) error {
	f, err := d.file(".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return change(op, ".", func() error { return call(int(f.Fd())) })
}

// setTimes sets the times of an open file.
func setTimes(fd int, atime, mtime unix.Timespec) error {
	times := [2]unix.Timespec{atime, mtime}
	return retry(func() error {
		// No name: the file of the descriptor. The wrappers of it go through
		// /proc, which may not be mounted.
		_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
		runtime.KeepAlive(&times)
		if errno != 0 {
			return errno
		}
		return nil
	})
}

// is reports whether an error is the one of the system.
func is(err error, errno syscall.Errno) bool {
	var e syscall.Errno
	return errors.As(err, &e) && e == errno
}

func isDir(st unix.Stat_t) bool     { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
func isRegular(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
func isLink(st unix.Stat_t) bool    { return st.Mode&unix.S_IFMT == unix.S_IFLNK }
