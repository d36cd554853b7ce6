package lmdb

import (
	"fmt"
	"io"
	"slices"
)

// Flags of a leaf's node (1.2).
const (
	nodeBig = 1 // the data is in an overflow chain
	nodeSub = 2 // the data is a database record
)

// nodeMax is the length of the largest node that is kept in a page (1.2).
func nodeMax(pageSize int) int { return ((pageSize-headerSize)/2)&^1 - 2 }

func even(n int) int { return (n + 1) &^ 1 }

// node is one entry of a page. key and data point into the page.
type node struct {
	at    int // in the page, bytes
	flags uint16
	key   []byte
	size  uint32 // of the data
	data  []byte // of a leaf's node: what is in the page
	child uint64 // of a branch's node
}

// page is a branch or leaf page whose nodes were all found to be inside it.
type page struct {
	number uint64
	buf    []byte
	leaf   bool
	count  int
}

// readPage reads page n into p and checks all of its lengths. The flag must be
// flagLeaf or flagBranch as leaf says.
func (e *Env) readPage(p *page, n uint64, leaf bool) error {
	if n < 2 || n > e.meta.last {
		return e.src.corrupt(n, e.offset(n), "the page is outside 2 to %d", e.meta.last)
	}
	p.number, p.leaf, p.count = n, leaf, 0
	p.buf = slices.Grow(p.buf[:0], e.meta.pageSize)[:e.meta.pageSize]
	if err := e.read(p.buf, n, 0); err != nil {
		return err
	}
	if got := le.Uint64(p.buf); got != n {
		return e.src.corrupt(n, e.offset(n), "the page says that it is page %d", got)
	}
	want := uint16(flagBranch)
	if leaf {
		want = flagLeaf
	}
	if got := le.Uint16(p.buf[10:]); got != want {
		return e.src.corrupt(n, e.offset(n)+10, "page flags %#x instead of %#x", got, want)
	}
	return e.checkNodes(p)
}

func (e *Env) checkNodes(p *page) error {
	at := e.offset(p.number)
	lower, upper, size := int(le.Uint16(p.buf[12:])), int(le.Uint16(p.buf[14:])), e.meta.pageSize
	if lower < headerSize || lower&1 != 0 || upper < lower || upper > size {
		return e.src.corrupt(p.number, at+12, "free space from %d to %d", lower, upper)
	}
	p.count = (lower - headerSize) / 2
	// The library aborts at a branch with one child.
	if p.count == 0 || p.count == 1 && !p.leaf {
		return e.src.corrupt(p.number, at+12, "%d nodes", p.count)
	}
	room := size - upper
	for i := range p.count {
		n, why := p.parse(i, upper)
		if why == "" {
			// Nodes that overlap need more room than there is.
			if room -= even(8 + len(n.key) + len(n.data)); room < 0 {
				why = "the nodes overlap"
			}
		}
		if why != "" {
			return e.src.corrupt(p.number, at+headerSize+int64(2*i), "node %d: %s", i, why)
		}
	}
	return nil
}

// parse reads node i, all of which must be between upper and the page's end. It
// returns why it is not.
func (p *page) parse(i, upper int) (node, string) {
	at := int(le.Uint16(p.buf[headerSize+2*i:]))
	if at < upper || at&1 != 0 || at+8 > len(p.buf) {
		return node{}, fmt.Sprintf("offset %d", at)
	}
	n := node{at: at}
	b := p.buf[at:]
	key := int(le.Uint16(b[6:]))
	if 8+key > len(b) {
		return n, fmt.Sprintf("a key of %d bytes", key)
	}
	n.key = b[8 : 8+key]
	if !p.leaf {
		n.child = uint64(le.Uint16(b)) | uint64(le.Uint16(b[2:]))<<16 | uint64(le.Uint16(b[4:]))<<32
		if key > maxKey || key == 0 && i > 0 {
			return n, fmt.Sprintf("a key of %d bytes", key)
		}
		return n, ""
	}
	n.size = uint32(le.Uint16(b)) | uint32(le.Uint16(b[2:]))<<16
	n.flags = le.Uint16(b[4:])
	inPage := uint64(n.size)
	switch {
	case key == 0 || key > maxKey:
		return n, fmt.Sprintf("a key of %d bytes", key)
	case n.flags == nodeBig:
		inPage = 8
	case n.flags == nodeSub && n.size != recordSize, n.flags != 0 && n.flags != nodeSub:
		return n, fmt.Sprintf("flags %#x with %d bytes of data", n.flags, n.size)
	}
	if inPage > uint64(len(b)-8-key) {
		return n, fmt.Sprintf("%d bytes of data", n.size)
	}
	n.data = b[8+key : 8+key+int(inPage)]
	return n, ""
}

// node returns node i of a page that readPage has checked.
func (p *page) node(i int) node {
	n, _ := p.parse(i, 0)
	return n
}

// read fills b from page n, from skip bytes after its start.
func (e *Env) read(b []byte, n uint64, skip int64) error {
	switch got, err := e.src.ReadAt(b, e.offset(n)+skip); {
	case got == len(b):
		return nil
	case err == io.EOF:
		return e.src.corrupt(n, e.offset(n)+skip+int64(got), "the file ends here")
	default:
		return fmt.Errorf("read %s: page %d: %w", e.src.path, n, err)
	}
}

// MaxValue bounds the data of one record, in bytes: a dump line of
// dump.DefaultMaxLine holds no more.
const MaxValue = 32 << 20

// chain reads the data of a node that is in an overflow chain into buf, which it
// returns, and the number of the chain's pages. A chain may be longer than
// needed (1.2).
func (e *Env) chain(buf []byte, first uint64, size uint32) ([]byte, uint64, error) {
	if first < 2 || first > e.meta.last {
		return buf, 0, e.src.corrupt(first, e.offset(first), "the overflow chain is outside 2 to %d", e.meta.last)
	}
	var head [headerSize]byte
	if err := e.read(head[:], first, 0); err != nil {
		return buf, 0, err
	}
	if got := le.Uint64(head[:]); got != first {
		return buf, 0, e.src.corrupt(first, e.offset(first), "the page says that it is page %d", got)
	}
	if flags := le.Uint16(head[10:]); flags != flagOverflow {
		return buf, 0, e.src.corrupt(first, e.offset(first)+10, "page flags %#x instead of %#x", flags, flagOverflow)
	}
	pages := uint64(le.Uint32(head[12:]))
	if need := chainPages(e.meta.pageSize, uint64(size)); pages < need || pages > e.meta.last-first+1 {
		return buf, 0, e.src.corrupt(first, e.offset(first)+12, "a chain of %d pages for %d bytes", pages, size)
	}
	if size > MaxValue {
		return buf, 0, e.src.corrupt(first, e.offset(first), "a value of %d bytes, more than %d", size, MaxValue)
	}
	buf = slices.Grow(buf[:0], int(size))[:size]
	return buf, pages, e.read(buf, first, headerSize)
}

// chainPages is how many pages a chain for size bytes needs.
func chainPages(pageSize int, size uint64) uint64 {
	return (headerSize-1+size)/uint64(pageSize) + 1
}
