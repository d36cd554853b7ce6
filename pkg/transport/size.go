package transport

import (
	"encoding/binary"
	"math"
)

// appendSize encodes a database size (9): 4 bytes for 1 to 2^32-1, else four
// zero bytes and 8 bytes, big-endian.
func appendSize(dst []byte, n uint64) []byte {
	if n >= 1 && n <= math.MaxUint32 {
		return binary.BigEndian.AppendUint32(dst, uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 0), n)
}

// parseSize decodes a database size. Like MIT it takes a 4-byte zero, but
// nothing in the long form that fits the short one.
func parseSize(b []byte) (uint64, bool) {
	switch len(b) {
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), true
	case 12:
		n := binary.BigEndian.Uint64(b[4:])
		ok := binary.BigEndian.Uint32(b) == 0 && (n == 0 || n > math.MaxUint32)
		return n, ok
	}
	return 0, false
}
