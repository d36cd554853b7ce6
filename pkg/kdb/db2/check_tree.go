package db2

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// pageUse is what a checker met a page as.
type pageUse byte

const (
	unmet pageUse = iota
	inUse
	isFree
	separatorChain // overflow pages of a key above the leaves
	keyChain       // of a key on a leaf, and perhaps of one above, which then is the same
)

// checker is a pass of [Check] over a btree.
type checker struct {
	file   *File
	decode func(key, data []byte) error
	report *CheckReport
	use    []pageUse
	room   int64 // how many overflow pages of separators it may visit yet
	levels []level
	before []byte // the last key
	key    []byte // room for a key and
	data   []byte // data from overflow pages
	spans  []span // of the page being checked
	recent [recentPages]page
	err    error // of the file: ends the check
}

// recentPages is how many pages of a file that is not in memory are kept for the
// searches, whose way is nearly the same as the one before. A page has the place
// of its number modulo this.
const recentPages = 64

// page is that of the file, for a search.
func (c *checker) page(n uint32) (page, error) {
	if c.file.mem != nil {
		return c.file.page(n)
	}
	p := &c.recent[n%recentPages]
	if p.file != nil && p.number == n {
		return *p, nil
	}
	read, err := c.file.page(n)
	if err == nil {
		*p = read
	}
	return read, err
}

// level is the last page met on a level of the tree.
type level struct {
	page, next uint32
	unknown    bool // it could not be read
}

// span is where an item lies.
type span struct{ from, to int }

func (c *checker) fault(kind FaultKind, page uint32, at int, key []byte, format string, args ...any) {
	c.report.add(Fault{Kind: kind, Page: page, Offset: at, Record: recordName(key), Text: fmt.Sprintf(format, args...)})
}

// failed notes an error of page access.
func (c *checker) failed(err error) {
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt):
		c.report.add(corrupt.fault())
	case c.err == nil:
		c.err = err
	}
}

// tree checks page n, to which page parent refers, and all below it.
func (c *checker) tree(n, parent uint32, depth int) {
	switch {
	case c.err != nil:
		return
	case n < rootPage || n >= c.file.pages:
		c.fault(FaultStructure, parent, 0, nil, "an entry leads to page %d, which does not exist", n)
		return
	case c.use[n] != unmet:
		c.fault(FaultStructure, parent, 0, nil, "an entry leads to page %d, which is used elsewhere", n)
		return
	case depth >= maxDepth:
		c.fault(FaultStructure, parent, 0, nil, tooDeep)
		return
	}
	c.use[n] = inUse
	p, err := c.file.page(n)
	if err == nil && p.kind == typeOverflow {
		err = p.fault(pageFlags, "an overflow page is used as one of the tree")
	}
	for len(c.levels) <= depth {
		c.levels = append(c.levels, level{})
	}
	c.links(&p, depth, err == nil)
	if err != nil {
		c.failed(err)
		return
	}
	if p.kind == typeLeaf {
		c.leaf(&p, depth)
		return
	}
	c.internal(&p, depth)
}

// links compares a page's links with its place in the tree.
func (c *checker) links(p *page, depth int, readable bool) {
	before := &c.levels[depth]
	if readable && !before.unknown {
		if p.prev() != before.page {
			c.fault(FaultStructure, p.number, pagePrev, nil, "the page links back to page %d, but in the tree page %d is before it", p.prev(), before.page)
		}
		if before.page != 0 && before.next != p.number {
			c.fault(FaultStructure, before.page, pageNext, nil, "the page links to page %d, but in the tree page %d follows", before.next, p.number)
		}
	}
	*before = level{page: p.number, unknown: !readable}
	if readable {
		before.next = p.next()
	}
}

// ends looks at the right edge of the tree.
func (c *checker) ends() {
	for _, l := range c.levels {
		if !l.unknown && l.next != 0 {
			c.fault(FaultStructure, l.page, pageNext, nil, "the page links to page %d, but in the tree it is the last of its level", l.next)
		}
	}
}

