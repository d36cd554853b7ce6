package lmdb

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/kprop/kprop/internal/osutil"
)

// Restore puts copies that [Copy] made back as the files of the klmdb database
// d, which is kdc.conf's database_name: for a realm that a failed kdb5_util load
// has deleted, or whose files are damaged. lockoutCopy is empty if the realm
// keeps no lockout data. The files are on the disk when Restore returns. What
// was there is replaced, the file of the principals last, each at once.
//
// Programs never look at the path again once they have the database open (6.1):
// Restore refuses, with [ErrInUse], if one has the files that are there. After a
// failed load, a krb5kdc that still runs has the deleted files; it must be
// started anew after Restore.
func Restore(ctx context.Context, d, mainCopy, lockoutCopy string) error {
	type step struct{ dst, src string }
	steps := []step{{mainFile(d), mainCopy}}
	if lockoutCopy != "" {
		steps = []step{{lockoutFile(d), lockoutCopy}, steps[0]}
	}
	var held []*guard
	defer func() {
		for _, g := range held {
			g.file.Close()
		}
	}()
	for _, s := range steps {
		g, err := hold(lockPath(s.dst))
		if err != nil {
			return fmt.Errorf("put back %s: %w", s.dst, err)
		}
		if g != nil {
			held = append(held, g)
		}
	}
	for _, s := range steps {
		info, err := Copy(ctx, s.dst, s.src)
		if err != nil {
			return err
		}
		for _, g := range held {
			if g.path == lockPath(s.dst) {
				if err := g.renew(info.Txn); err != nil {
					return fmt.Errorf("put back %s: %w", s.dst, err)
				}
			}
		}
	}
	return nil
}

// guard is a lock file that no program uses, held so that none begins to.
type guard struct {
	path string
	file *os.File
}

// hold takes the lock file. Without one it returns nil: a program that opens the
// database then makes one, for the files that it finds.
func hold(path string) (*guard, error) {
	f, err := openRegular(path, os.O_RDWR)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := osutil.TryLock(f, osutil.Exclusive); err != nil {
		f.Close()
		if errors.Is(err, osutil.ErrLocked) {
			err = fmt.Errorf("%w: stop krb5kdc, kadmind, kpropd and kadmin.local (lock file %s)", ErrInUse, path)
		}
		return nil, err
	}
	g := &guard{path, f}
	if !g.known() {
		f.Close()
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
	b := make([]byte, lockSlots)
	le.PutUint32(b, magic)
	le.PutUint32(b[4:], lockFormat)
	le.PutUint32(b[lockMutex+lockKindAt:], lockKind)
	le.PutUint64(b[lockTxn:], txn)
	le.PutUint32(b[lockWriter+lockKindAt:], lockKind)
	_, err := g.file.WriteAt(b, 0)
	return err
}
