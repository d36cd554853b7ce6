package dump

import (
	"encoding/binary"
	"slices"
)

var le = binary.LittleEndian

// pairs maps two digits, as they lie in memory, to their byte with hexOK set,
// and everything else to 0. It is a table because MIT's reader spends two
// thirds of its time on hex digits; the part of it that digits touch is 2 kB.
var pairs = makePairs()

const hexOK = 0x100

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
			t[int(digits[j])<<8|int(digits[i])] = uint16(hexOK | value(i)<<4 | value(j))
		}
	}
	return t
}

// decodeHex fills dst from the 2*len(dst) digits at the start of src and says
// whether all of them are digits. It panics if src is shorter.
func decodeHex(dst, src []byte) bool {
	n, t, ok, i := len(dst), pairs, uint16(hexOK), 0
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
	return ok != 0
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

// lowerPairs is the two lower case digits of each byte, as they lie in memory.
var lowerPairs = makeLowerPairs()

func makeLowerPairs() (t [256]uint16) {
	const digits = "0123456789abcdef"
	for i := range t {
		t[i] = uint16(digits[i>>4]) | uint16(digits[i&15])<<8
	}
	return t
}

// appendHex writes lower case digits, as MIT does.
func appendHex(b, data []byte) []byte {
	at := len(b)
	b = slices.Grow(b, 2*len(data))[:at+2*len(data)]
	out := b[at:]
	for _, c := range data {
		le.PutUint16(out, lowerPairs[c])
		out = out[2:]
	}
	return b
}
