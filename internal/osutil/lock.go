// Package osutil holds the few operating-system services that more than one
// package needs.
package osutil

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another open file description holds a conflicting lock.
var ErrLocked = errors.New("locked by another program")

// LockKind is how a file is to be locked.
type LockKind int16

const (
	Unlock    LockKind = unix.F_UNLCK
	Shared    LockKind = unix.F_RDLCK // the file must be open for reading
	Exclusive LockKind = unix.F_WRLCK // the file must be open for writing
)

// TryLock locks the whole of f, or changes or ends the lock, without waiting:
// a conflict gives ErrLocked. It takes open file description locks as MIT's
// krb5_lock_file does (reference kprop-protocol.md 15.3), so it works against
// MIT's programs, and the lock ends when f is closed.
func TryLock(f *os.File, kind LockKind) error {
	err := fcntlLock(f, unix.F_OFD_SETLK, kind)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}

// Lock is TryLock, but waits until the lock is free.
func Lock(f *os.File, kind LockKind) error {
	return fcntlLock(f, unix.F_OFD_SETLKW, kind)
}

func fcntlLock(f *os.File, cmd int, kind LockKind) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		for {
			lk := unix.Flock_t{Type: int16(kind), Whence: 0, Start: 0, Len: 0}
			lockErr = unix.FcntlFlock(fd, cmd, &lk)
			if !errors.Is(lockErr, unix.EINTR) {
				break
			}
		}
	})
	if err != nil {
		return err
	}
	if lockErr != nil {
		return &os.PathError{Op: "lock", Path: f.Name(), Err: lockErr}
	}
	return nil
}
