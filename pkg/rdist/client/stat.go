package client

import (
	"slices"

	"golang.org/x/sys/unix"
)

// statInfo is what the system says of a file.
type statInfo = unix.Stat_t

func systemStat(name string, follow bool) (st statInfo, err error) {
	err = eintr(func() error {
		if follow {
			return unix.Stat(name, &st)
		}
		return unix.Lstat(name, &st)
	})
	return st, err
}

// systemStatAt is systemStat for a name in an open directory: many names in one
// directory would have the whole way looked up again for each.
func systemStatAt(dir int, name string, follow bool) (st statInfo, err error) {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	err = eintr(func() error { return unix.Fstatat(dir, name, &st, flags) })
	return st, err
}

// eintr repeats a call that a signal interrupted, as network file systems do.
func eintr(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// noDir stands for a directory that is not open: what is in it goes by its path.
// No directory has this descriptor; the runtime sees to it that it is taken.
const noDir = 0

func systemReadDir(name string) ([]string, error) {
	d, names, err := systemOpenDir(name)
	if err == nil {
		err = unix.Close(d)
	}
	return names, err
}

// systemOpenDir gives a directory, to be closed, and the names in it, sorted.
func systemOpenDir(name string) (dir int, names []string, err error) {
	err = eintr(func() error {
		dir, err = unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return noDir, nil, err
	}
	buf := make([]byte, 8<<10)
	for {
		n := 0
		err := eintr(func() (err error) {
			n, err = unix.ReadDirent(dir, buf)
			return err
		})
		if err != nil {
			_ = unix.Close(dir) // nothing was written
			return noDir, nil, err
		}
		if n == 0 {
			slices.Sort(names)
			return dir, names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

func isDir(st *statInfo) bool     { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
func isRegular(st *statInfo) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
func isLink(st *statInfo) bool    { return st.Mode&unix.S_IFMT == unix.S_IFLNK }

func permissions(st *statInfo) uint32 { return st.Mode & 0o7777 }

// inode names a file of this machine.
type inode struct{ dev, ino uint64 }

func inodeOf(st *statInfo) inode { return inode{st.Dev, st.Ino} }

// openDir gives the names in a directory, and the directory, which may stay
// noDir.
func (e *env) openDir(path string) (dir int, names []string, err error) {
	if e.byPath {
		names, err = e.readDir(path)
		return noDir, names, err
	}
	return systemOpenDir(path)
}

func closeDir(dir int) {
	if dir != noDir {
		_ = unix.Close(dir) // nothing was written
	}
}

// statOf is about what an object is by now.
func (e *env) statOf(it *item) (statInfo, error) {
	if it.in == noDir {
		return e.stat(it.path, it.follow)
	}
	return systemStatAt(it.in, it.name, it.follow)
}
