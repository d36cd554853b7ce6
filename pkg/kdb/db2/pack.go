package db2

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// packer makes a btree file out of items that come in ascending order of their
// keys (reference kdb-formats.md 4.7). Pages become as full as can be, which is what MIT's
// load makes of sorted input too; those that a later insertion finds full are
// split then.
type packer struct {
	w    *pageWriter
	name string
	items

	leaf     [pageSize]byte // the last leaf, not yet written
	leafPrev uint32         // the one before
	last     []byte         // key of the last item
	level    []child        // leaves that are written
	keys     []byte         // memory for their separators
}

// child is an entry of an internal page: a page, and a key above all keys of the
// page before and not above those of this one.
type child struct {
	key  []byte
	page uint32
}

// maxInPage bounds key and data on a leaf, so that a leaf holds two items (4.4).
const maxInPage = (pageSize-headerSize)/2 - (slotSize + 12)

// maxSeparator keeps internal entries in their page: MIT loses entries beside one
// whose key is on overflow pages (4.6).
const maxSeparator = 2000

// maxPages is how many pages a file may have, since MIT takes the numbers for
// signed.
const maxPages = 1<<31 - 1

func newPacker(f *os.File) *packer {
	p := &packer{w: newPageWriter(f), name: f.Name()}
	p.items.start(p.leaf[:])
	return p
}

// items fills a page from its end.
type items struct {
	page         []byte
	lower, upper int
}

func (t *items) start(page []byte) {
	*t = items{page: page, lower: headerSize, upper: pageSize}
}

func (t *items) fits(size int) bool { return t.upper-t.lower >= size+slotSize }

// add makes room for an item, which must fit.
func (t *items) add(size int) []byte {
	t.upper -= size
	le.PutUint16(t.page[t.lower:], uint16(t.upper))
	t.lower += slotSize
	return t.page[t.upper : t.upper+size]
}

// end writes the header and clears what no item uses.
func (t *items) end(number, prev, next, kind uint32) {
	h := t.page[:headerSize]
	le.PutUint32(h[pageNumber:], number)
	le.PutUint32(h[pagePrev:], prev)
	le.PutUint32(h[pageNext:], next)
	le.PutUint32(h[pageFlags:], kind)
	le.PutUint16(h[pageLower:], uint16(t.lower))
	le.PutUint16(h[pageUpper:], uint16(t.upper))
	clear(t.page[t.lower:t.upper])
}

// add puts an item behind all others.
func (p *packer) add(item []byte) error {
	key, size := itemKey(item), len(item)
	if size > itemSize(maxInPage) || len(key)+len(itemData(item)) > maxInPage {
		item = p.overflow(item)
		size = len(item)
	}
	if !p.fits(size) {
		if err := p.closeLeaf(key); err != nil {
			return err
		}
	}
	copy(p.items.add(size), item)
	p.last = append(p.last[:0], key...)
	return nil
}

// closeLeaf writes the leaf, and begins the next one with the key after.
func (p *packer) closeLeaf(after []byte) error {
	number, err := p.writeLeaf()
	if err != nil {
		return err
	}
	if p.level == nil {
		p.level = append(p.level, child{page: number})
	}
	p.items.start(p.leaf[:])
	n := separator(p.last, after)
	if n > maxSeparator {
		return fmt.Errorf("%s: the names %s and %s agree in their first %d bytes, for which MIT's btree has no room; rename one",
			p.name, shortName(p.last), shortName(after), n-1)
	}
	p.keys = append(p.keys, after[:n]...)
	key := p.keys[len(p.keys)-n:]
	p.level = append(p.level, child{key[:n:n], 0}) // its page follows
	return nil
}

// writeLeaf writes the leaf behind all pages so far and links it with the one
// before.
func (p *packer) writeLeaf() (number uint32, err error) {
	number = p.w.next
	if number >= maxPages {
		return 0, errors.New(p.name + ": there are more records than a btree file can hold")
	}
	if p.leafPrev != 0 {
		p.w.patch(p.leafPrev, pageNext, number)
	}
	p.items.end(number, p.leafPrev, 0, typeLeaf)
	_, page := p.w.page()
	copy(page, p.leaf[:])
	p.leafPrev = number
	if n := len(p.level); n > 0 {
		p.level[n-1].page = number
	}
	return number, p.w.failed()
}

