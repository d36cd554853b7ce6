package db2

import (
	"errors"
	"fmt"
)

// chainReader reads chains of overflow pages (reference kdb-formats.md 4.2).
type chainReader struct {
	file *File
	left uint32 // how many pages it may read yet; no page is in two records
	buf  []byte // room for a page of a file that is not in memory
}

// payload is how many bytes of a value an overflow page holds.
func (f *File) payload() int { return f.pageSize - headerSize }

// join gives the value that a reference on page from is for, in buf if it has
// room.
func (c *chainReader) join(buf []byte, from uint32, ref []byte) ([]byte, error) {
	first, length := c.file.ref(ref)
	if length == 0 || first == 0 {
		return buf, c.file.corrupt(from, 0, "an item refers to overflow pages that do not exist")
	}
	need := (uint64(length) + uint64(c.file.payload()) - 1) / uint64(c.file.payload())
	if need > uint64(c.left) {
		return buf, c.file.corrupt(from, 0, fmt.Sprintf("a value of %d bytes from page %d on would need more overflow pages than the file has", length, first))
	}
	c.left -= uint32(need)
	if uint64(cap(buf)) < uint64(length) {
		buf = make([]byte, 0, length)
	}
	buf = buf[:0]
	n := first
	for range need {
		p, err := c.page(n)
		if err != nil {
			return buf, err
		}
		part := p.data[headerSize:]
		buf = append(buf, part[:min(len(part), int(length)-len(buf))]...)
		n = p.next()
	}
	if n != 0 {
		return buf, c.file.corrupt(from, 0, fmt.Sprintf("the overflow pages from page %d on do not end behind the %d bytes of the value", first, length))
	}
	return buf, nil
}

// page reads an overflow page.
func (c *chainReader) page(n uint32) (page, error) {
	if c.file.mem == nil && c.buf == nil {
		c.buf = make([]byte, c.file.pageSize)
	}
	p, err := c.file.pageIn(n, c.buf)
	if err == nil && p.kind != typeOverflow {
		err = p.fault(pageFlags, "a page of the tree is used as an overflow page")
	}
	return p, err
}

// named adds the name of a record, which is its key without the NUL, to a
// CorruptError.
func named(err error, key []byte) error {
	var corrupt *CorruptError
	if errors.As(err, &corrupt) && corrupt.Record == "" {
		corrupt.Record = recordName(key)
	}
	return err
}
