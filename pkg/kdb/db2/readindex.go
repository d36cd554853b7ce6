package db2

import (
	"bytes"
	"fmt"
	"io"
)

// bound is what the pages above the leaves say of a page: the least key that may
// be below it, nil for the leftmost.
type bound struct {
	page uint32
	key  []byte
}

// indexedRecords is [File.Records] for a file as a [packer] makes it, and sees that a
// search finds each record: the leaves are in the order of the tree, with keys
// between the bounds that the tree tells.
func indexedRecords(r io.ReaderAt, size int64, name string, yield func(key, data []byte) error) error {
	f, err := Open(&aheadReader{r: r, size: size}, size, name)
	if err != nil {
		return err
	}
	leaves, err := f.index()
	if err != nil {
		return err
	}
	rec, n := f.newRecordReader(), 0
	err = f.leaves(func(p *page) error {
		if n >= len(leaves) || leaves[n].page != p.number {
			return p.fault(pageNext, "the links lead here otherwise than the tree")
		}
		low, high := leaves[n].key, []byte(nil)
		if n++; n < len(leaves) {
			high = leaves[n].key
		}
		return rec.leaf(p, func(key, data []byte) error {
			if bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
				return p.fault(headerSize, fmt.Sprintf("the tree does not lead to the record %q", recordName(key)))
			}
			return yield(key, data)
		})
	})
	if err == nil && n != len(leaves) {
		err = f.corrupt(rootPage, 0, fmt.Sprintf("the tree has %d leaves, the links have %d", len(leaves), n))
	}
	return err
}

// index gives the leaves in the order of the tree, all of which have the same
// depth. The keys must ascend, and the first of a page be that by which it is
// found.
func (f *File) index() ([]bound, error) {
	level := []bound{{page: rootPage}}
	for range maxDepth {
		p, err := f.page(level[0].page)
		if err != nil || p.kind == typeLeaf {
			return level, err
		}
		var below []bound
		for i, b := range level {
			if p, err = f.page(b.page); err != nil {
				return nil, err
			}
			if p.kind != typeInternal || p.items == 0 {
				return nil, p.fault(pageFlags, "this is no page with entries, unlike others of the same depth")
			}
			if below, err = p.bounds(below, b.key); err != nil {
				return nil, err
			}
			if last := below[len(below)-1]; i+1 < len(level) && bytes.Compare(last.key, level[i+1].key) >= 0 {
				return nil, p.fault(headerSize, "the last entry is not below the following page")
			}
		}
		level = below
	}
	return nil, f.corrupt(rootPage, 0, tooDeep)
}

// bounds adds the entries of an internal page whose least key is low.
func (p *page) bounds(to []bound, low []byte) ([]bound, error) {
	for i := range p.items {
		it, err := p.internal(i)
		if err != nil {
			return nil, err
		}
		var before []byte
		if i > 0 {
			before = to[len(to)-1].key
		}
		switch {
		case it.flags != 0:
			return nil, p.fault(headerSize+slotSize*i, "the key of an entry is on overflow pages")
		case i == 0 && !bytes.Equal(it.key, low), i > 0 && bytes.Compare(before, it.key) >= 0:
			return nil, p.fault(headerSize+slotSize*i, fmt.Sprintf("the key of entry %d is out of order", i))
		}
		to = append(to, bound{it.child, bytes.Clone(it.key)})
	}
	return to, nil
}
