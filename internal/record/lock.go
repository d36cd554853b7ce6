package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

const (
	lockSuffix = ".lock"
	lockWait   = time.Second // in all
	lockRetry  = 20 * time.Millisecond
)

// takeLock locks the file beside the record, which stays in place when the
// record itself is moved aside, and writes our process ID into it.
func takeLock(path string, deadline time.Time) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	err = retry(deadline, func() error { return osutil.TryLock(f, osutil.Exclusive) })
	if errors.Is(err, osutil.ErrLocked) {
		err = fmt.Errorf("%w%s; is another kprop serve running?", ErrLocked, holder(f))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	// It only helps to name us: on a full disk we can do without.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// holder returns " (process N)" if the file says so.
func holder(f *os.File) string {
	note, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	pid, atoiErr := strconv.Atoi(strings.TrimSpace(string(note)))
	if err != nil || atoiErr != nil || pid <= 0 {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// retry calls try until it succeeds, fails with another error than
// osutil.ErrLocked, or the deadline is over.
func retry(deadline time.Time, try func() error) error {
	for {
		err := try()
		left := time.Until(deadline)
		if !errors.Is(err, osutil.ErrLocked) || left <= 0 {
			return err
		}
		<-time.After(min(left, lockRetry))
	}
}

// flock takes the lock that bbolt and its tools use; that bbolt takes it again
// on the same open file changes nothing.
func flock(f *os.File, deadline time.Time) error {
	err := retry(deadline, func() error {
		err := withFD(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
		if errors.Is(err, unix.EWOULDBLOCK) {
			return osutil.ErrLocked
		}
		return err
	})
	if errors.Is(err, osutil.ErrLocked) {
		return fmt.Errorf("%w; fuser -v %s shows which", ErrLocked, f.Name())
	}
	return err
}

func unflock(f *os.File) error {
	return withFD(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_UN) })
}

// withFD calls fn with the descriptor of f, again if a signal comes between.
func withFD(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var fnErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if fnErr = fn(int(fd)); !errors.Is(fnErr, unix.EINTR) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return fnErr
}
