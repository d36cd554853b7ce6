//go:build !purego

package dump

import "golang.org/x/sys/cpu"

// hexAVX says that the functions below can be used.
var hexAVX = cpu.X86.HasAVX

// vectorBytes is how many bytes make a block of them.
const vectorBytes = 16

// putHexAVX writes the lower case digits of 16*blocks bytes, of one block at least.
//
//go:noescape
func putHexAVX(dst, src *byte, blocks int)

// getHexAVX reads the digits of 16*blocks bytes, of one block at least. It says
// whether all are digits, and whether there are some in upper case. If not
// all are digits dst is undefined.
//
//go:noescape
func getHexAVX(dst, src *byte, blocks int) (digits, upper bool)

// isHexAVX says whether 16*blocks bytes, of one block at least, are digits.
//
//go:noescape
func isHexAVX(src *byte, blocks int) bool

// vectorPutHex is PutHex; it is false, and has done nothing, where it is not to be
// used. What is behind the last whole block is written by another one, which
// overlaps it.
func vectorPutHex(dst, data []byte) bool {
	n := len(data)
	if !hexAVX || n < vectorBytes {
		return false
	}
	dst = dst[:2*n]
	putHexAVX(&dst[0], &data[0], n/vectorBytes)
	if n%vectorBytes > 0 {
		putHexAVX(&dst[2*(n-vectorBytes)], &data[n-vectorBytes], 1)
	}
	return true
}

// vectorHexBits is hexBits, where it is to be used. dst and src do not overlap.
func vectorHexBits(dst, src []byte) (found uint16, used bool) {
	n := len(dst)
	if !hexAVX || n < vectorBytes {
		return 0, false
	}
	src = src[:2*n]
	digits, upper := getHexAVX(&dst[0], &src[0], n/vectorBytes)
	if n%vectorBytes > 0 {
		d, u := getHexAVX(&dst[n-vectorBytes], &src[2*(n-vectorBytes)], 1)
		digits, upper = digits && d, upper || u
	}
	if digits {
		found = hexOK
	}
	if digits && !upper {
		found |= hexLower
	}
	return found, true
}

// vectorIsHex is isHex, where it is to be used.
func vectorIsHex(s []byte) (all, used bool) {
	n := len(s)
	if !hexAVX || n < vectorBytes {
		return false, false
	}
	all = isHexAVX(&s[0], n/vectorBytes)
	if n%vectorBytes > 0 {
		all = all && isHexAVX(&s[n-vectorBytes], 1)
	}
	return all, true
}
