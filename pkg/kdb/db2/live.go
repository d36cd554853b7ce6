package db2

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// Live follows the principals of a database that programs are using, from the
// beginning of a load until another file takes its place: what of it the new one
// is to keep, and what would be lost.
//
// A million principals are 317 MB, which are neither to be held in memory nor
// read under one lock. Programs change pages in place, so what is read in pieces,
// each under a shared lock of a millisecond or two, is no snapshot. But all that
// is asked is what every record holds at the end. So Live remembers 24 bytes of
// each leaf, fingerprints, and reads in rounds: the first all records, the next
// those of leaves that have another fingerprint by then. The last is under the
// exclusive lock of the promotion, and has nothing to do if the times of the file
// say that nobody wrote it since the round before. Fingerprints suffice since
// what leads to a leaf is compared as well: as long as the pages above the leaves
// are the same, each name has its one leaf; when they change, all begins anew.
//
// The time of a file stands still for up to 10 ms. Of two writes in one tick of
// the kernel's clock the second changes nothing about the file that could be
// seen. So the times are believed only if they were of an earlier tick already
// when they were read, under the lock.
//
// If they say that somebody wrote, most leaves need not be read all the same: see
// live_top.go.
//
// A Live is for one goroutine.
type Live struct {
	database string
	since    uint32 // modified from then on is what is told by name, seconds since 1970
	seed     maphash.Seed
	window   window
	reader   recordReader
	scratch  []byte

	start    identity // of the file at the very beginning
	at       identity // at the latest look
	current  bool     // all was read while the file was as it is at, beyond doubt
	tree     uint64   // fingerprint of the pages above the leaves
	above    []uint32 // these pages
	leaves   []uint32 // in the order of the keys
	seen     []leafSeen
	hashed   uint64        // content of a hash file, instead
	visited  int           // leaves that were not as before, in this round
	restarts int           // of this round
	tops     topsAt        // at the beginning of the latest round, if it came to its end
	mapped   []byte        // the file, while MapTops is in force
	touched  atomic.Uint32 // what touchTops has read

	base   *liveBase // what Look saw
	recent map[uint64]struct{}
	early  []string // names, as below, of what was modified before Look had read it
	names  []string // of principals with a change, 10 at most
}

// leafSeen is what is remembered of a leaf: of all of it, and of what a login
// does not change, wherever in the leaf it is. top is of a part of it that
// stands for all, or 0. carried says that its records went to the visitor.
type leafSeen struct {
	full, content, top uint64
	carried            bool
}

// liveBase is the database at the beginning.
type liveBase struct {
	at      identity
	known   bool // content is
	content uint64
	tree    uint64
	leaves  []uint64 // content, by page number
}

// Changes is what somebody has changed in a live database, otherwise than a
// KDC does at a login.
type Changes struct {
	Replaced bool     // it is another file
	Names    []string // of principals that were added or modified, 10 at most
}

// UnreadableError says that a live database cannot be read. Nothing of it can be
// kept, and a load may be the mend.
type UnreadableError struct{ Err error }

func (e *UnreadableError) Error() string { return e.Err.Error() }
func (e *UnreadableError) Unwrap() error { return e.Err }

// NewLive is for the database of that name, which need not exist.
func NewLive(database string) *Live {
	// What is modified in the same second is told rather than not.
	l := &Live{database: database, seed: maphash.MakeSeed(), since: uint32(time.Now().Unix() - 1)}
	if st, err := os.Stat(database); err == nil {
		l.start = identityOf(st)
	}
	return l
}

// Look reads the database once. What is changed later, Changes knows; of what is
// changed between NewLive and the moment at which Look comes to it, only if it is a
// change of a principal in a later second. The error is an [*UnreadableError], or that of a lock.
func (l *Live) Look(ctx context.Context) error {
	err := l.round(ctx, nil)
	if bad := new(UnreadableError); err != nil && !errors.As(err, &bad) {
		return err
	}
	l.base = &liveBase{at: l.at, known: err == nil}
	if err == nil {
		l.base.content, l.base.tree = l.content(), l.tree
		l.base.leaves = make([]uint64, len(l.seen))
		for i := range l.seen {
			l.base.leaves[i] = l.seen[i].content
		}
	}
	if l.start == l.at {
		l.early = nil
	}
	l.names = nil
	return err
}

// Carry gives the lockout data of each principal to the patch, for as long as
// that takes, and most of what changes meanwhile. It is to be called without
// locks before [Live.CarryRest]. Errors are those of Look, and of the patch.
func (l *Live) Carry(ctx context.Context, p *Patch) error {
	// On a busy KDC there is always something more.
	const rounds, few = 5, 256
	for range rounds {
		if err := l.untilSettled(ctx); err != nil {
			return err
		}
		c := p.carrier()
		err := l.round(ctx, c.visit)
		if err := errors.Join(err, c.end()); err != nil {
			return err
		}
		if l.current || l.visited <= few {
			break
		}
	}
	return p.Flush()
}

