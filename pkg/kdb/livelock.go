package kdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/kprop/kprop/internal/osutil"
)

// What the names of a DB2 database's files end in, behind that of the
// principals.
const (
	policySuffix     = ".kadm5"
	policyLockSuffix = ".kadm5.lock"
	lockSuffix       = ".ok"
)

// liveLocks are MIT's two locks of a database, taken exclusively.
type liveLocks struct{ principals, policies *os.File }

// Waiting for a lock without blocking: MIT's programs hold theirs for less than
// a millisecond, but for a dump.
const (
	lockPollMin = time.Millisecond
	lockPollMax = 20 * time.Millisecond
)

// lockLive takes the locks in MIT's order. Their files must keep their inodes,
// since running programs hold them open (reference kdb-formats.md 5.3).
func lockLive(ctx context.Context, database string) (*liveLocks, error) {
	var l liveLocks
	var err error
	if l.principals, err = lockFile(ctx, database+lockSuffix, true); err != nil {
		return nil, err
	}
	if l.policies, err = lockFile(ctx, database+policyLockSuffix, !exists(database)); err != nil {
		l.principals.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: a \"kdb5_util load -update\" of this database was broken off; make the file again with: install -m 600 /dev/null %s",
				err, database+policyLockSuffix)
		}
		return nil, err
	}
	return &l, nil
}

func (l *liveLocks) unlock() {
	l.policies.Close()
	l.principals.Close()
}

// touch sets the time by which MIT notes a change: whole seconds, later than
// before. No program of MIT's looks at it.
func (l *liveLocks) touch() {
	now := time.Now().Truncate(time.Second)
	if st, err := l.principals.Stat(); err == nil && !st.ModTime().Before(now) {
		now = st.ModTime().Truncate(time.Second).Add(time.Second)
	}
	_ = os.Chtimes(l.principals.Name(), now, now)
}

// lockFile opens a lock file and waits for the lock.
func lockFile(ctx context.Context, path string, create bool) (*os.File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	for pause := lockPollMin; ; pause = min(2*pause, lockPollMax) {
		f, err := tryLockFile(path, flags)
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

// tryLockFile gives nothing if the lock is held, or the file was replaced
// before it was locked.
func tryLockFile(path string, flags int) (*os.File, error) {
	if err := osutil.Step("lock", path); err != nil {
		return nil, err
	}
	f, err := openRegular(path, flags)
	if err != nil {
		return nil, err
	}
	err = osutil.TryLock(f, osutil.Exclusive)
	if err == nil && leadsTo(path, f) {
		return f, nil
	}
	f.Close()
	if err != nil && !errors.Is(err, osutil.ErrLocked) {
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