// separator is how many bytes of the key after tell it from the lower key
// before.
func separator(before, after []byte) int {
	n := min(len(before), len(after))
	for i := range n {
		if before[i] != after[i] {
			return i + 1
		}
	}
	return min(n+1, len(after))
}

// overflow writes to overflow pages what is too big for a leaf, and returns the
// item with references instead (4.4).
func (p *packer) overflow(item []byte) []byte {
	key, data, flags := itemKey(item), itemData(item), byte(0)
	if len(key) > maxInPage {
		key, flags = p.chain(key), flags|bigKey
	}
	if len(key)+len(data) > maxInPage {
		data, flags = p.chain(data), flags|bigData
	}
	if len(key)+len(data) > maxInPage {
		key, flags = p.chain(key), flags|bigKey
	}
	small := append(make([]byte, leafHead, itemSize(len(key)+len(data))), key...)
	small = endItem(append(small, data...), 0, len(key))
	small[leafHead-1] = flags
	return small
}

// chain writes data to overflow pages of its own and gives the reference.
func (p *packer) chain(data []byte) (ref []byte) {
	ref = le.AppendUint32(nil, p.w.next)
	ref = le.AppendUint32(ref, uint32(len(data)))
	for len(data) > 0 {
		number, page := p.w.page()
		clear(page)
		n := copy(page[headerSize:], data)
		data = data[n:]
		le.PutUint32(page[pageNumber:], number)
		le.PutUint32(page[pageFlags:], typeOverflow)
		if len(data) > 0 {
			le.PutUint32(page[pageNext:], number+1)
		}
	}
	return ref
}

// finish writes what is left: the last leaf, the internal pages and the two
// pages in front. The file is then complete, though not yet on the disk.
func (p *packer) finish() error {
	first := make([]byte, 2*pageSize)
	meta, root := first[:pageSize], first[pageSize:]
	le.PutUint32(meta[metaMagic:], btreeMagic)
	le.PutUint32(meta[metaVersion:], btreeVersion)
	le.PutUint32(meta[metaPageSize:], pageSize)
	le.PutUint32(meta[metaFlags:], metaNoDuplicates)

	if len(p.level) == 0 {
		p.items.end(rootPage, 0, 0, typeLeaf)
		copy(root, p.leaf[:])
		return p.w.close(first)
	}
	_, err := p.writeLeaf()
	level := p.level
	for err == nil && !onePage(level) {
		level, err = p.internal(level)
	}
	if err != nil {
		return errors.Join(err, p.w.close(nil))
	}
	var t items
	t.start(root)
	for _, c := range level {
		t.addChild(c)
	}
	t.end(rootPage, 0, 0, typeInternal)
	return p.w.close(first)
}

// abandon ends without a complete file.
func (p *packer) abandon() { _ = p.w.close(nil) }

func childSize(c child) int { return align4(internalHead + len(c.key)) }

func (t *items) addChild(c child) {
	b := t.add(childSize(c))
	clear(b)
	le.PutUint32(b, uint32(len(c.key)))
	le.PutUint32(b[4:], c.page)
	copy(b[internalHead:], c.key)
}

// onePage says whether the entries fit one page.
func onePage(level []child) bool {
	size := headerSize
	for _, c := range level {
		if size += childSize(c) + slotSize; size > pageSize {
			return false
		}
	}
	return true
}

// internal packs a level into pages and gives the level above.
func (p *packer) internal(level []child) (above []child, err error) {
	var prev uint32
	for len(level) > 0 {
		number, page := p.w.page()
		if number >= maxPages {
			return nil, errors.New(p.name + ": there are more records than a btree file can hold")
		}
		above = append(above, child{level[0].key, number})
		var t items
		t.start(page)
		for len(level) > 0 && t.fits(childSize(level[0])) {
			t.addChild(level[0])
			level = level[1:]
		}
		var next uint32
		if len(level) > 0 {
			next = number + 1
		}
		t.end(number, prev, next, typeInternal)
		prev = number
	}
	return above, p.w.failed()
}

// shortName is the record's name that a key holds, fit for a message.
func shortName(key []byte) string {
	const most = 60
	name := bytes.TrimSuffix(key, []byte{0})
	if len(name) > most {
		return strconv.Quote(string(name[:most])) + "..."
	}
	return strconv.Quote(string(name))
}
