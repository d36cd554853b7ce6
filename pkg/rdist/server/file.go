package server

import (
	"golang.org/x/sys/unix"
)

// newFile is a file that was made here and is being written. An os.File would
// cost more than the small files that most are. Close may be called again.
type newFile struct{ fd int }

// Write writes all of p where the last Write has ended.
func (f *newFile) Write(p []byte) (int, error) {
	return writeAll(p, func(part []byte, _ int) (int, error) { return unix.Write(f.fd, part) })
}

// WriteAt writes all of p at an offset.
func (f *newFile) WriteAt(p []byte, offset int64) (int, error) {
	return writeAll(p, func(part []byte, done int) (int, error) { return unix.Pwrite(f.fd, part, offset+int64(done)) })
}

func writeAll(p []byte, write func(part []byte, done int) (int, error)) (done int, err error) {
	for done < len(p) {
		n := 0
		err := retry(func() (err error) {
			n, err = write(p[done:], done)
			return err
		})
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// Truncate sets the size.
func (f *newFile) Truncate(size int64) error {
	return retry(func() error { return unix.Ftruncate(f.fd, size) })
}

// chown changes the owner; -1 leaves one alone. Mostly the file was made with
// the right one, and to look costs less than to set it.
func (f *newFile) chown(uid, gid int) error {
	var st unix.Stat_t
	if unix.Fstat(f.fd, &st) == nil && (uid < 0 || uint32(uid) == st.Uid) && (gid < 0 || uint32(gid) == st.Gid) {
		return nil
	}
	return retry(func() error { return unix.Fchown(f.fd, uid, gid) })
}

func (f *newFile) chmod(mode uint32) error {
	return retry(func() error { return unix.Fchmod(f.fd, mode) })
}

// Close closes the file. It is not tried again: Linux has closed it whatever it
// answers, and the number may be another file's by then.
func (f *newFile) Close() error {
	fd := f.fd
	if f.fd = -1; fd < 0 {
		return nil
	}
	if err := unix.Close(fd); err != unix.EINTR {
		return err
	}
	return nil
}
