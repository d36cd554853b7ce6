package lmdb

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// Marks and sizes of reference kdb-lmdb.md 1.1 to 1.4.
const (
	headerSize  = 16
	metaEnd     = 152 // of the fields of a meta page
	recordSize  = 48
	magic       = 0xBEEFC0DE
	dataVersion = 1
	noPage      = 1<<64 - 1

	minPageSize = 512
	maxPageSize = 32768
	maxPages    = 1 << 47 // page numbers have 48 bits in a branch node
	maxDepth    = 32      // of LMDB's cursors
	maxKey      = 511

	flagBranch   = 1
	flagLeaf     = 2
	flagOverflow = 4
	flagMeta     = 8

	dbIntegerKey = 8
	dbFlagMask   = 0x7f // what a database record says of order and duplicates
)

// dbRecord is a database record (1.3).
type dbRecord struct {
	flags                            uint16
	depth                            int
	branches, leaves, chains, amount uint64
	root                             uint64
}

func parseRecord(b []byte) dbRecord {
	return dbRecord{
		flags: le.Uint16(b[4:]), depth: int(le.Uint16(b[6:])),
		branches: le.Uint64(b[8:]), leaves: le.Uint64(b[16:]), chains: le.Uint64(b[24:]),
		amount: le.Uint64(b[32:]), root: le.Uint64(b[40:]),
	}
}

// fault says what is wrong with a record whose flags must be want, or nothing.
func (d *dbRecord) fault(last uint64, want uint16) string {
	if got := d.flags & dbFlagMask; got != want {
		return fmt.Sprintf("database flags %#x instead of %#x", got, want)
	}
	if d.root == noPage {
		if d.depth != 0 || d.amount != 0 || d.branches != 0 || d.leaves != 0 || d.chains != 0 {
			return "an empty database has entries or pages"
		}
		return ""
	}
	switch {
	case d.root < 2 || d.root > last:
		return fmt.Sprintf("root page %d is outside 2 to %d", d.root, last)
	case d.depth < 1 || d.depth > maxDepth:
		return fmt.Sprintf("depth %d", d.depth)
	case d.branches > last || d.leaves > last || d.chains > last:
		return "a database has more pages than the file"
	case d.leaves == 0 || d.amount < d.leaves:
		return "a database has fewer entries than leaves"
	}
	return ""
}

// meta is a meta page (1.4).
type meta struct {
	slot     int // 0 or 1
	raw      [metaEnd]byte
	pageSize int
	mapSize  uint64
	free     dbRecord
	main     dbRecord
	last     uint64 // highest page number in use
	txn      uint64
}

// source is what a file is read through.
type source struct {
	io.ReaderAt
	path string
	size func() (int64, error)
}

func fileSource(f *os.File, path string) source {
	return source{f, path, func() (int64, error) {
		st, err := f.Stat()
		if err != nil {
			return 0, err
		}
		return st.Size(), nil
	}}
}

func (s source) corrupt(page uint64, offset int64, format string, args ...any) error {
	return &CorruptError{Path: s.path, Page: page, Offset: offset, Msg: fmt.Sprintf(format, args...)}
}

func (s source) format(why string) error {
	return fmt.Errorf("read %s: %w: %s", s.path, ErrFormat, why)
}

// readMeta reads one of the two meta pages. pageSize 0 is that which the page
// itself gives; it can only be so for slot 0.
func (s source) readMeta(slot, pageSize int) (*meta, error) {
	m := &meta{slot: slot}
	if _, err := s.ReadAt(m.raw[:], int64(slot*pageSize)); err != nil {
		if err == io.EOF {
			return nil, s.format("it ends in its first two pages")
		}
		return nil, fmt.Errorf("read %s: %w", s.path, err)
	}
	b := m.raw[:]
	if le.Uint32(b[16:]) != magic {
		return nil, s.format(fmt.Sprintf("meta page %d lacks the magic number", slot))
	}
	if v := le.Uint32(b[20:]); v != dataVersion {
		return nil, s.format(fmt.Sprintf("meta page %d is of version %d", slot, v))
	}
	if le.Uint16(b[10:])&flagMeta == 0 {
		return nil, s.format(fmt.Sprintf("page %d is not marked as a meta page", slot))
	}
	if err := s.parseMeta(m); err != nil {
		return nil, err
	}
	if pageSize != 0 && m.pageSize != pageSize {
		return nil, s.format(fmt.Sprintf("the meta pages disagree on the page size: %d and %d", pageSize, m.pageSize))
	}
	return m, nil
}

func (s source) parseMeta(m *meta) error {
	b := m.raw[:]
	size := le.Uint32(b[40:])
	if size < minPageSize || size > maxPageSize || size&(size-1) != 0 {
		return s.format(fmt.Sprintf("page size %d", size))
	}
	m.pageSize = int(size)
	m.mapSize = le.Uint64(b[32:])
	m.free, m.main = parseRecord(b[40:]), parseRecord(b[88:])
	m.last, m.txn = le.Uint64(b[136:]), le.Uint64(b[144:])

	base := int64(m.slot) * int64(m.pageSize)
	page := uint64(m.slot)
	if m.last < 1 || m.last >= maxPages {
		return s.corrupt(page, base+136, "last page %d", m.last)
	}
	if why := m.free.fault(m.last, dbIntegerKey); why != "" {
		return s.corrupt(page, base+40, "free list: %s", why)
	}
	if why := m.main.fault(m.last, 0); why != "" {
		return s.corrupt(page, base+88, "main database: %s", why)
	}
	return nil
}

// newest reads both meta pages and chooses the one that counts. The other is
// returned too.
func (s source) newest() (m, other *meta, err error) {
	zero, err := s.readMeta(0, 0)
	if err != nil {
		return nil, nil, err
	}
	one, err := s.readMeta(1, zero.pageSize)
	if err != nil {
		return nil, nil, err
	}
	m, other = zero, one
	if one.txn > zero.txn {
		m, other = one, zero
	}
	// Transaction N writes slot N & 1: anything else was made by no library.
	if m.txn > 0 && uint64(m.slot) != m.txn&1 {
		return nil, nil, s.corrupt(uint64(m.slot), int64(m.slot*m.pageSize)+144, "transaction %d in the wrong meta page", m.txn)
	}
	return m, other, nil
}

// settled is newest for a file that is being written: it returns what was
// certainly the newest snapshot at one moment, or false if a commit came between
// (4.1, steps A and B).
func (s source) settled() (*meta, bool, error) {
	m, _, err := s.newest()
	if err != nil {
		return nil, false, err
	}
	same, err := s.unchanged(m)
	if err != nil || !same {
		return nil, false, err
	}
	other, err := s.readMeta(1-m.slot, (1-m.slot)*m.pageSize)
	if err != nil {
		return nil, false, err
	}
	return m, other.txn <= m.txn, nil
}

// unchanged reads the slot of m again. If it is the same, no page of the
// snapshot has been overwritten since m was read (4.1, step D).
func (s source) unchanged(m *meta) (bool, error) {
	var again [metaEnd]byte
	if _, err := s.ReadAt(again[:], int64(m.slot*m.pageSize)); err != nil {
		if err == io.EOF {
			return false, nil
		}
		return false, fmt.Errorf("read %s: %w", s.path, err)
	}
	return bytes.Equal(again[:], m.raw[:]), nil
}