func (c *checker) internal(p *page, depth int) {
	c.report.Internal++
	if p.items == 0 {
		c.fault(FaultStructure, p.number, pageLower, nil, "a page above the leaves has no entries")
	}
	c.spans = c.spans[:0]
	var children []uint32
	var before []byte
	for i := range p.items {
		it, err := p.internal(i)
		if err != nil {
			c.failed(err)
			continue
		}
		children = append(children, it.child)
		c.spans = append(c.spans, p.span(i, internalHead+len(it.key)))
		if i == 0 && p.prev() == 0 {
			continue // counts as below all keys
		}
		key := it.key
		if it.flags&bigKey != 0 {
			key, _ = c.chain(nil, p.number, it.key, separatorChain)
		}
		if before != nil && bytes.Compare(before, key) >= 0 {
			c.fault(FaultOrder, p.number, headerSize+slotSize*i, nil, "the key of entry %d is not above that of the entry before it", i)
		}
		before = key
	}
	c.filled(p)
	for _, n := range children {
		c.tree(n, p.number, depth+1)
	}
}

func (c *checker) leaf(p *page, depth int) {
	c.report.Leaves++
	switch {
	case c.report.Depth == 0:
		c.report.Depth = depth + 1
	case c.report.Depth != depth+1:
		c.fault(FaultStructure, p.number, pageFlags, nil, "the leaf is %d levels below the root, others %d", depth, c.report.Depth-1)
	}
	if p.items == 0 && p.number != rootPage {
		c.fault(FaultStructure, p.number, pageLower, nil, "a leaf is empty")
	}
	c.spans = c.spans[:0]
	for i := range p.items {
		it, err := p.leaf(i)
		if err != nil {
			c.failed(err)
			continue
		}
		s := p.span(i, leafHead+len(it.key)+len(it.data))
		c.spans = append(c.spans, s)
		c.record(p, i, s.from, it)
		if c.err != nil {
			return
		}
	}
	c.filled(p)
}

// record checks the i-th record of a leaf.
func (c *checker) record(p *page, i, at int, it leafItem) {
	whole := true
	if it.flags&bigKey != 0 {
		if it.key, whole = c.chain(c.key, p.number, it.key, keyChain); whole {
			c.key = it.key
		}
	}
	if it.flags&bigData != 0 {
		data, ok := c.chain(c.data, p.number, it.data, inUse)
		if whole = whole && ok; ok {
			c.data, it.data = data, data
		}
	}
	if !whole {
		return
	}
	if c.report.Records++; c.report.Records > 1 && bytes.Compare(c.before, it.key) >= 0 {
		c.fault(FaultOrder, p.number, at, it.key, "the name is not above the one before it, which is %s", quoted(recordName(c.before)))
	}
	c.before = append(c.before[:0], it.key...)
	if err := c.decode(it.key, it.data); err != nil {
		c.report.add(recordFault(p.number, at, it.key, err))
	}
	found, place, err := c.file.find(it.key, c.page)
	var corrupt *CorruptError
	switch {
	case err == nil && found.number == p.number && place == i:
	case err == nil:
		c.fault(FaultUnfindable, p.number, at, it.key, "a search finds another record of this name, on page %d", found.number)
	case err == ErrNotFound:
		c.fault(FaultUnfindable, p.number, at, it.key, "the tree does not lead to the record: programs say that it does not exist")
	case errors.As(err, &corrupt):
		c.fault(FaultUnfindable, p.number, at, it.key, "a search ends on page %d: %s", corrupt.Page, corrupt.Msg)
	default:
		c.err = err
	}
}

// span is where the i-th item lies, which was read before.
func (p *page) span(i, size int) span {
	at := p.u16(headerSize + slotSize*i)
	return span{at, at + align4(size)}
}

// filled checks that the items lie behind each other up to the page's end.
func (c *checker) filled(p *page) {
	if len(c.spans) != p.items {
		return // told already
	}
	slices.SortFunc(c.spans, func(a, b span) int { return a.from - b.from })
	at := p.upper()
	for _, s := range c.spans {
		if s.from != at {
			c.fault(FaultStructure, p.number, at, nil, "between the page's items, or within one, begins another at byte %d", s.from)
			return
		}
		at = s.to
	}
	if at != len(p.data) {
		c.fault(FaultStructure, p.number, at, nil, "the page's items end before its end")
	}
}
