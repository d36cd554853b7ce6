package lmdb

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The lock file of reference kdb-lmdb.md 2, as glibc has it on x86-64.
const (
	lockFormat    = 0x00010001
	lockMutex     = 8
	lockTxn       = 48
	lockCount     = 56
	lockWriter    = 64
	lockSlots     = 128
	lockSlot      = 64
	lockKindAt    = 16 // in a mutex
	lockKind      = 0x90
	maxLockFile   = 1 << 20 // 16 thousand readers; LMDB's default is 126
	idleReaderTxn = math.MaxUint64
)

// errLockLayout says that a lock file is of another C library, machine or
// release of LMDB.
var errLockLayout = errors.New("a lock file of unknown layout")

// reader is a process that has the environment open, by its slot in the lock
// file.
type reader struct {
	pid   int
	txn   uint64 // that it reads, or idleReaderTxn
	alive bool
}

func lockPath(dataFile string) string { return dataFile + "-lock" }

// readers reads the slots of the lock file beside a data file. Without a lock
// file there are none. It takes no lock.
func readers(dataFile string) ([]reader, error) {
	f, err := openRegular(lockPath(dataFile), os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLockFile))
	if err != nil {
		return nil, err
	}
	found, err := parseReaders(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", lockPath(dataFile), err)
	}
	for i := range found {
		if found[i].alive, err = alive(f, found[i].pid); err != nil {
			return nil, fmt.Errorf("read %s: %w", lockPath(dataFile), err)
		}
	}
	return found, nil
}

func parseReaders(b []byte) ([]reader, error) {
	if !knownLayout(b) {
		return nil, errLockLayout
	}
	slots := min(uint64(le.Uint32(b[lockCount:])), uint64(len(b)-lockSlots)/lockSlot)
	var found []reader
	for i := range slots {
		slot := b[lockSlots+i*lockSlot:]
		if pid := int32(le.Uint32(slot[8:])); pid > 0 {
			found = append(found, reader{pid: int(pid), txn: le.Uint64(slot)})
		}
	}
	return found, nil
}

func knownLayout(b []byte) bool {
	return runtime.GOARCH == "amd64" && len(b) >= lockSlots &&
		le.Uint32(b) == magic && le.Uint32(b[4:]) == lockFormat &&
		le.Uint32(b[lockMutex+lockKindAt:]) == lockKind && le.Uint32(b[lockWriter+lockKindAt:]) == lockKind
}

// alive says whether a process holds the lock on the byte of its number, which
// each process with a slot does.
func alive(f *os.File, pid int) (bool, error) {
	l := unix.Flock_t{Type: unix.F_RDLCK, Start: int64(pid), Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &l); err != nil {
		return false, err
	}
	return l.Type != unix.F_UNLCK, nil
}
