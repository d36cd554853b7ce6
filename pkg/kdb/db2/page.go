package db2

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// page is one page of a btree file, with a header that was found plausible.
type page struct {
	file   *File
	number uint32
	data   []byte
	kind   uint32 // typeInternal, typeLeaf or typeOverflow
	items  int    // 0 on an overflow page
}

// page reads page n and checks its header (reference kdb-formats.md 5.6, last
// paragraph).
func (f *File) page(n uint32) (page, error) { return f.pageIn(n, nil) }

// pageIn is page with room for the bytes of a file that is not in memory.
func (f *File) pageIn(n uint32, buf []byte) (page, error) {
	p := page{file: f, number: n}
	if n < rootPage || n >= f.pages {
		return p, f.corrupt(n, 0, fmt.Sprintf("there is no such page: the file has %d", f.pages))
	}
	data, err := f.read(n, buf)
	if err != nil {
		return p, err
	}
	return f.parsePage(n, data)
}

// parsePage checks the header of page n, of which data are the bytes.
func (f *File) parsePage(n uint32, data []byte) (page, error) {
	p := page{file: f, number: n, data: data}
	if at := p.u32(pageNumber); at != n {
		return p, p.fault(pageNumber, fmt.Sprintf("the page says that it is page %d", at))
	}
	p.kind = p.u32(pageFlags) & typeMask
	switch p.kind {
	case typeOverflow:
		return p, nil
	case typeInternal, typeLeaf:
	default:
		return p, p.fault(pageFlags, fmt.Sprintf("the page has the flags %#x, so it is no page of a tree", p.u32(pageFlags)))
	}
	lower, upper := p.u16(pageLower), p.upper()
	if lower < headerSize || lower > upper || upper > len(p.data) || (lower-headerSize)%slotSize != 0 {
		return p, p.fault(pageLower, fmt.Sprintf("free space from %d to %d cannot be", lower, upper))
	}
	p.items = (lower - headerSize) / slotSize
	return p, nil
}

// u16 does not ask an interface, since it is called several times for every
// record.
func (p *page) u16(at int) int {
	v := binary.LittleEndian.Uint16(p.data[at:])
	if p.file.swap {
		v = bits.ReverseBytes16(v)
	}
	return int(v)
}

func (p *page) u32(at int) uint32 {
	v := binary.LittleEndian.Uint32(p.data[at:])
	if p.file.swap {
		v = bits.ReverseBytes32(v)
	}
	return v
}

// upper is where the items begin.
func (p *page) upper() int {
	n := p.u16(pageUpper)
	if n == 0 && p.file.pageSize == maxPageSize {
		return maxPageSize // does not fit its 16 bits; an empty page
	}
	return n
}

func (p *page) prev() uint32 { return p.u32(pagePrev) }
func (p *page) next() uint32 { return p.u32(pageNext) }

func (p *page) fault(at int, msg string) error { return p.file.corrupt(p.number, at, msg) }

// leafItem is a record on a leaf, as it stands there: what is big is a
// reference.
type leafItem struct {
	key, data []byte
	flags     byte
}

// leaf reads the i-th item of a leaf.
func (p *page) leaf(i int) (leafItem, error) {
	at, err := p.slot(i, leafHead)
	if err != nil {
		return leafItem{}, err
	}
	keySize, dataSize := uint64(p.u32(at)), uint64(p.u32(at+4))
	it := leafItem{flags: p.data[at+leafHead-1]}
	body := p.data[at+leafHead:]
	if keySize+dataSize > uint64(len(body)) {
		return it, p.fault(at, fmt.Sprintf("an item of %d and %d bytes does not fit the page", keySize, dataSize))
	}
	it.key, it.data = body[:keySize:keySize], body[keySize:keySize+dataSize:keySize+dataSize]
	if it.flags&^(bigData|bigKey) != 0 {
		return it, p.fault(at+leafHead-1, fmt.Sprintf("an item has the flags %#x", it.flags))
	}
	if it.flags&bigKey != 0 && keySize != reference || it.flags&bigData != 0 && dataSize != reference {
		return it, p.fault(at, "an item refers to overflow pages without a reference of 8 bytes")
	}
	return it, nil
}

// internalItem is an entry of an internal page.
type internalItem struct {
	key   []byte // a reference if bigKey is set
	child uint32
	flags byte
}

// internal reads the i-th item of an internal page.
func (p *page) internal(i int) (internalItem, error) {
	at, err := p.slot(i, internalHead)
	if err != nil {
		return internalItem{}, err
	}
	keySize := uint64(p.u32(at))
	it := internalItem{child: p.u32(at + 4), flags: p.data[at+internalHead-1]}
	body := p.data[at+internalHead:]
	if keySize > uint64(len(body)) {
		return it, p.fault(at, fmt.Sprintf("an entry with a key of %d bytes does not fit the page", keySize))
	}
	it.key = body[:keySize:keySize]
	if it.flags&^bigKey != 0 || it.flags&bigKey != 0 && keySize != reference {
		return it, p.fault(at, fmt.Sprintf("an entry has the flags %#x and a key of %d bytes", it.flags, keySize))
	}
	return it, nil
}

// slot is the place of the i-th item, with room for its head.
func (p *page) slot(i, head int) (int, error) {
	slot := headerSize + slotSize*i
	at := p.u16(slot)
	if at < p.upper() || at%itemAlign != 0 || at+head > len(p.data) {
		return 0, p.fault(slot, fmt.Sprintf("item %d is said to be at %d, where none can be", i, at))
	}
	return at, nil
}

// ref takes a reference apart.
func (f *File) ref(b []byte) (first, length uint32) {
	return f.order.Uint32(b), f.order.Uint32(b[4:])
}
