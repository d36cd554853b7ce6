package db2

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/kprop/kprop/internal/osutil"
)

// Locks are MIT's two locks of a database, held (reference kdb-formats.md 5.1,
// 5.2). They end with Unlock, or with the process.
type Locks struct {
	principals, policies *os.File
	since                time.Time
}

// Lock takes both locks of the database of that name in MIT's order, and waits
// until ctx ends for programs that hold them; the error is then its cause,
// wrapped. With [osutil.Exclusive] nobody reads or writes the database until
// Unlock; the files of the locks must be writable, and are made where MIT's
// programs would make them. With [osutil.Shared] nobody writes it; it is enough
// that the files are readable.
//
// The files keep their inodes, since running programs hold them open (5.3). A
// missing one is an error which names the mend.
func Lock(ctx context.Context, database string, how osutil.LockKind) (*Locks, error) {
	var l Locks
	var err error
	exclusive := how == osutil.Exclusive
	if l.principals, err = lockFile(ctx, database+LockSuffix, how, exclusive); err != nil {
		return nil, noLockFile(err, database+LockSuffix,
			"without it no program of MIT's opens this database")
	}
	l.since = time.Now()
	_, statErr := os.Lstat(database)
	if l.policies, err = lockFile(ctx, database+PolicyLockSuffix, how, exclusive && statErr != nil); err != nil {
		l.principals.Close()
		return nil, noLockFile(err, database+PolicyLockSuffix,
			"a \"kdb5_util load -update\" of this database was broken off")
	}
	return &l, nil
}

// noLockFile says what to do about a lock file that is not there.
func noLockFile(err error, path, why string) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w: %s; make the file again with: install -m 600 /dev/null %s", err, why, path)
}

// Unlock ends the locks and says how long that of the principals was held. It does
// nothing the second time.
func (l *Locks) Unlock() (held time.Duration) {
	if l.principals == nil {
		return 0
	}
	l.policies.Close()
	l.principals.Close()
	l.principals, l.policies = nil, nil
	return time.Since(l.since)
}

// Touch sets the time by which MIT notes a change: whole seconds, later than
// before (5.3). No program of MIT's looks at it.
func (l *Locks) Touch() {
	now := time.Now().Truncate(time.Second)
	if st, err := l.principals.Stat(); err == nil && !st.ModTime().Before(now) {
		now = st.ModTime().Truncate(time.Second).Add(time.Second)
	}
	_ = os.Chtimes(l.principals.Name(), now, now)
}

// lockFile opens and locks a lock file.
func lockFile(ctx context.Context, path string, how osutil.LockKind, create bool) (*os.File, error) {
	flags := os.O_RDONLY
	if how == osutil.Exclusive {
		flags = os.O_RDWR
	}
	if create {
		flags |= os.O_CREATE
	}
	return osutil.OpenLocked(ctx, path, flags, how)
}
