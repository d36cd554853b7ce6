package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
)

// This file reads bbolt's format (its internal/common: page.go, meta.go,
// bucket.go) with plain reads. bbolt maps the file and believes what stands in
// it, so that a wrong length ends the process by a memory fault; its own Tx.Check
// does so too, in a goroutine where nobody can catch it. So a file is checked
// here, at least as strictly as by Tx.Check, before bbolt sees it.

const (
	pageSize   = 4096
	pageHeader = 16
	metaLen    = 64 // after the header of the page
	magic      = 0xED0CDAED
	version    = 2

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	elementLen   = 16 // of leaf and branch pages
	bucketFlag   = 0x01
	bucketHeader = 16

	maxKey   = 32768
	maxPages = 256 // that a leaf or branch may span; we need 32
	maxDepth = 64  // of pages and buckets
	maxTxid  = 1 << 62
)

// errDamaged says that a file is ours, but cannot be read.
var errDamaged = errors.New("damaged")

// damage is an errDamaged with the reason.
func damage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errDamaged}, args...)...)
}

// meta is one of the two pages that say where the rest is.
type meta struct {
	pageSize                    uint32
	root, freelist, pages, txid uint64
}

// tree is a file that is checked.
type tree struct {
	r    io.ReaderAt
	meta meta
	seen []uint64 // bit set of the pages that belong to something
}

// verify checks the structure of a bbolt file of size bytes. Its error wraps
// ErrForeign or errDamaged, or is that of r.
func verify(r io.ReaderAt, size int64) error {
	start := make([]byte, 2*pageSize)
	n, err := r.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return err
	}
	m, err := newestMeta(start[:n])
	if err != nil {
		return err
	}
	if m.pages < 4 || m.pages > uint64(size)/pageSize {
		return damage("it has %d bytes, but %d pages of %d are in use", size, m.pages, pageSize)
	}
	t := &tree{r: r, meta: m, seen: make([]uint64, m.pages/64+1)}
	t.mark(0)
	t.mark(1)
	if err := t.bucket(m.root, 0); err != nil {
		return err
	}
	if m.freelist == ^uint64(0) {
		return nil // written without one; bbolt makes it
	}
	return t.free()
}

// newestMeta returns that of the valid meta pages that bbolt will use. One may
// be torn by a crash: then the other counts.
func newestMeta(start []byte) (meta, error) {
	var found meta
	var ours, valid bool
	for i := range 2 {
		page := start[min(i*pageSize, len(start)):]
		if len(page) < pageHeader+metaLen {
			break
		}
		if u32(page, pageHeader) != magic {
			continue
		}
		ours = true
		m, ok := parseMeta(page[pageHeader:])
		if ok && (m.pageSize != pageSize || m.txid > maxTxid) {
			return meta{}, damage("its pages have %d bytes, not %d, or its transactions are out of range", m.pageSize, pageSize)
		}
		if ok && (!valid || m.txid > found.txid) {
			found, valid = m, true
		}
	}
	switch {
	case valid && len(start) < 2*pageSize:
		return meta{}, damage("it has only %d bytes", len(start))
	case valid:
		return found, nil
	case ours || isBeginning(start):
		return meta{}, damage("neither of its first two pages is valid")
	}
	return meta{}, ErrForeign
}

// isBeginning says whether data, which are at most two pages, may be the start
// of a bbolt file whose writing broke off: too short to tell, or nothing but zeros.
func isBeginning(data []byte) bool {
	first := make([]byte, pageHeader, pageHeader+4)
	binary.NativeEndian.PutUint16(first[8:], metaPage)
	first = binary.NativeEndian.AppendUint32(first, magic)
	n := min(len(data), len(first))
	return bytes.Equal(data[:n], first[:n]) || len(bytes.Trim(data, "\x00")) == 0
}

// parseMeta reports whether m is valid by bbolt's own rules.
func parseMeta(m []byte) (meta, bool) {
	sum := fnv.New64a()
	sum.Write(m[:metaLen-8])
	if u32(m, 4) != version || u64(m, metaLen-8) != sum.Sum64() {
		return meta{}, false
	}
	return meta{pageSize: u32(m, 8), root: u64(m, 16), freelist: u64(m, 32), pages: u64(m, 40), txid: u64(m, 48)}, true
}

func u16(b []byte, at int) uint16 { return binary.NativeEndian.Uint16(b[at:]) }
func u32(b []byte, at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }

// mark notes that a page belongs to something; it reports whether it did not already.
func (t *tree) mark(id uint64) bool {
	bit := uint64(1) << (id % 64)
	fresh := t.seen[id/64]&bit == 0
	t.seen[id/64] |= bit
	return fresh
}

