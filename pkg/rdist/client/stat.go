package client

import (
	"os"
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

// eintr repeats a call that a signal interrupted, as network file systems do.
func eintr(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func systemReadDir(name string) ([]string, error) {
	d, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func isDir(st *statInfo) bool     { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
func isRegular(st *statInfo) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }
func isLink(st *statInfo) bool    { return st.Mode&unix.S_IFMT == unix.S_IFLNK }

func permissions(st *statInfo) uint32 { return st.Mode & 0o7777 }

// inode names a file of this machine.
type inode struct{ dev, ino uint64 }

func inodeOf(st *statInfo) inode { return inode{st.Dev, st.Ino} }
