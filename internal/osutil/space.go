package osutil

import (
	"os"

	"golang.org/x/sys/unix"
)

// FreeBytes is how much this process may still write in a directory, in bytes.
func FreeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	blocks := st.Bavail
	if os.Geteuid() == 0 {
		blocks = st.Bfree
	}
	return int64(min(blocks, 1<<62/uint64(max(1, st.Bsize)))) * st.Bsize, nil
}

// SameDevice reports whether two paths, which must exist, are on one file
// system.
func SameDevice(a, b string) bool {
	var sa, sb unix.Stat_t
	return unix.Stat(a, &sa) == nil && unix.Stat(b, &sb) == nil && sa.Dev == sb.Dev
}
