package db2

import (
	"fmt"
	"slices"
)

// treeLeaves gives the numbers of all leaves in the order of the tree. It reads
// the pages above them only, and the first leaf.
func (f *File) treeLeaves() ([]uint32, error) {
	if f.pages == 0 {
		return nil, nil
	}
	level := []uint32{rootPage}
	for range maxDepth {
		p, err := f.page(level[0])
		if err != nil {
			return nil, err
		}
		if p.kind == typeLeaf {
			return level, nil
		}
		if level, err = f.children(level); err != nil {
			return nil, err
		}
	}
	return nil, f.corrupt(level[0], 0, tooDeep)
}

// children gives the pages below those of a level.
func (f *File) children(level []uint32) ([]uint32, error) {
	var below []uint32
	for _, n := range level {
		p, err := f.page(n)
		switch {
		case err != nil:
			return nil, err
		case p.kind != typeInternal:
			return nil, p.fault(pageFlags, "the page is not of the same kind as those beside it in the tree")
		case p.items == 0:
			return nil, p.fault(pageLower, "a page above the leaves has no entries")
		case len(below)+p.items > int(f.pages):
			return nil, p.fault(pageLower, "the tree refers to more pages than the file has: some are in two places")
		}
		for i := range p.items {
			it, err := p.internal(i)
			if err != nil {
				return nil, err
			}
			below = append(below, it.child)
		}
	}
	return below, nil
}

// worker makes the text of chunks.
type worker struct {
	printer printer
	reader  *recordReader
	reverse bool
	stop    chan struct{} // closed when no more is wanted

	page   []byte // room for a leaf of a file that is not in memory
	starts []int  // of the lines of a leaf, to reverse them
	names  []int
	spare  []byte
}

// chunk makes the text of a chunk, part by part if it is long. After stop its
// error means nothing.
func (x *worker) chunk(c *chunk) error {
	x.reader.chains.left = x.reader.chains.file.pages
	for i := range c.leaves {
		if err := x.leaf(c, i); err != nil {
			return err
		}
		if len(c.text) < chunkText || i == len(c.leaves)-1 {
			continue
		}
		select {
		case c.ready <- errMore:
		case <-x.stop:
			return nil
		}
		select {
		case <-c.resume:
			c.clear()
		case <-x.stop:
			return nil
		}
	}
	return nil
}

// leaf appends the lines of the chunk's i-th leaf.
func (x *worker) leaf(c *chunk, i int) error {
	p, err := x.open(c, i)
	if err != nil {
		return err
	}
	x.starts, x.names = x.starts[:0], x.names[:0]
	start, nameStart := len(c.text), len(c.names)
	err = x.reader.leaf(&p, func(key, data []byte) error {
		if x.reverse {
			x.starts, x.names = append(x.starts, len(c.text)-start), append(x.names, len(c.names)-nameStart)
		}
		if err := c.add(&x.printer, key, data); err != nil {
			return fmt.Errorf("%s: page %d: %w", p.file.name, p.number, err)
		}
		return nil
	})
	if x.reverse && err == nil {
		x.turn(c.text[start:], x.starts)
		x.turn(c.names[nameStart:], x.names)
	}
	return err
}

// open reads the i-th leaf and checks that its links agree with the tree:
// otherwise one of the two leaves something out.
func (x *worker) open(c *chunk, i int) (page, error) {
	f := x.reader.chains.file
	if f.mem == nil && x.page == nil {
		x.page = make([]byte, f.pageSize)
	}
	p, err := f.pageIn(c.leaves[i], x.page)
	if err != nil {
		return p, err
	}
	prev, next := c.prev, c.next
	if i > 0 {
		prev = c.leaves[i-1]
	}
	if i < len(c.leaves)-1 {
		next = c.leaves[i+1]
	}
	if x.reverse {
		prev, next = next, prev
	}
	switch {
	case p.kind != typeLeaf:
		return p, p.fault(pageFlags, "the page is not a leaf as those beside it in the tree")
	case p.items == 0 && p.number != rootPage:
		return p, p.fault(pageLower, "a leaf is empty")
	case p.prev() != prev:
		return p, p.fault(pagePrev, fmt.Sprintf("the page is linked back to page %d, but in the tree page %d comes before it", p.prev(), prev))
	case p.next() != next:
		return p, p.fault(pageNext, fmt.Sprintf("the page is linked to page %d, but in the tree page %d comes after it", p.next(), next))
	}
	return p, nil
}

// turn puts the parts of b that begin at starts into the reverse order.
func (x *worker) turn(b []byte, starts []int) {
	x.spare = append(x.spare[:0], b...)
	end, at := len(b), 0
	for _, start := range slices.Backward(starts) {
		at += copy(b[at:], x.spare[start:end])
		end = start
	}
}
