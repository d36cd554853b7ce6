package db2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// The layout of a hash file (reference kdb-formats.md 4.9). The header is big
// endian on all hosts.
const (
	hashMagic   = 0x00061561
	hashVersion = 3

	hashOrder      = 8 // offsets in the header
	hashPageSize   = 12
	hashMaxBucket  = 28
	hashHighMask   = 32
	hashLowMask    = 36
	hashKeys       = 44
	hashHeadPages  = 48
	hashCharKey    = 52
	hashSpares     = 56
	hashSpareCount = 32
	hashHeadEnd    = 248

	hashLittle, hashBig = 1234, 4321

	hpNumber   = 0 // offsets in a page
	hpNext     = 4
	hpEntries  = 8
	hpType     = 10
	hpFree     = 12
	hpHead     = 14 // a pair of offsets for each entry follows
	hpPair     = 4
	hpBigHead  = 18 // of a page of a big pair: sizes of its parts of key and data
	hashNoPage = 0xffffffff

	hashBucket   = 2 // types of pages
	hashBigPair  = 3
	hashOverflow = 4
)

// Hash is a file that "kdb5_util load -hash" made, which is only read. Nobody
// may write it meanwhile. It is safe for concurrent use.
type Hash struct {
	name      string
	mem       []byte // or nil
	r         io.ReaderAt
	order     binary.ByteOrder
	pageSize  int
	pages     uint32
	maxBucket uint32
	highMask  uint32
	lowMask   uint32
	keys      uint32
	headPages uint32
	spares    [hashSpareCount]uint32
}

// OpenHash reads the header of a hash file of size bytes. name is for messages.
// Errors wrap [ErrFormat], are a [*CorruptError], or those of r.
func OpenHash(r io.ReaderAt, size int64, name string) (*Hash, error) {
	h := &Hash{name: name, r: r}
	return h, h.readHead(size)
}

// OpenHashBytes is OpenHash for a file that is in memory, which is not copied.
func OpenHashBytes(mem []byte, name string) (*Hash, error) {
	h := &Hash{name: name, r: bytes.NewReader(mem), mem: mem}
	return h, h.readHead(int64(len(mem)))
}

func (h *Hash) readHead(size int64) error {
	var head [hashHeadEnd]byte
	if _, err := h.r.ReadAt(head[:], 0); err == io.EOF {
		return fmt.Errorf("%s: %w: it has %d bytes", h.name, ErrFormat, size)
	} else if err != nil {
		return fmt.Errorf("read %s: %w", h.name, err)
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(head[at:]) }
	switch {
	case u32(metaMagic) != hashMagic:
		return fmt.Errorf("%s: %w: it begins with %#08x", h.name, ErrFormat, u32(metaMagic))
	case u32(metaVersion) != hashVersion:
		return fmt.Errorf("%s: %w: its version is %d", h.name, ErrFormat, u32(metaVersion))
	}
	switch u32(hashOrder) {
	case hashLittle:
		h.order = binary.LittleEndian
	case hashBig:
		h.order = binary.BigEndian
	default:
		return h.corrupt(0, hashOrder, fmt.Sprintf("the byte order %d is unknown", u32(hashOrder)))
	}
	n := u32(hashPageSize)
	if n < minPageSize || n > maxPageSize || n&(n-1) != 0 {
		return h.corrupt(0, hashPageSize, fmt.Sprintf("pages of %d bytes cannot be", n))
	}
	count := size / int64(n)
	if size%int64(n) != 0 || count < 1 || count > 1<<31 {
		return h.corrupt(0, 0, fmt.Sprintf("the file has %d bytes, which is no whole number of pages of %d", size, n))
	}
	h.pageSize, h.pages = int(n), uint32(count)
	h.maxBucket, h.highMask, h.lowMask = u32(hashMaxBucket), u32(hashHighMask), u32(hashLowMask)
	h.keys, h.headPages = u32(hashKeys), u32(hashHeadPages)
	for i := range h.spares {
		h.spares[i] = u32(hashSpares + 4*i)
	}
	switch {
	case h.maxBucket >= h.pages:
		return h.corrupt(0, hashMaxBucket, fmt.Sprintf("%d buckets do not fit the %d pages", uint64(h.maxBucket)+1, h.pages))
	case h.highMask&(h.highMask+1) != 0, h.lowMask != h.highMask>>1, h.maxBucket < h.lowMask, h.maxBucket > h.highMask:
		return h.corrupt(0, hashHighMask, fmt.Sprintf("the masks %#x and %#x are not for %d buckets", h.highMask, h.lowMask, uint64(h.maxBucket)+1))
	case h.headPages == 0 || h.headPages > h.pages:
		return h.corrupt(0, hashHeadPages, fmt.Sprintf("the header is said to have %d pages", h.headPages))
	case u32(hashCharKey) != hashOf([]byte("%$sniglet^&\x00")):
		return h.corrupt(0, hashCharKey, "the buckets were chosen by another function")
	}
	return nil
}

// hashOf is libdb2's hash of a key.
func hashOf(key []byte) uint32 {
	h := uint32(0)
	for _, c := range key {
		h = h*33 + uint32(c)
	}
	return h
}

func (h *Hash) bucketOf(key []byte) uint32 {
	n := hashOf(key) & h.highMask
	if n > h.maxBucket {
		n &= h.lowMask
	}
	return n
}

// pageOfBucket and pageOfAddress may be outside of the file.
func (h *Hash) pageOfBucket(b uint32) uint64 {
	n := uint64(b) + uint64(h.headPages)
	if b > 0 {
		n += uint64(h.spares[bits.Len32(b)-1])
	}
	return n
}

func (h *Hash) pageOfAddress(a uint32) uint64 {
	return h.pageOfBucket(uint32(1)<<(a>>11)-1) + uint64(a&0x7ff)
}

func (h *Hash) corrupt(page uint32, at int, msg string) error {
	return &CorruptError{Path: h.name, Page: page, Offset: at, Msg: msg}
}
