package db2

import (
	"bytes"
	"errors"
)

// ErrNotFound says that a tree does not lead to a record of that key.
var ErrNotFound = errors.New("no such record")

// Search goes down the tree to the record of a key, as libdb2 does (reference
// kdb-formats.md 4.3), and gives its data, which must not be changed. In a tree
// with wrong separators it finds what MIT's programs find, and so may not find a
// record that [File.Records] gives. The key of a principal or policy is its
// name and a NUL.
//
// The error is [ErrNotFound], a [*CorruptError], or one of the file.
func (f *File) Search(key []byte) (data []byte, err error) {
	p, i, err := f.find(key, f.page)
	if err != nil {
		return nil, err
	}
	it, err := p.leaf(i)
	if err != nil {
		return nil, err
	}
	if it.flags&bigData == 0 {
		return it.data, nil
	}
	chains := chainReader{file: f, left: f.pages}
	data, err = chains.join(nil, p.number, it.data)
	return data, named(err, key)
}

// find gives the leaf and the item of a key. load reads a page.
func (f *File) find(key []byte, load func(uint32) (page, error)) (page, int, error) {
	if f.pages == 0 {
		return page{}, 0, ErrNotFound
	}
	n := uint32(rootPage)
	for range maxDepth {
		p, err := load(n)
		if err != nil {
			return p, 0, err
		}
		if p.kind == typeOverflow {
			return p, 0, p.fault(pageFlags, "an overflow page is used as one of the tree")
		}
		i, exact, err := p.place(key)
		switch {
		case err != nil:
			return p, 0, err
		case p.kind == typeLeaf && exact:
			return p, i, nil
		case p.kind == typeLeaf:
			return p, 0, ErrNotFound
		case p.items == 0:
			return p, 0, p.fault(pageLower, "a page above the leaves has no entries")
		case !exact && i > 0:
			i--
		}
		it, err := p.internal(i)
		if err != nil {
			return p, 0, err
		}
		n = it.child
	}
	return page{}, 0, f.corrupt(n, 0, tooDeep)
}

// place gives the item of a page whose key is equal, or the first above. Of
// unsorted items it gives the one that libdb2's bisection meets.
func (p *page) place(key []byte) (i int, exact bool, err error) {
	base := 0
	for left := p.items; left > 0; left >>= 1 {
		i = base + left>>1
		c, err := p.compare(key, i)
		if err != nil || c == 0 {
			return i, err == nil, err
		}
		if c > 0 {
			base = i + 1
			left--
		}
	}
	return base, false, nil
}

// compare compares a key with that of the i-th item.
func (p *page) compare(key []byte, i int) (int, error) {
	var own []byte
	var flags byte
	if p.kind == typeInternal {
		if i == 0 && p.prev() == 0 {
			return 1, nil // below all keys, whatever it is
		}
		it, err := p.internal(i)
		if err != nil {
			return 0, err
		}
		own, flags = it.key, it.flags
	} else {
		it, err := p.leaf(i)
		if err != nil {
			return 0, err
		}
		own, flags = it.key, it.flags
	}
	if flags&bigKey != 0 {
		return p.file.compareChain(key, p.number, own)
	}
	return bytes.Compare(key, own), nil
}

// compareChain compares a key with one on overflow pages. It reads no more of
// these than the key is long.
func (f *File) compareChain(key []byte, from uint32, ref []byte) (int, error) {
	n, length := f.ref(ref)
	if length == 0 || n == 0 {
		return 0, f.corrupt(from, 0, "an item refers to overflow pages that do not exist")
	}
	rest, left := key, uint64(length)
	chains := chainReader{file: f}
	for left > 0 && len(rest) > 0 {
		p, err := chains.page(n)
		if err != nil {
			return 0, err
		}
		part := p.data[headerSize:]
		part = part[:min(uint64(len(part)), left)]
		mine := rest[:min(len(rest), len(part))]
		if c := bytes.Compare(mine, part[:len(mine)]); c != 0 {
			return c, nil
		}
		rest, left, n = rest[len(mine):], left-uint64(len(mine)), p.next()
	}
	switch {
	case len(rest) > 0:
		return 1, nil
	case left > 0:
		return -1, nil
	}
	return 0, nil
}
