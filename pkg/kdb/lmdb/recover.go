package lmdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kprop/kprop/internal/osutil"
)

// Recover puts back what [Keep] has kept, after a load that failed, or when the
// process that called Keep is no more. If a file of the database d is gone or
// damaged, its copy takes its place, with owner and mode of the original, and
// restored is true; it needs no room for that. A file that is sound stays.
// Without a complete copy nothing is put back, as Keep had not ended and so no
// load had begun. The files are on the disk when Recover returns without an error;
// [Forget] is next.
//
// Programs that have the database open do not look at the path again (6.1): a
// krb5kdc that still runs has the deleted files, and ends with its next request;
// it must be started anew. A file that is damaged but not deleted is not replaced
// while a program has it: the error is then [ErrInUse]. After an error, Recover can
// be called again, even by another process.
func Recover(ctx context.Context, d string) (restored bool, err error) {
	note, err := readNote(d)
	if errors.Is(err, errNoNote) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, path := range keptFiles(d) {
		mode, kept := note.mode(path)
		if !kept {
			continue
		}
		fault := intact(ctx, path)
		if fault == nil || errors.Is(fault, ErrBusy) {
			continue // programs write it: it is alive
		}
		if !lost(fault) {
			return restored, fmt.Errorf("whether %s is whole is not known: %w", path, fault)
		}
		if err := putBack(path, mode, deleted(fault)); err != nil {
			return restored, fmt.Errorf("put back %s: %w", path, err)
		}
		restored = true
	}
	return restored, nil
}

// intact reads a data file of a database in full, in place, while programs may
// be writing it.
func intact(ctx context.Context, path string) error {
	return inPlace(ctx, path, func(e *Env) error {
		for _, name := range namesIn(path) {
			if _, err := e.find(name); err != nil {
				return err
			}
		}
		_, err := e.Check()
		return err
	})
}

// lost reports whether an error of intact is about the file, not the reading.
func lost(err error) bool {
	var damaged *CorruptError
	return deleted(err) || errors.As(err, &damaged) || errors.Is(err, ErrNoDatabase)
}

// deleted reports whether the file is as kdb5_util leaves it at any moment of a
// deletion: the first block is the first that is filled with zeros.
func deleted(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrFormat) }

// putBack gives the copy of a data file its place and mode.
func putBack(path string, mode fs.FileMode, deleted bool) error {
	spare, err := Open(sparePath(path))
	if err != nil {
		return err
	}
	defer spare.Close()
	if _, err := spare.Check(); err != nil {
		return err
	}
	if err := errors.Join(spare.file.Chmod(mode), syncFile(spare.file)); err != nil {
		return err
	}
	if deleted {
		// The rest of what kdb5_util was at. Whoever has the lock file has
		// nothing left behind it, and it would keep others from the new file.
		if err := removeIfThere(lockPath(path)); err != nil {
			return err
		}
	}
	lock, err := hold(lockPath(path))
	if err != nil {
		return err
	}
	defer lock.release()
	if err := rename(sparePath(path), path); err != nil {
		return err
	}
	if err := lock.renew(spare.Info().Txn); err != nil {
		return err
	}
	return syncDir(path)
}

// guard is a lock file that no program uses, held so that none begins to. It may
// be nil.
type guard struct{ file *os.File }

// hold takes the lock file. Without one it returns nil: a program that opens the
// database then makes one, for the files that it finds.
func hold(path string) (*guard, error) {
	f, err := openRegular(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	g := &guard{f}
	if err := osutil.TryLock(f, osutil.Exclusive); err != nil {
		g.release()
		if errors.Is(err, osutil.ErrLocked) {
			err = fmt.Errorf("%w: stop krb5kdc, kadmind and kadmin.local (lock file %s)", ErrInUse, path)
		}
		return nil, err
	}
	if !g.known() {
		g.release()
		return nil, fmt.Errorf("%w: remove %s, which no program uses", errLockLayout, path)
	}
	return g, nil
}

func (g *guard) known() bool {
	b := make([]byte, lockSlots)
	if _, err := g.file.ReadAt(b, 0); err != nil {
		return false
	}
	return knownLayout(b)
}

// renew makes the region valid for a data file whose last transaction is txn. A
// program that waits for the lock takes the region as it is (6.2).
func (g *guard) renew(txn uint64) error {
	if g == nil {
		return nil
	}
	b := make([]byte, lockSlots)
	le.PutUint32(b, magic)
	le.PutUint32(b[4:], lockFormat)
	le.PutUint32(b[lockMutex+lockKindAt:], lockKind)
	le.PutUint64(b[lockTxn:], txn)
	le.PutUint32(b[lockWriter+lockKindAt:], lockKind)
	_, err := g.file.WriteAt(b, 0)
	return err
}

func (g *guard) release() {
	if g != nil {
		g.file.Close()
	}
}
