package db2

import "fmt"

// maxDepth bounds the levels of a tree. The worst that libdb2 makes has
// between one and two children on a page, and a file 2^31 pages.
const maxDepth = 100

// Records calls yield with every record, in the order of the leaves' links
// (reference kdb-formats.md 4.3), which is that of kdb5_util dump. In a tree
// that libdb2 has damaged the keys may be out of order (4.6).
// What is on overflow pages is joined. key and data are valid during the call
// only, and must not be changed.
//
// The error is that of yield, a [*CorruptError], or one of the file. Records
// notices a leaf that is missing from the links or comes twice, and items that
// are missing from a leaf, but not a changed byte in a record.
func (f *File) Records(yield func(key, data []byte) error) error {
	r := f.newRecordReader()
	return f.leaves(func(p *page) error { return r.leaf(p, yield) })
}

// leaves calls visit with every leaf in the order of the links. The links back
// must be right as well, so that no leaf can come twice. The page is valid
// during the call, if the file is not in memory.
func (f *File) leaves(visit func(*page) error) error {
	if f.pages == 0 {
		return nil
	}
	n, err := f.edge(func(p *page) int { return 0 })
	if err != nil {
		return err
	}
	last, err := f.edge(func(p *page) int { return p.items - 1 })
	if err != nil {
		return err
	}
	var buf []byte
	if f.mem == nil {
		buf = make([]byte, f.pageSize)
	}
	var p page // one for all: it is on the heap
	for before := uint32(0); n != 0; {
		p, err = f.pageIn(n, buf)
		switch {
		case err != nil:
			return err
		case p.kind != typeLeaf:
			return p.fault(pageFlags, fmt.Sprintf("page %d is followed by one that is no leaf", before))
		case p.prev() != before:
			return p.fault(pagePrev, fmt.Sprintf("the page is linked to from page %d, but back to %d", before, p.prev()))
		case p.items == 0 && n != rootPage:
			return p.fault(pageLower, "a leaf is empty")
		}
		next := p.next()
		if err := visit(&p); err != nil {
			return err
		}
		before, n = n, next
		if n == 0 && before != last {
			return p.fault(pageNext, fmt.Sprintf("the links end here, but the last leaf of the tree is page %d", last))
		}
	}
	return nil
}

// edge goes down from the root by the entry that choose tells, and gives the
// number of the leaf.
func (f *File) edge(choose func(*page) int) (uint32, error) {
	n := uint32(rootPage)
	for range maxDepth {
		p, err := f.page(n)
		switch {
		case err != nil:
			return 0, err
		case p.kind == typeLeaf:
			return n, nil
		case p.kind == typeOverflow:
			return 0, p.fault(pageFlags, "an overflow page is used as one of the tree")
		case p.items == 0:
			return 0, p.fault(pageLower, "a page above the leaves has no entries")
		}
		it, err := p.internal(choose(&p))
		if err != nil {
			return 0, err
		}
		n = it.child
	}
	return 0, f.corrupt(n, 0, tooDeep)
}

const tooDeep = "the tree has more than 100 levels, or leads back to itself"

// recordReader takes the records of leaves apart.
type recordReader struct {
	chains chainReader
	key    []byte // room for keys and
	data   []byte // data from overflow pages
}

func (f *File) newRecordReader() *recordReader {
	return &recordReader{chains: chainReader{file: f, left: f.pages}}
}

// leaf calls yield with the records of a leaf. These fill the page between its
// free space and its end, as libdb2 never leaves a gap; so none can be lost or
// come twice by a wrong count or offset. That is told by sums over the offsets
// and their squares, in which the end of each item and the begin of the next
// cancel out. The keys need not ascend (4.6).
func (r *recordReader) leaf(p *page, yield func(key, data []byte) error) error {
	top, size := p.upper(), len(p.data)
	sum, squares := size-top, size*size-top*top
	for i := range p.items {
		it, err := p.leaf(i)
		if err != nil {
			return err
		}
		begin := p.u16(headerSize + slotSize*i)
		end := begin + align4(leafHead+len(it.key)+len(it.data))
		sum, squares = sum-(end-begin), squares-(end*end-begin*begin)
		if it.flags != 0 {
			if err := r.join(p, &it); err != nil {
				return err
			}
		}
		if err := yield(it.key, it.data); err != nil {
			return err
		}
	}
	if sum != 0 || squares != 0 {
		return p.fault(pageUpper, fmt.Sprintf("the %d items do not fill the page from byte %d to its end", p.items, top))
	}
	return nil
}

// join puts what is on overflow pages into an item.
func (r *recordReader) join(p *page, it *leafItem) (err error) {
	if it.flags&bigKey != 0 {
		if r.key, err = r.chains.join(r.key, p.number, it.key); err != nil {
			return err
		}
		it.key = r.key
	}
	if it.flags&bigData != 0 {
		if r.data, err = r.chains.join(r.data, p.number, it.data); err != nil {
			return named(err, it.key)
		}
		it.data = r.data
	}
	return nil
}
