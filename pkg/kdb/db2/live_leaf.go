package db2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/kprop/kprop/internal/osutil"
)

// liveFile is the file to which the name of a database leads now, open. There may
// be none.
type liveFile struct {
	f    *os.File
	at   identity
	tree *File
	hash *Hash
}

func (f *liveFile) close() {
	if f.f != nil {
		f.f.Close()
	}
}

// open opens it. The caller has the lock.
func (l *Live) open() (*liveFile, error) {
	f, err := osutil.OpenRegular(l.database, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return &liveFile{}, nil
	}
	if err != nil {
		return nil, unreadable(l.database, err)
	}
	live := &liveFile{f: f}
	st, err := f.Stat()
	if err == nil {
		live.at = identityOf(st)
		var r Records
		if r, err = OpenRecords(f, st.Size(), l.database); err == nil {
			live.tree, _ = r.(*File)
			live.hash, _ = r.(*Hash)
		}
	}
	if err != nil {
		l.at = live.at
		f.Close()
		return nil, unreadable(l.database, err)
	}
	return live, nil
}

// pieceLeaves is how many leaves are read under one lock: 2 MiB.
const pieceLeaves = 512

// piece reads leaves from the one at next on, and whether there are more. The
// caller has the lock, but may not have had it since the last piece.
func (l *Live) piece(next *int, visit visitor, first bool) (more bool, err error) {
	file, err := l.open()
	if err != nil {
		return false, err
	}
	defer file.close()
	ready, err := l.begin(file, next, first)
	if err != nil || !ready {
		if err == nil {
			err = l.unordered(file, visit)
		}
		return false, err
	}
	for end := min(*next+pieceLeaves, len(l.leaves)); *next < end; *next++ {
		if err := l.leaf(file.tree, l.leaves[*next], visit); err != nil {
			return false, err
		}
	}
	return *next < len(l.leaves), nil
}

// begin compares the file with what it was, and is false for one that has no
// leaves.
func (l *Live) begin(file *liveFile, next *int, first bool) (ready bool, err error) {
	switch {
	case first:
		l.current = true
	case l.at != file.at:
		l.current = false
	}
	walk := first || !l.current
	l.current = l.current && settled(file.at)
	l.at = file.at
	if file.tree == nil || file.tree.pages == 0 {
		l.leaves, l.seen, l.tree, l.above = nil, nil, 0, nil
		return false, nil
	}
	l.hashed = 0
	l.window.reset(file.f, file.tree)
	if walk {
		if err := l.walk(file, next); err != nil {
			return false, unreadable(l.database, err)
		}
	}
	return true, nil
}

// otherLeaves finds the leaves that are not as they were, on all processors, since
// programs wait for that.
func (l *Live) otherLeaves(file *liveFile, carried bool) ([]uint32, error) {
	l.sameTops(file.tree)
	workers := min(runtime.GOMAXPROCS(0), len(l.leaves)/pieceLeaves+1)
	share := (len(l.leaves) + workers - 1) / workers
	found, errs := make([][]uint32, workers), make([]error, workers)
	var wg sync.WaitGroup
	for i := range workers {
		leaves := l.leaves[min(i*share, len(l.leaves)):min((i+1)*share, len(l.leaves))]
		wg.Go(func() {
			defer catch(&errs[i])
			var w window
			w.reset(file.f, file.tree)
			for _, n := range leaves {
				s := &l.seen[n]
				if s.top != 0 && (s.carried || !carried) {
					continue
				}
				p, err := leafPage(&w, file.tree, n)
				full := uint64(0)
				if err == nil {
					full, _, err = l.fullPrint(file.tree, &p)
				}
				if err != nil {
					errs[i] = err
					return
				}
				if s.full != full || carried && !s.carried {
					found[i] = append(found[i], n)
				}
			}
		})
	}
	wg.Wait()
	return slices.Concat(found...), errors.Join(errs...)
}

// unordered reads a file without leaves: none, an empty one, or a hash.
func (l *Live) unordered(file *liveFile, visit visitor) error {
	l.hashed = 0
	if file.hash == nil {
		return nil
	}
	return l.hashRecords(file.hash, visit)
}

