package lmdb

import "bytes"

// treeSize counts the pages of the tree that LMDB makes of entries that are put
// in one by one (5.1). For keys in ascending order it follows the library's
// splits exactly: a page that is full gives its last node, and the new one, to a
// new page. For any other order it takes a bound.
type treeSize struct {
	pageSize int
	entries  uint64
	chains   uint64 // overflow pages
	chained  uint64 // values in chains
	leaf     filling
	branches []filling // from the leaves upwards

	last      []byte // key
	unsorted  bool
	leafShare uint64 // bound for any order, in bytes of pages
	keyBytes  uint64 // of branch nodes, if each entry had one
	keyMax    uint64
}

// filling is a level of the tree and its last page.
type filling struct {
	pages   uint64
	used    int // bytes, of nodes and their offsets
	lastKey int // length of the last node's key
	lastLen int // bytes of the last node with its offset
}

func (t *treeSize) room() int { return t.pageSize - headerSize }

// add puts in an entry with a value of size bytes.
func (t *treeSize) add(key []byte, size int) {
	length := 8 + len(key) + size
	if length > nodeMax(t.pageSize) {
		length = 8 + len(key) + 8
		t.chains += chainPages(t.pageSize, uint64(size))
		t.chained++
	}
	length = even(length) + 2
	if t.entries > 0 && bytes.Compare(t.last, key) >= 0 {
		t.unsorted = true
	}
	t.last = append(t.last[:0], key...)
	t.entries++

	// Whatever is split, and however evenly sized nodes are put in, a page that
	// holds m nodes keeps m/2 of them, rounded up: three times their length is
	// more than that, or a page for one node.
	t.leafShare += min(uint64(3*length), uint64(t.room()))
	inBranch := uint64(even(8+len(key)) + 2)
	t.keyBytes += inBranch
	t.keyMax = max(t.keyMax, inBranch)

	if up, split := t.leaf.put(length, length, len(key), t.room()); split {
		t.separate(0, up)
	}
}

// put adds a node. If it does not fit, a new page begins with the last node of
// the old one, cut to firstLen bytes if that is shorter, and the new node; the
// key of the former, whose length is returned, goes one level up.
func (f *filling) put(length, whole, key, room int) (up int, split bool) {
	if f.pages == 0 {
		f.pages = 1
	}
	if f.used+length <= room {
		f.used += length
		f.lastKey, f.lastLen = key, whole
		return 0, false
	}
	up = f.lastKey
	f.pages++
	f.used = f.lastLen + length
	f.lastKey, f.lastLen = key, whole
	return up, true
}

// emptyBranchNode is the first node of a branch page, which has no key.
const emptyBranchNode = 8 + 2

// separate puts the key of a new page into the branch level above it.
func (t *treeSize) separate(level, key int) {
	if level == len(t.branches) {
		t.branches = append(t.branches, filling{pages: 1, used: emptyBranchNode, lastLen: emptyBranchNode})
	}
	length := even(8+key) + 2
	// A node that becomes the first of a page loses its key.
	if up, split := t.branches[level].put(length, emptyBranchNode, key, t.room()); split {
		t.separate(level+1, up)
	}
}

// pages is how many pages the tree has without overflow pages.
func (t *treeSize) pages() uint64 {
	if t.entries == 0 {
		return 0
	}
	if t.unsorted {
		return t.anyOrder()
	}
	n := t.leaf.pages
	for i := range t.branches {
		n += t.branches[i].pages
	}
	return n
}

// anyOrder bounds pages for keys in any order.
func (t *treeSize) anyOrder() uint64 {
	room := uint64(t.room())
	leaves := t.leafShare/room + 1
	leaves += leaves / 8 // for nodes of very different lengths
	// Twice, for the levels above the first.
	branches := 2 * 3 * min(t.keyBytes, leaves*t.keyMax) / room
	return leaves + branches + 2
}
