package dump

import (
	"encoding/binary"
	"slices"
)

var le = binary.LittleEndian

// pairs maps two digits, as they lie in memory, to their byte with hexOK set,
// and hexLower unless one is in upper case; and everything else to 0. It is a table
// because MIT's reader spends two thirds of its time on hex digits; the part of it
// that digits touch is 2 kB. What is longer is for the processor's vectors, where
// it has those that hex_amd64.s needs.
var pairs = makePairs()

const (
	hexOK    = 0x100
	hexLower = 0x200
)

func makePairs() *[1 << 16]uint16 {
	const digits = "0123456789abcdefABCDEF"
	value := func(i int) int {
		if i >= 16 {
			return i - 6
		}
		return i
	}
	t := new([1 << 16]uint16)
	for i := range len(digits) {
		for j := range len(digits) {
			v := uint16(hexOK | value(i)<<4 | value(j))
			if i < 16 && j < 16 {
				v |= hexLower
			}
			t[int(digits[j])<<8|int(digits[i])] = v
		}
	}
	return t
}

// decodeHex fills dst from the 2*len(dst) digits at the start of src and says
// whether all of them are digits. It panics if src is shorter.
func decodeHex(dst, src []byte) bool { return hexBits(dst, src)&hexOK != 0 }

// hexBits is decodeHex, but tells hexOK and hexLower of all.
func hexBits(dst, src []byte) uint16 {
	if found, used := vectorHexBits(dst, src); used {
		return found
	}
	n, t, ok, i := len(dst), pairs, uint16(hexOK|hexLower), 0
	src = src[:2*n]
	for ; i+4 <= n; i += 4 {
		s := src[2*i : 2*i+8 : 2*i+8]
		a, b, c, d := t[le.Uint16(s)], t[le.Uint16(s[2:])], t[le.Uint16(s[4:])], t[le.Uint16(s[6:])]
		ok &= a & b & c & d
		out := dst[i : i+4 : i+4]
		out[0], out[1], out[2], out[3] = byte(a), byte(b), byte(c), byte(d)
	}
	for ; i < n; i++ {
		a := t[le.Uint16(src[2*i:])]
		ok &= a
		dst[i] = byte(a)
	}
	return ok
}

// badHex is the index of the first byte that is not a digit, or len(src).
func badHex(src []byte) int {
	for i, c := range src {
		if pairs[uint16('0')|uint16(c)<<8] == 0 {
			return i
		}
	}
	return len(src)
}

// appendHex writes lower case digits, as MIT does.
func appendHex(b, data []byte) []byte {
	at := len(b)
	b = slices.Grow(b, 2*len(data))[:at+2*len(data)]
	PutHex(b[at:], data)
	return b
}

// PutHex writes the lower case digits of data to the start of dst, as MIT does. It
// panics if dst has no room for 2*len(data) bytes.
func PutHex(dst, data []byte) {
	if vectorPutHex(dst, data) {
		return
	}
	dst = dst[:2*len(data)]
	if len(data) < 4 {
		for i, c := range data {
			dst[2*i], dst[2*i+1] = lowerDigits[c>>4], lowerDigits[c&15]
		}
		return
	}
	for i := 0; i+4 < len(data); i += 4 {
		le.PutUint64(dst[2*i:], eightHex(le.Uint32(data[i:])))
	}
	last := len(data) - 4 // some of the bytes may be there already
	le.PutUint64(dst[2*last:], eightHex(le.Uint32(data[last:])))
}

const lowerDigits = "0123456789abcdef"