// walk finds the leaves by the pages above them. If those have changed, nothing
// of before holds.
func (l *Live) walk(file *liveFile, next *int) error {
	same := l.sameAbove(file.tree)
	tree, leaves := l.tree, l.leaves
	if !same {
		var err error
		if tree, leaves, err = l.treeOf(file.tree); err != nil {
			return err
		}
	}
	// Pages are added at the end without a change of those above: of overflow
	// chains.
	if have := uint32(len(l.seen)); have < file.tree.pages {
		l.seen = append(l.seen, make([]leafSeen, file.tree.pages-have)...)
	}
	if same || tree == l.tree && l.leaves != nil {
		return nil
	}
	if *next > 0 {
		l.restarts++
	}
	*next = 0
	l.tree, l.leaves = tree, leaves
	clear(l.seen)
	return nil
}

// sameAbove says that the pages above the leaves, of which there are some, are as
// they were. It does not look at what they lead to, which is then the same too.
func (l *Live) sameAbove(f *File) bool {
	if len(l.above) == 0 {
		return false
	}
	var h maphash.Hash
	h.SetSeed(l.seed)
	var buf []byte
	for _, n := range l.above {
		if n >= f.pages {
			return false
		}
		var err error
		if buf, err = f.read(n, buf); err != nil {
			return false
		}
		_, _ = h.Write(buf)
	}
	return h.Sum64() == l.tree
}

// treeOf reads all pages above the leaves.
func (l *Live) treeOf(f *File) (tree uint64, leaves []uint32, err error) {
	var h maphash.Hash
	h.SetSeed(l.seed)
	l.above = nil
	level := []uint32{rootPage}
	left := f.pages
	for range maxDepth {
		p, err := f.page(level[0])
		if err != nil {
			return 0, nil, err
		}
		if p.kind == typeLeaf {
			return h.Sum64(), level, nil
		}
		var below []uint32
		var buf []byte
		for _, n := range level {
			if p, err = f.pageIn(n, buf); err != nil {
				return 0, nil, err
			}
			buf = p.data
			if p.kind != typeInternal || p.items == 0 {
				return 0, nil, p.fault(pageFlags, "the page is not one above the leaves, where one is due")
			}
			if uint32(p.items) > left {
				return 0, nil, p.fault(pageLower, "the tree has more pages than the file")
			}
			left -= uint32(p.items)
			_, _ = h.Write(p.data)
			l.above = append(l.above, n)
			for i := range p.items {
				it, err := p.internal(i)
				if err != nil {
					return 0, nil, err
				}
				below = append(below, it.child)
			}
		}
		level = below
	}
	return 0, nil, f.corrupt(rootPage, 0, tooDeep)
}

// leaf reads a leaf, and if it is not as it was, gives its records to visit.
func (l *Live) leaf(f *File, n uint32, visit visitor) error {
	p, err := leafPage(&l.window, f, n)
	if err != nil {
		return unreadable(l.database, err)
	}
	full, chains, err := l.fullPrint(f, &p)
	if err != nil {
		return unreadable(l.database, err)
	}
	s := &l.seen[n]
	s.top = l.settledTop(f, p.data)
	same := s.full == full
	if same && (visit == nil || s.carried) {
		return nil
	}
	l.visited++
	content, known := s.content, same && !chains
	if !known {
		content = 0
	}
	r := &l.reader
	r.chains.file = f
	for i := range p.items {
		it, err := p.leaf(i)
		if err != nil {
			return unreadable(l.database, err)
		}
		if it.flags != 0 {
			r.chains.left = f.pages
			if err := r.join(&p, &it); err != nil {
				return unreadable(l.database, err)
			}
		}
		key, data := it.key, it.data
		if visit != nil {
			if err := visit(key, data); err != nil {
				return err
			}
		}
		if !known {
			sum := l.contentPrint(key, data)
			l.noteRecent(sum, key, data)
			content += sum
		}
	}
	if changed := l.changed(n, content); changed {
		if err := l.nameChanged(f, &p); err != nil {
			return unreadable(l.database, err)
		}
	}
	*s = leafSeen{full: full, content: content, top: s.top, carried: visit != nil || same && s.carried}
	return nil
}

func leafPage(w *window, f *File, n uint32) (page, error) {
	if n < rootPage || n >= f.pages {
		return page{}, f.corrupt(n, 0, fmt.Sprintf("there is no such page: the file has %d", f.pages))
	}
	data, err := w.page(n)
	if err != nil {
		return page{}, err
	}
	p, err := f.parsePage(n, data)
	if err == nil && p.kind != typeLeaf {
		err = p.fault(pageFlags, "a page is used as a leaf that is none")
	}
	return p, err
}

