package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of one megabyte for the time of the test. It
// reports whether this process is allowed to.
func smallDisk(t *testing.T) (dir string, mounted bool) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("kprop-test", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Logf("no small file system for this user: %v; kdb's test with a limit of the file size is what is left", err)
		return "", false
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir, true
}
