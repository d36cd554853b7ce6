package db2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// SnapshotMode is how a snapshot keeps the database while it is read.
type SnapshotMode int

const (
	// SnapshotAuto is the first of the others for which there is room.
	SnapshotAuto SnapshotMode = iota
	// SnapshotMemory is a copy in memory: the locks are held for as long as the
	// page cache needs to give the file out, 0.1 s for a million principals.
	SnapshotMemory
	// SnapshotCopy is a copy in a file without a name, which shares the blocks of
	// the database where the file system can. Elsewhere it is made before the locks
	// are taken, and what has changed meanwhile is looked for under them. It needs
	// little memory.
	SnapshotCopy
	// SnapshotLocked is no copy: the locks are held until Close. Meanwhile the
	// first login of a principal that requires preauthentication makes the whole
	// KDC wait (reference kdb-formats.md 5.2), as during a dump of MIT's.
	SnapshotLocked
)

// String is the word for the mode.
func (m SnapshotMode) String() string {
	switch m {
	case SnapshotMemory:
		return "memory"
	case SnapshotCopy:
		return "copy"
	case SnapshotLocked:
		return "locked"
	}
	return "auto"
}

// SnapshotOptions says how a snapshot is taken. The zero value is right for most.
type SnapshotOptions struct {
	Mode SnapshotMode
	// MemoryLimit is how large a database SnapshotAuto takes into memory, in
	// bytes; 0 means half of the memory that is available now.
	MemoryLimit int64
	// TempDir is where a SnapshotCopy is made; empty means beside the database,
	// where the same bytes are.
	TempDir string
}

// Snapshot is a database as it was at one moment. Close it.
type Snapshot struct {
	Principals, Policies *Image
	Mode                 SnapshotMode  // how it is kept, never SnapshotAuto
	Held                 time.Duration // how long the locks were held; of SnapshotLocked after Close

	locks *Locks // of SnapshotLocked
}

// TakeSnapshot takes a snapshot of the database of that name under shared locks
// (reference kdb-formats.md 5.6), for which it needs to read the files only. It
// waits until ctx ends for programs that write the database; see [Lock].
func TakeSnapshot(ctx context.Context, database string, opts SnapshotOptions) (*Snapshot, error) {
	s := &Snapshot{Mode: opts.Mode, Principals: &Image{path: database}, Policies: &Image{path: database + PolicySuffix}}
	if err := s.take(ctx, database, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("take a snapshot of %s: %w", database, err), s.Close())
	}
	return s, nil
}

// take does what it can before the locks.
func (s *Snapshot) take(ctx context.Context, database string, opts SnapshotOptions) error {
	st, err := os.Stat(database)
	if err != nil {
		return err
	}
	if s.Mode == SnapshotAuto {
		s.Mode = roomFor(st.Size(), opts, database)
	}
	err = s.prepare(opts)
	if errors.Is(err, unix.ENOMEM) && opts.Mode == SnapshotAuto {
		// The kernel promises no more, whatever is free.
		opts.MemoryLimit = 1
		s.Mode = roomFor(st.Size(), opts, database)
		err = s.prepare(opts)
	}
	if err != nil {
		return err
	}
	if s.locks, err = Lock(ctx, database, osutil.Shared); err != nil {
		return err
	}
	for _, i := range []*Image{s.Principals, s.Policies} {
		if err := i.fill(); err != nil {
			return err
		}
	}
	if s.Mode != SnapshotLocked {
		s.unlock()
	}
	return nil
}

func (s *Snapshot) prepare(opts SnapshotOptions) error {
	for _, i := range []*Image{s.Principals, s.Policies} {
		if err := i.prepare(s.Mode, opts.TempDir); err != nil {
			return err
		}
	}
	return nil
}

// roomFor chooses. Memory comes first even where blocks can be shared: after that
// each write of the KDC goes to another place on the disk, and the database falls
// into pieces. A copy in a file must leave so much that neither the dump of
// the database nor kadmind finds the disk full.
func roomFor(size int64, opts SnapshotOptions, database string) SnapshotMode {
	limit := opts.MemoryLimit
	if limit == 0 {
		limit = osutil.AvailableMemory() / 2
	}
	if size <= max(limit, smallImage) {
		return SnapshotMemory
	}
	const copyAndDump = 3
	dir := opts.TempDir
	if dir == "" {
		dir = filepath.Dir(database)
	}
	if free, err := osutil.FreeBytes(dir); err != nil || free/copyAndDump < size {
		return SnapshotLocked
	}
	f, err := osutil.UnnamedFile(dir)
	if err != nil { // as of somebody who may only read
		return SnapshotLocked
	}
	f.Close()
	return SnapshotCopy
}

func (s *Snapshot) unlock() {
	if s.locks != nil {
		s.Held = s.locks.Unlock()
		s.locks = nil
	}
}

// Close gives the memory, the file and the locks back, and sets Held. Nothing
// that was read from the images may be used afterwards.
func (s *Snapshot) Close() error {
	err := errors.Join(s.Principals.close(), s.Policies.close())
	s.unlock()
	return err
}
