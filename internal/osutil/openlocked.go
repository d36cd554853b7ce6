package osutil

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Waiting for a lock without blocking: programs of MIT's hold theirs for less
// than a millisecond, but for a dump.
const (
	lockPollMin = time.Millisecond
	lockPollMax = 20 * time.Millisecond
)

// OpenLocked opens a regular file, as [OpenRegular] does, with a lock, for which it
// waits until ctx ends; the error is then its cause, wrapped. The file is the one
// that has the name when it is locked. The lock ends when it is closed.
func OpenLocked(ctx context.Context, path string, flags int, kind LockKind) (*os.File, error) {
	for pause := lockPollMin; ; pause = min(2*pause, lockPollMax) {
		f, err := tryOpenLocked(path, flags, kind)
		if f != nil || err != nil {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s, which another program holds: %w", path, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// tryOpenLocked gives nothing if the lock is held, or the file was replaced
// before it was locked.
func tryOpenLocked(path string, flags int, kind LockKind) (*os.File, error) {
	if err := Step("lock", path); err != nil {
		return nil, err
	}
	f, err := OpenRegular(path, flags)
	if err != nil {
		return nil, err
	}
	err = TryLock(f, kind)
	if err == nil && leadsTo(path, f) {
		return f, nil
	}
	f.Close()
	if err != nil && !errors.Is(err, ErrLocked) {
		return nil, err
	}
	return nil, nil
}

// leadsTo reports whether the path, be it a link, is that of the open file.
func leadsTo(path string, f *os.File) bool {
	st, err := f.Stat()
	if err != nil {
		return false
	}
	at, err := os.Stat(path)
	return err == nil && os.SameFile(st, at)
}
