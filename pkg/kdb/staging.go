package kdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// Staging is a place beside a DB2 database for a load that must not touch it.
// MIT's load, killed while it puts the new files in place, leaves a database
// that no KDC can use (reference kdb-formats.md 5.4). So it loads into
// Database, under a name of its own, and Promote then puts complete and durable
// files in place (5.5):
//
//	NewStaging, Watch, load into Database, SyncDatabase(Database()), Prepare, look into it, Promote, Close
//
// The load is one by kdb5_util, or a [db2.Builder], which makes the files durable
// itself. Watch and Prepare may be left out.
//
// At any moment the live database is the old or the new one, whoever is killed.
// There is one Staging of a database at a time on a host. It is for one
// goroutine.
type Staging struct {
	live     string
	lock     *os.File
	watch    *watch // nil: not asked for
	prepared bool
}

// Names beside the database D. MIT's programs use none of them but those that
// they derive from the staging database's own name.
const (
	stagingSuffix  = ".kpropd"          // the staging database, and before all of its files
	stagingLock    = ".kpropd-lock"     // keeps out another Staging; it stays
	stagedPolicies = ".kpropd-policies" // the policies of a promotion that has begun
	formerSuffix   = ".kpropd-former"   // the principals that a promotion replaces
)

// NewStaging takes the place beside the database of that name, which need not
// exist, and clears away what an earlier one has left: a promotion that was
// broken off is finished, for which it waits until ctx ends for programs that
// hold MIT's locks. If another one is under way the error wraps ErrLocked.
func NewStaging(ctx context.Context, database string) (*Staging, error) {
	if err := osutil.Step("open", database+stagingLock); err != nil {
		return nil, err
	}
	lock, err := openRegular(database+stagingLock, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	s := &Staging{live: database, lock: lock}
	if err := osutil.TryLock(lock, osutil.Exclusive); err != nil {
		lock.Close()
		if errors.Is(err, osutil.ErrLocked) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("prepare a load into %s: %w", database, err)
	}
	if err := s.recover(ctx); err != nil {
		lock.Close()
		return nil, fmt.Errorf("clear away what an earlier load into %s has left: %w", database, err)
	}
	return s, nil
}

// RecoverStaging finishes or clears away what a kpropd that was killed has left
// beside the database, if anything. While a load is under way it does nothing.
func RecoverStaging(ctx context.Context, database string) error {
	s := &Staging{live: database}
	left := false
	for _, path := range append(s.files(), s.live+stagedPolicies, s.live+formerSuffix) {
		_, err := os.Lstat(path)
		left = left || err == nil
	}
	if !left {
		return nil
	}
	s, err := NewStaging(ctx, database)
	if errors.Is(err, ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Close()
}

// Database is the name of the database to load into.
func (s *Staging) Database() string { return s.live + stagingSuffix }

// files are all that kdb5_util makes for Database, the principals last.
func (s *Staging) files() []string {
	var all []string
	for _, name := range []string{s.Database() + "~", s.Database()} {
		for _, suffix := range []string{db2.PolicySuffix, db2.PolicyLockSuffix, db2.LockSuffix, ""} {
			all = append(all, name+suffix)
		}
	}
	return all
}

// Close removes what is left of the staging database and ends the lock. What a
// crash keeps it from removing, the next NewStaging does.
func (s *Staging) Close() error {
	if s.lock == nil {
		return nil
	}
	if s.watch != nil {
		s.watch.close()
	}
	// To free a large file takes its time. It is done when the last that has it
	// open lets go of it, for which nobody need wait.
	former, openErr := os.OpenFile(s.live+formerSuffix, unix.O_PATH|unix.O_NOFOLLOW, 0)
	err := s.clear()
	if openErr == nil {
		go former.Close()
	}
	s.lock.Close()
	s.lock = nil
	return err
}

// clear removes everything that has keys first. A db2.Builder that was killed as it
// made a temporary file may have left that, empty.
func (s *Staging) clear() error {
	paths := append([]string{s.live + formerSuffix, s.live + stagedPolicies}, s.files()...)
	sorts, err := filepath.Glob(globQuoted(s.Database()) + "*.sort-*")
	errs := []error{err}
	for _, path := range append(paths, sorts...) {
		errs = append(errs, remove(path))
	}
	return errors.Join(errs...)
}

func remove(path string) error {
	if err := osutil.Step("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// recover goes by what is left. A promotion renames the policies to a name of
// their own, then the principals into place, then the policies: so policies of
// that name without staged principals are the rest of a promotion.
func (s *Staging) recover(ctx context.Context) error {
	if exists(s.live+stagedPolicies) && !exists(s.Database()) && s.policiesAreNewer() {
		live, err := db2.Lock(ctx, s.live, osutil.Exclusive)
		if err != nil {
			return err
		}
		err = rename(s.live+stagedPolicies, s.live+db2.PolicySuffix)
		live.Unlock()
		if err != nil {
			return err
		}
		if err := syncDir(s.live); err != nil {
			return err
		}
	}
	return s.clear()
}

// policiesAreNewer is false if another load has put policies in place since.
func (s *Staging) policiesAreNewer() bool {
	staged, err := os.Lstat(s.live + stagedPolicies)
	if err != nil {
		return false
	}
	now, err := os.Lstat(s.live + db2.PolicySuffix)
	return err != nil || !now.ModTime().After(staged.ModTime())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func rename(from, to string) error {
	if err := osutil.Step("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// NotDurableError says that the new database is live, but that a power cut may
// bring back the former one.
type NotDurableError struct {
	Database string
	Err      error
}

func (e *NotDurableError) Error() string {
	return fmt.Sprintf("the database %s is loaded but could not be made durable: %v", e.Database, e.Err)
}

func (e *NotDurableError) Unwrap() error { return e.Err }
