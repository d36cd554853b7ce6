package db2

import (
	"encoding/binary"
	"io"
)

// Kind is how a file keeps its records.
type Kind string

const (
	Btree       Kind = "btree"
	HashedTable Kind = "hash"
)

// Records are those of a file of either kind: a [*File] or a [*Hash].
type Records interface {
	// Records calls yield with every record: see [File.Records] and
	// [Hash.Records].
	Records(yield func(key, data []byte) error) error
	// Kind tells which it is.
	Kind() Kind
}

// Kind is Btree.
func (f *File) Kind() Kind { return Btree }

// Kind is HashedTable.
func (h *Hash) Kind() Kind { return HashedTable }

// OpenRecords opens a file of size bytes as what it is. An empty one is a btree.
// Errors are those of [Open] and [OpenHash].
func OpenRecords(r io.ReaderAt, size int64, name string) (Records, error) {
	var magic [4]byte
	if n, _ := r.ReadAt(magic[:], 0); n == len(magic) && binary.BigEndian.Uint32(magic[:]) == hashMagic {
		return OpenHash(r, size, name)
	}
	return Open(r, size, name)
}

// OpenRecordsBytes is OpenRecords for a file that is in memory, which is not
// copied.
func OpenRecordsBytes(mem []byte, name string) (Records, error) {
	if len(mem) >= 4 && binary.BigEndian.Uint32(mem) == hashMagic {
		return OpenHashBytes(mem, name)
	}
	return OpenBytes(mem, name)
}
