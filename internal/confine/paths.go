package confine

import (
	"os"
	"path/filepath"
	"slices"
)

// What programs and the C library need.
var (
	programs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"}
	settings = []string{
		"/etc", "/proc",
		"/sys/devices/system/cpu", // how many processors there are
		"/sys/fs/cgroup",          // how much memory may be taken
		// To where /etc/resolv.conf may lead.
		"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
	}
	devices = []string{"/dev/zero", "/dev/random", "/dev/urandom"}
)

// Writable are the directories of Write.
func (p Places) Writable() []string { return directories(p.Write) }

func existing(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Stat(path)
		return err != nil
	})
}

// directories are those that the paths stand for, each once, sorted.
func directories(paths []string) []string {
	var list []string
	for _, path := range paths {
		if path == "" {
			continue
		}
		path, err := filepath.Abs(path)
		if err != nil {
			continue // the directory that this process works in is gone
		}
		list = append(list, directory(path))
		if target, err := filepath.EvalSymlinks(path); err == nil {
			list = append(list, directory(target))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// directory is the path itself if it is one, else the nearest one above it.
func directory(path string) string {
	for {
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			return path
		}
		above := filepath.Dir(path)
		if above == path {
			return path
		}
		path = above
	}
}
