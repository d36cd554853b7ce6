package db2

import (
	"hash/maphash"
	"math/bits"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// Under the locks of a promotion there is no time to read a million principals
// once more. A leaf shows that it is as it was by less than all of it, since libdb2
// never writes an item where it was before: a put takes the item out, closes
// the gap, and puts the new one below all others. So the item that was written
// last, the top, is at the least offset, and the offsets in front tell in which order
// all were written. If these bytes, a tenth of the leaf, are the same, then
// either nobody wrote it, or somebody wrote several items and in the end the very
// bytes which were on top before.
//
// The latter takes a top with a time in it that is not over: a KDC notes the second
// of a login, and kadmin that of a modification. A top that is so young is not believed,
// nor is one that could have become young again by a clock that was set back. A
// "kdb5_util load -update" writes records as they were elsewhere; but it makes the
// lock of the policies anew, which tells (reference kdb-formats.md 5.2).

// topSlack is how much older than now a top has to be, in seconds.
const topSlack = 2

// topPrint is the fingerprint of the offsets and the top of a leaf, and 0 if these
// do not stand for all of it.
func (l *Live) topPrint(f *File, data []byte) (print uint64, written uint32) {
	lower, upper := int(f.order.Uint16(data[pageLower:])), int(f.order.Uint16(data[pageUpper:]))
	if lower < headerSize || upper < lower || upper+leafHead > len(data) {
		return 0, 0
	}
	head := data[upper:]
	key, rec := uint64(f.order.Uint32(head)), uint64(f.order.Uint32(head[4:]))
	end := leafHead + key + rec
	if head[leafHead-1] != 0 || rec < recHead || end > uint64(len(head)) {
		return 0, 0 // overflow pages can be written where they were before
	}
	b := head[leafHead+key : end]
	written = max(le.Uint32(b[recSuccess:]), le.Uint32(b[recFailed:]), modified(b))
	return bits.RotateLeft64(maphash.Bytes(l.seed, data[:lower]), 1) + maphash.Bytes(l.seed, head[:end]) | 1, written
}

// settledTop is topPrint of a leaf whose top is old enough to be believed later.
func (l *Live) settledTop(f *File, data []byte) uint64 {
	print, written := l.topPrint(f, data)
	if int64(written)+topSlack > time.Now().Unix() {
		return 0
	}
	return print
}

// topsAt is what has to stay as it is for the tops to be believed.
type topsAt struct {
	lock  identity // of the policies' lock file
	ino   uint64   // of the principals
	clock int64    // ns between the clock that can be set and the one that cannot
}

// topsNow is zero if that is not known.
func (l *Live) topsNow() topsAt {
	var real, mono unix.Timespec
	st, err := os.Stat(l.database + PolicyLockSuffix)
	if err != nil || unix.ClockGettime(unix.CLOCK_REALTIME, &real) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil {
		return topsAt{}
	}
	return topsAt{lock: identityOf(st), ino: l.at.ino, clock: real.Nano() - mono.Nano()}
}

// topsHold says that what settledTop has given in the latest round can be believed.
func (l *Live) topsHold() bool {
	now, then := l.topsNow(), l.tops
	const step = int64(time.Second / 2)
	return then != topsAt{} && now.lock == then.lock && now.ino == then.ino && max(now.clock-then.clock, then.clock-now.clock) < step
}

// MapTops has the kernel map the database, so that CarryRest can look at the tops of
// all leaves in a few milliseconds: to copy as little as that takes longer, and so
// does it to map the file. It is to be called before the locks are waited for, and
// release after their end. Nothing is mapped if nobody has written the database since
// NewLive, and then nobody will have until the locks are had, most likely.
//
// The pages are those of the page cache, which the kernel can take back; but they
// count as resident memory of this process.
func (l *Live) MapTops() (release func()) {
	nothing := func() {}
	if len(l.leaves) < pieceLeaves {
		return nothing // they are read in no time
	}
	if st, err := os.Stat(l.database); err != nil || l.current && identityOf(st) == l.at && l.at == l.start {
		return nothing
	}
	return l.mapTops()
}

func (l *Live) mapTops() (release func()) {
	nothing := func() {}
	file, err := l.open()
	if err != nil {
		return nothing
	}
	defer file.close()
	if file.tree == nil || file.at.ino != l.tops.ino {
		return nothing
	}
	size := int(file.tree.pages) * file.tree.pageSize
	if size == 0 {
		return nothing
	}
	b, err := unix.Mmap(int(file.f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nothing
	}
	l.mapped = b
	// Some of it will still be in the cache of the processors under the locks.
	l.eachPiece(file.tree, int(file.tree.pages), func(from, to int) {
		defer recoverFault(debug.SetPanicOnFault(true))
		l.touchTops(file.tree, from, to)
	})
	return func() {
		l.mapped = nil
		_ = unix.Munmap(b)
	}
}

// sameTops forgets the top of each leaf that does not have it any more.
func (l *Live) sameTops(f *File) {
	pages := min(len(l.mapped)/f.pageSize, int(f.pages))
	if !l.topsHold() {
		pages = 0
	}
	for n := max(pages, rootPage); n < len(l.seen); n++ {
		l.seen[n].top = 0
	}
	l.eachPiece(f, pages, func(from, to int) {
		if !l.compareTops(f, from, to) {
			for n := from; n < to; n++ {
				l.seen[n].top = 0 // then the page is read, which tells what is wrong
			}
		}
	})
}

// eachPiece gives ranges of the first so many pages to f, on all processors.
func (l *Live) eachPiece(file *File, pages int, f func(from, to int)) {
	size := int64(file.pageSize)
	_ = inPieces(int64(pages)*size, func(from, to int64) error {
		f(int((from+size-1)/size), int((to+size-1)/size))
		return nil
	})
}

// compareTops is sameTops for some pages. It fails if the kernel cannot read one of
// them any more.
func (l *Live) compareTops(f *File, from, to int) (ok bool) {
	defer recoverFault(debug.SetPanicOnFault(true))
	const few = 32 // whose bytes are in the nearest cache when they are looked at
	for ; from < to; from += few {
		end := min(from+few, to)
		l.touchTops(f, from, end)
		for n := from; n < end; n++ {
			s := &l.seen[n]
			if s.top == 0 {
				continue
			}
			if print, _ := l.topPrint(f, l.mapped[n*f.pageSize:(n+1)*f.pageSize]); print != s.top {
				s.top = 0
			}
		}
	}
	return true
}

// recoverFault is deferred where mapped pages are read.
func recoverFault(before bool) {
	debug.SetPanicOnFault(before)
	if r := recover(); r != nil {
		if _, fault := r.(interface{ Addr() uintptr }); !fault {
			panic(r)
		}
	}
}

// touchTops has the processor fetch from memory, many at a time, what topPrint reads
// one after the other.
func (l *Live) touchTops(f *File, from, end int) {
	const line, most = 64, 6 // bytes of a line of the cache, and how many of them the usual top has
	sum := byte(0)
	for n := from; n < end; n++ {
		sum |= l.mapped[n*f.pageSize+pageUpper]
	}
	for n := from; n < end; n++ {
		page := l.mapped[n*f.pageSize : (n+1)*f.pageSize]
		upper := int(f.order.Uint16(page[pageUpper:]))
		for at := upper; at < min(upper+most*line, len(page)); at += line {
			sum |= page[at]
		}
	}
	l.touched.Store(uint32(sum)) // or the compiler leaves all this out
}