// CarryRest gives the patch what has changed since [Live.Carry], or with a nil
// patch only looks. The caller holds the locks exclusively, so that it is the last
// word. If there is so much that the locks should not be held for that long it
// does nothing and gives false, unless it must.
func (l *Live) CarryRest(p *Patch, must bool) (done bool, err error) {
	file, err := l.open()
	if err != nil {
		return true, err
	}
	same := l.current && file.at == l.at
	file.close()
	if same {
		return true, nil
	}
	var visit visitor
	if p != nil {
		visit = p.set
	}
	done, err = l.rest(visit, must)
	if err == nil && done && p != nil {
		err = p.Flush()
	}
	l.current = l.current && done && err == nil
	return done, err
}

// rest is a round in one piece.
func (l *Live) rest(visit visitor, must bool) (done bool, err error) {
	file, err := l.open()
	if err != nil {
		return true, err
	}
	defer file.close()
	before, next := l.tree, 0
	ready, err := l.begin(file, &next, true)
	switch {
	case err != nil:
		return true, err
	case !ready:
		return true, l.unordered(file, visit)
	case l.tree != before && !must:
		const few = 4096 // leaves are read in a few milliseconds
		if len(l.leaves) > few {
			return false, nil
		}
	}
	leaves, err := l.otherLeaves(file, visit != nil)
	if err != nil {
		return true, unreadable(l.database, err)
	}
	for _, n := range leaves {
		if err := l.leaf(file.tree, n, visit); err != nil {
			return true, err
		}
	}
	return true, nil
}

// Changes tells what of the database was changed since Look, as far as the
// latest call of Carry or CarryRest has seen it: nil if nothing.
func (l *Live) Changes() *Changes {
	b := l.base
	if b == nil {
		return nil
	}
	at := l.start // now, and at Look
	replaced := at.dev != l.at.dev || at.ino != l.at.ino || at.dev != b.at.dev || at.ino != b.at.ino
	switch {
	case len(l.early) > 0:
		return &Changes{Replaced: replaced, Names: slices.Concat(l.early, l.names)}
	case b.known && b.content == l.content():
		return nil
	case !b.known && b.at == l.at:
		return nil
	case replaced:
		return &Changes{Replaced: true}
	}
	return &Changes{Names: slices.Clone(l.names)}
}

// content is the fingerprint of all that a login does not change.
func (l *Live) content() uint64 {
	sum := l.hashed
	for _, n := range l.leaves {
		sum += l.seen[n].content
	}
	return sum
}

// visitor is given a record of a leaf that has changed.
type visitor func(key, data []byte) error

// lockPause is how long a lock is not taken between two pieces.
const lockPause = 100 * time.Microsecond

// round reads each leaf, in pieces under a shared lock. If the tree changes all
// the time it keeps the lock.
func (l *Live) round(ctx context.Context, visit visitor) error {
	const patience = 10
	l.restarts, l.visited, l.tops = 0, 0, topsAt{}
	tops := l.topsNow()
	next := 0
	for first := true; ; first = false {
		if !first {
			// Who waits for the lock must have a chance to wake up and take it:
			// the kernel keeps no order.
			time.Sleep(lockPause)
		}
		unlock, err := l.lock(ctx)
		if err != nil {
			l.current = false
			return err
		}
		more, err := l.piece(&next, visit, first)
		for more && err == nil && l.restarts > patience {
			more, err = l.piece(&next, visit, false)
		}
		unlock()
		if err != nil {
			l.current = false
			return err
		}
		if !more {
			l.tops = tops
			l.tops.ino = l.at.ino
			return nil
		}
	}
}

// lock keeps out programs that write. Where there is no database, nobody is to
// be kept out, and no file for a lock may be left.
func (l *Live) lock(ctx context.Context) (unlock func(), err error) {
	locks, err := Lock(ctx, l.database, osutil.Shared)
	if errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(l.database); errors.Is(statErr, fs.ErrNotExist) {
			return func() {}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return func() { locks.Unlock() }, nil
}

// untilSettled waits, without a lock, for the end of the tick in which the file
// was last written; but not for a file that is written in each.
func (l *Live) untilSettled(ctx context.Context) error {
	for range 20 {
		st, err := os.Stat(l.database)
		if err != nil || settled(identityOf(st)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// identity changes whenever a file is written, but for what settled tells.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // ns since 1970
}

func identityOf(st os.FileInfo) identity {
	sys := st.Sys().(*syscall.Stat_t)
	return identity{uint64(sys.Dev), sys.Ino, sys.Size, sys.Mtim.Nano(), sys.Ctim.Nano()}
}

// settled says that a file with these times, if it were written now, would get
// others. The clock is the one that the kernel takes them from.
func settled(id identity) bool {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil {
		return false
	}
	return id.mtime < now.Nano() && id.ctime < now.Nano()
}

func unreadable(path string, err error) error {
	return &UnreadableError{fmt.Errorf("read the database %s: %w", path, err)}
}
