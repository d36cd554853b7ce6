package kdb

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// seLinuxLabel is the extended attribute with the label of a file.
const seLinuxLabel = "security.selinux"

// copyAttributes gives a file, which is ours, owner, group, mode and SELinux label
// of another, so that a KDC that may use that may use this. If the other is not
// there, ours stays for its owner alone.
func copyAttributes(from, to string) error {
	if err := osutil.Step("chown", to); err != nil {
		return err
	}
	var want, have unix.Stat_t
	if err := unix.Stat(from, &want); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return &fs.PathError{Op: "stat", Path: from, Err: err}
	}
	if err := unix.Stat(to, &have); err != nil {
		return &fs.PathError{Op: "stat", Path: to, Err: err}
	}
	const permissions = 0o7777
	if want.Mode&permissions != have.Mode&permissions {
		if err := unix.Chmod(to, want.Mode&permissions); err != nil {
			return &fs.PathError{Op: "chmod", Path: to, Err: err}
		}
	}
	if err := copyLabel(from, to); err != nil {
		return err
	}
	// Last, since the owner of the live file may be another.
	if want.Uid != have.Uid || want.Gid != have.Gid {
		if err := unix.Chown(to, int(want.Uid), int(want.Gid)); err != nil {
			return fmt.Errorf("the new database cannot have the owner of %s (uid %d, gid %d): %w; load it as that user, or as root with CAP_CHOWN",
				from, want.Uid, want.Gid, err)
		}
	}
	return nil
}

// copyLabel does nothing where there are no labels.
func copyLabel(from, to string) error {
	want, err := labelOf(from)
	if err != nil || want == nil {
		return err
	}
	have, err := labelOf(to)
	if err != nil || bytes.Equal(want, have) {
		return err
	}
	if err := unix.Setxattr(to, seLinuxLabel, want, 0); err != nil {
		return fmt.Errorf("the new database cannot have the SELinux label %q of %s: %w; let the policy allow it, or see: ls -Z %s",
			bytes.TrimRight(want, "\x00"), from, err, from)
	}
	return nil
}

// labelOf is nil for a file without one.
func labelOf(path string) ([]byte, error) {
	const longest = 4096
	label := make([]byte, longest)
	n, err := unix.Getxattr(path, seLinuxLabel, label)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return nil, nil
	case err != nil:
		return nil, &fs.PathError{Op: "getxattr", Path: path, Err: err}
	}
	return label[:n], nil
}