// page reads a page with those that continue it, at most maxSpan in all.
func (t *tree) page(id uint64, maxSpan uint64) ([]byte, error) {
	if id < 2 || id >= t.meta.pages {
		return nil, damage("page %d is not one of its %d", id, t.meta.pages)
	}
	header := make([]byte, pageHeader)
	if _, err := t.r.ReadAt(header, int64(id)*pageSize); err != nil {
		return nil, err
	}
	span := uint64(u32(header, 12)) + 1
	if span > maxSpan || span > t.meta.pages-id || u64(header, 0) != id {
		return nil, damage("page %d has a wrong header", id)
	}
	for i := range span {
		if !t.mark(id + i) {
			return nil, damage("page %d is used twice", id+i)
		}
	}
	page := make([]byte, span*pageSize)
	_, err := t.r.ReadAt(page, int64(id)*pageSize)
	return page, err
}

// bucket checks the pages below a bucket's root.
func (t *tree) bucket(root uint64, depth int) error {
	return t.walk(root, nil, nil, depth)
}

// walk checks a page and all below it: the keys are from low, and below high
// unless that is nil.
func (t *tree) walk(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return damage("page %d lies too deep", id)
	}
	page, err := t.page(id, maxPages)
	if err != nil {
		return err
	}
	kind := u16(page, 8)
	if kind != branchPage && kind != leafPage {
		return damage("page %d is of the unexpected type %#x", id, kind)
	}
	list, err := elements(page, kind)
	if err == nil {
		err = inOrder(list, low, high)
	}
	if err == nil && kind == branchPage && len(list) == 0 {
		err = damage("a branch without an element")
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for i, e := range list {
		switch {
		case kind == branchPage:
			end := high
			if i+1 < len(list) {
				end = list[i+1].key
			}
			err = t.walk(e.child, e.key, end, depth+1)
		case e.isBucket:
			err = t.nested(e.value, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nested checks a bucket by what stands in its parent: its root, or its content.
func (t *tree) nested(value []byte, depth int) error {
	if len(value) < bucketHeader {
		return damage("a bucket of %d bytes", len(value))
	}
	if root := u64(value, 0); root != 0 {
		return t.bucket(root, depth)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || u16(inline, 8) != leafPage || u64(inline, 0) != 0 || u32(inline, 12) != 0 {
		return damage("a bucket in its parent has a wrong header")
	}
	list, err := elements(inline, leafPage)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.isBucket {
			return damage("a bucket in a bucket in its parent")
		}
	}
	return inOrder(list, nil, nil)
}

// element is an entry of a page.
type element struct {
	key, value []byte
	child      uint64 // of a branch
	isBucket   bool
}

// elements returns the entries of a page. They must lie one after the other, as
// bbolt writes them.
func elements(page []byte, kind uint16) ([]element, error) {
	count := int(u16(page, 10))
	end := pageHeader + count*elementLen
	if end > len(page) {
		return nil, damage("%d elements in %d bytes", count, len(page))
	}
	list := make([]element, count)
	for i := range list {
		at := pageHeader + i*elementLen
		pos, keyLen, valueLen := u32(page, at), u32(page, at+4), uint32(0)
		if kind == leafPage {
			flags := u32(page, at)
			if flags&^bucketFlag != 0 {
				return nil, damage("element %d has the flags %#x", i, flags)
			}
			list[i].isBucket = flags == bucketFlag
			pos, keyLen, valueLen = u32(page, at+4), u32(page, at+8), u32(page, at+12)
		} else {
			list[i].child = u64(page, at+8)
		}
		if uint64(pos) != uint64(end-at) || keyLen == 0 || keyLen > maxKey || uint64(keyLen)+uint64(valueLen) > uint64(len(page)-end) {
			return nil, damage("element %d lies outside", i)
		}
		list[i].key = page[end : end+int(keyLen)]
		end += int(keyLen)
		list[i].value = page[end : end+int(valueLen)]
		end += int(valueLen)
	}
	return list, nil
}

// inOrder checks that the keys ascend from low, and end below high.
func inOrder(list []element, low, high []byte) error {
	for i, e := range list {
		order := bytes.Compare(low, e.key)
		if order > 0 || i > 0 && order == 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return damage("the key of element %d is out of order", i)
		}
		low = e.key
	}
	return nil
}

// free checks that the pages of the list of free ones and those that were seen
// are together all, and none is both.
func (t *tree) free() error {
	page, err := t.page(t.meta.freelist, t.meta.pages/(pageSize/8)+3)
	if err != nil {
		return err
	}
	if kind := u16(page, 8); kind != freelistPage {
		return damage("the list of free pages is of the unexpected type %#x", kind)
	}
	ids, count := page[pageHeader:], uint64(u16(page, 10))
	if count == 0xFFFF {
		count, ids = u64(ids, 0), ids[8:]
	}
	if count > uint64(len(ids)/8) {
		return damage("the list of free pages is cut short")
	}
	for i := range int(count) {
		id := u64(ids, i*8)
		if id < 2 || id >= t.meta.pages || !t.mark(id) {
			return damage("page %d is free, and is in use or does not exist", id)
		}
	}
	var all int
	for _, word := range t.seen {
		all += bits.OnesCount64(word)
	}
	if uint64(all) != t.meta.pages {
		return damage("%d of its %d pages are lost", t.meta.pages-uint64(all), t.meta.pages)
	}
	return nil
}