// fullPrint is the fingerprint of a leaf and of the lockout data that are not on
// it: a record on overflow pages can be written anew to the pages where it was
// before. It says whether the leaf has such records.
func (l *Live) fullPrint(f *File, p *page) (full uint64, chains bool, err error) {
	full = maphash.Bytes(l.seed, p.data) | 1 // 0 is of a leaf that was never read
	for i := range p.items {
		at, err := p.slot(i, leafHead)
		if err != nil {
			return 0, false, err
		}
		if p.data[at+leafHead-1]&bigData == 0 {
			continue
		}
		chains = true
		it, err := p.leaf(i)
		if err != nil {
			return 0, false, err
		}
		n, _ := f.ref(it.data)
		var head [recHead]byte
		if n < rootPage || n >= f.pages {
			return 0, false, p.fault(headerSize+slotSize*i, "an item refers to overflow pages that do not exist")
		}
		if _, err := f.r.ReadAt(head[:], int64(n)*int64(f.pageSize)+headerSize); err != nil {
			return 0, false, err
		}
		full = full*31 + maphash.Bytes(l.seed, head[:])
	}
	return full | 1, chains, nil
}

// contentPrint is the fingerprint of a record without its lockout data.
func (l *Live) contentPrint(key, data []byte) uint64 {
	b := append(append(l.scratch[:0], key...), data...)
	l.scratch = b
	if len(data) >= recHead {
		clear(b[len(key)+recSuccess : len(key)+recTLCount])
	}
	return maphash.Bytes(l.seed, b)
}

// hashRecords reads a hash file, whose records have no order: all of it each
// time, under one lock.
func (l *Live) hashRecords(h *Hash, visit visitor) error {
	var content uint64
	var failed error
	err := h.Records(func(key, data []byte) error {
		if visit != nil {
			failed = visit(key, data)
		}
		sum := l.contentPrint(key, data)
		l.noteRecent(sum, key, data)
		content += sum
		l.note(key, data)
		return failed
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return unreadable(l.database, err)
	}
	l.hashed = content
	return nil
}

// changed says that what a leaf holds is not what it was at the beginning.
func (l *Live) changed(n uint32, content uint64) bool {
	b := l.base
	if b == nil || !b.known || b.at.ino != l.at.ino {
		return false
	}
	return b.tree != l.tree || int(n) >= len(b.leaves) || b.leaves[n] != content
}

// nameChanged notes the names of a leaf's records that were modified lately.
func (l *Live) nameChanged(f *File, p *page) error {
	return f.newRecordReader().leaf(p, func(key, data []byte) error {
		l.note(key, data)
		return nil
	})
}

// noteRecent remembers what was modified lately, but before Look: times are in
// seconds.
func (l *Live) noteRecent(sum uint64, key, data []byte) {
	const most = 10_000
	at := modified(data)
	if l.base != nil || at < l.since || len(l.recent) >= most {
		return
	}
	if l.recent == nil {
		l.recent = map[uint64]struct{}{}
	}
	l.recent[sum] = struct{}{}
	if at > l.since+1 && len(l.early) < mostNames { // not in the second of NewLive, but later
		l.early = append(l.early, recordName(key))
	}
}

// mostNames is how many principals are told by name.
const mostNames = 10

// note notes the name of a record that was modified lately.
func (l *Live) note(key, data []byte) {
	if l.base == nil || len(l.early)+len(l.names) >= mostNames || modified(data) < l.since {
		return
	}
	if _, before := l.recent[l.contentPrint(key, data)]; before {
		return
	}
	if name := recordName(key); !slices.Contains(l.names, name) && !slices.Contains(l.early, name) {
		l.names = append(l.names, name)
	}
}

// modified is when a principal was last modified, in seconds since 1970; 0 if it
// does not tell (reference kdb-formats.md 2.2).
func modified(data []byte) uint32 {
	const modPrinc = 2
	le := binary.LittleEndian
	if len(data) < recHead+2 {
		return 0
	}
	at := recHead + 2 + int(le.Uint16(data[recHead:]))
	for range le.Uint16(data[recTLCount:]) {
		if at+4 > len(data) {
			return 0
		}
		kind, size := le.Uint16(data[at:]), int(le.Uint16(data[at+2:]))
		if kind == modPrinc && size >= 4 && at+8 <= len(data) {
			return le.Uint32(data[at+4:])
		}
		at += 4 + size
	}
	return 0
}
