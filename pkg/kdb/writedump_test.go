package kdb

import (
	"context"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDumpOntoDevice: as root, a rename would replace the device.
func TestDumpOntoDevice(t *testing.T) {
	n, file := nativeFixture(t)
	for name, make := range map[string]func(string) error{
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"link":      func(path string) error { return os.Symlink("/dev/null", path) },
	} {
		path := file + "." + name
		must(t, make(path))
		before, err := os.Lstat(path)
		must(t, err)
		_, err = n.Dump(context.Background(), path)
		if err == nil || !strings.Contains(err.Error(), path+" is not a regular file") {
			t.Errorf("dump onto a %s: %v", name, err)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("the %s was replaced: %v", name, err)
		}
		if _, err := os.Lstat(path + okSuffix); err == nil {
			t.Errorf("the dump onto a %s has left a mark", name)
		}
	}
}
