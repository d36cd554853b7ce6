package db2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// File is a btree file that nobody writes while it is read: a copy, or a file
// under MIT's locks. It is safe for concurrent use.
type File struct {
	name     string // for messages
	mem      []byte // the whole file, or nil
	r        io.ReaderAt
	order    binary.ByteOrder
	swap     bool // the order is not little endian
	pageSize int
	pages    uint32
	free     uint32 // first page of the free list, 0: none
}

// Open reads the meta page of a btree file of size bytes. name is for messages.
// A file of 0 bytes is an empty database (reference kdb-formats.md 4.1). Errors
// wrap [ErrFormat], are a [*CorruptError], or those of r.
func Open(r io.ReaderAt, size int64, name string) (*File, error) {
	f := &File{name: name, r: r}
	return f, f.readMeta(size)
}

// OpenBytes is Open for a file that is in memory, which is not copied.
func OpenBytes(mem []byte, name string) (*File, error) {
	f := &File{name: name, r: bytes.NewReader(mem), mem: mem}
	return f, f.readMeta(int64(len(mem)))
}

func (f *File) readMeta(size int64) error {
	f.order, f.pageSize = binary.LittleEndian, pageSize
	if size == 0 {
		return nil
	}
	var meta [metaEnd]byte
	if _, err := f.r.ReadAt(meta[:], 0); err == io.EOF {
		return fmt.Errorf("%s: %w: it has %d bytes", f.name, ErrFormat, size)
	} else if err != nil {
		return fmt.Errorf("read %s: %w", f.name, err)
	}
	if binary.BigEndian.Uint32(meta[metaMagic:]) == btreeMagic {
		f.order, f.swap = binary.BigEndian, true
	}
	u32 := func(at int) uint32 { return f.order.Uint32(meta[at:]) }
	switch {
	case u32(metaMagic) != btreeMagic:
		return fmt.Errorf("%s: %w: it begins with %#08x", f.name, ErrFormat, u32(metaMagic))
	case u32(metaVersion) != btreeVersion:
		return fmt.Errorf("%s: %w: its version is %d", f.name, ErrFormat, u32(metaVersion))
	}
	n := u32(metaPageSize)
	if n < minPageSize || n > maxPageSize || n%2 != 0 {
		return f.corrupt(metaPage, metaPageSize, fmt.Sprintf("pages of %d bytes cannot be", n))
	}
	f.pageSize = int(n)
	if flags := u32(metaFlags); flags&^(metaNoDuplicates|metaRecno) != 0 {
		return f.corrupt(metaPage, metaFlags, fmt.Sprintf("the flags %#x are unknown", flags))
	}
	count := size / int64(n)
	if size%int64(n) != 0 || count < 2 || count > 1<<31 {
		return f.corrupt(metaPage, 0, fmt.Sprintf("the file has %d bytes, which is no whole number of pages of %d", size, n))
	}
	f.pages = uint32(count)
	f.free = u32(metaFree)
	return nil
}

// Pages is how many pages the file has, the meta page among them; 0 of an empty
// file.
func (f *File) Pages() uint32 { return f.pages }

// read gives the bytes of a page. Those of a file that is not in memory are in
// buf, if it has room.
func (f *File) read(n uint32, buf []byte) ([]byte, error) {
	at := int64(n) * int64(f.pageSize)
	if f.mem != nil {
		return f.mem[at : at+int64(f.pageSize) : at+int64(f.pageSize)], nil
	}
	if cap(buf) < f.pageSize {
		buf = make([]byte, f.pageSize)
	}
	buf = buf[:f.pageSize]
	if _, err := f.r.ReadAt(buf, at); err != nil {
		return nil, fmt.Errorf("read %s, page %d: %w", f.name, n, err)
	}
	return buf, nil
}

func (f *File) corrupt(page uint32, at int, msg string) error {
	return &CorruptError{Path: f.name, Page: page, Offset: at, Msg: msg}
}
