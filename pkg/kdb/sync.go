package kdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// syncFile makes the content of a file durable.
func syncFile(path string) error {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := osutil.Step("fsync", path); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes the names in the directory of path durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := osutil.Step("fsync", dir.Name()); err != nil {
		return err
	}
	return dir.Sync()
}

// SyncDatabase makes durable what kdb5_util has put in place: the files of the
// database of that name and their directory. MIT's load makes only the
// principals durable (reference kdb-formats.md 1.9). A file that is not there
// belongs to another back end.
func SyncDatabase(name string) error {
	for _, suffix := range []string{"", ".kadm5", ".mdb", ".lockout.mdb"} {
		if err := syncFile(name + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := syncDir(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// errNotRegular is the reason why a FIFO, device or directory is refused.
var errNotRegular = osutil.ErrNotRegular

// openRegular is osutil's.
var openRegular = osutil.OpenRegular

// systemText is the C library's sentence for an error, which MIT's programs
// print: that of the error number, without operation and path.
func systemText(err error) string {
	var no unix.Errno
	if errors.As(err, &no) {
		text := no.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Sprint(pe.Err)
	}
	return fmt.Sprint(err)
}
