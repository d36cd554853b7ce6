package dump

import (
	"math"
	"math/bits"
)

// What follows looks at 8 bytes at once, as the parts of a uint64, the first
// byte lowest. The answer for each part is its top bit: adding 0x80-c to a part
// below 0x80 sets it if the part is at least c, subtracting the part from 0x80+c
// if it is at most c. A part of 0x80 or more can spoil those above it, and
// counts as wrong itself.
const (
	ones = 0x0101010101010101
	tops = 0x80 * ones
)

// readNumber reads a decimal number below 2^32 and the TAB behind it. If there is
// none it gives 0 and the end of the line, and so do all that follow: whoever
// reads several need look only once.
func readNumber(line []byte, at int) (v uint64, next int) {
	if at+4 > len(line) {
		return 0, len(line)
	}
	// Most numbers are short. To foretell which of these jumps is taken costs a
	// processor less than to compute the place of the TAB.
	w := le.Uint32(line[at:])
	const tab = '\t' ^ '0' // in a part of d; a digit is its value
	d := w ^ '0'*0x01010101
	a, b, c := d&0xff, d>>8&0xff, d>>16&0xff
	switch {
	case a > 9:
	case b == tab:
		return uint64(a), at + 2
	case b > 9 || a == 0:
	case c == tab:
		return uint64(a*10 + b), at + 3
	case c > 9:
	case d>>24 == tab:
		return uint64(a*100 + b*10 + c), at + 4
	default:
		return longNumber(line, at)
	}
	return 0, len(line)
}

// longNumber is readNumber for any length. It refuses numbers in the last 11 bytes
// of a line, where only contents stand in ordinary lines.
func longNumber(line []byte, at int) (v uint64, next int) {
	s := line[at:]
	if len(s) < 11 || s[0] == '0' {
		return 0, len(line)
	}
	w := le.Uint64(s)
	x := w ^ '0'*ones
	if other := (x | (x + (0x80-10)*ones)) & tops; other != 0 {
		n := bits.TrailingZeros64(other) / 8
		if n == 0 || s[n] != '\t' {
			return 0, len(line)
		}
		return eightDigits(w << (64 - 8*n)), at + n + 1
	}
	v = eightDigits(w)
	for i := 8; i <= 10; i++ {
		if s[i] == '\t' && v < 1<<32 {
			return v, at + i + 1
		}
		d := s[i] - '0'
		if d > 9 {
			break
		}
		v = v*10 + uint64(d)
	}
	return 0, len(line)
}

// eightDigits is the number that 8 digits make, the first in the lowest part;
// a part of 0 counts as a zero. Neighbours are joined three times.
func eightDigits(w uint64) uint64 {
	w = w & (0x0f * ones) * (10<<8 + 1) >> 8
	w = w & 0x00ff00ff00ff00ff * (100<<16 + 1) >> 16
	return w & 0x0000ffff0000ffff * (10000<<32 + 1) >> 32
}

// readContents gives the hex digits of n bytes, which are not looked at, if a TAB
// follows them, and as readNumber the end of the line otherwise.
func readContents(line []byte, at int, n uint64) (digits []byte, next int) {
	end := at + 2*int(n)
	switch {
	case n > math.MaxUint16:
	case n > 0 && end < len(line) && line[end] == '\t':
		return line[at:end], end + 1
	case n == 0 && at+3 <= len(line) && string(line[at:at+3]) == "-1\t":
		return nil, at + 3
	}
	return nil, len(line)
}

// isHex says whether all bytes are hex digits.
func isHex(s []byte) bool {
	if all, used := vectorIsHex(s); used {
		return all
	}
	if len(s) < 8 {
		return badHex(s) == len(s)
	}
	bad, rest := uint64(0), s
	for ; len(rest) >= 32; rest = rest[32:] {
		bad |= notHex(le.Uint64(rest)) | notHex(le.Uint64(rest[8:])) | notHex(le.Uint64(rest[16:])) | notHex(le.Uint64(rest[24:]))
	}
	for ; len(rest) >= 8; rest = rest[8:] {
		bad |= notHex(le.Uint64(rest))
	}
	if len(rest) > 0 { // some of the bytes before it are looked at twice
		bad |= notHex(le.Uint64(s[len(s)-8:]))
	}
	return bad&tops == 0
}

// notHex sets the top bit of a part that is no hex digit. From 0 to 0x7f there
// are four bounds, and each that is passed changes the answer.
func notHex(w uint64) uint64 {
	const lower = 0x20 * ones // leaves digits as they are
	l := w | lower
	return ((0x80+'0'-1)*ones - w) ^ (w + (0x80-'9'-1)*ones) ^ (l + (0x80-'a')*ones) ^ (l + (0x80-'f'-1)*ones) | w
}

// fourBytes is what 8 hex digits stand for, as a number in little endian.
func fourBytes(w uint64) uint32 {
	w = w&(0x0f*ones) + w>>6&ones*9 // each digit's value
	w = (w<<4 | w>>8) & 0x00ff00ff00ff00ff
	w = (w | w>>8) & 0x0000ffff0000ffff
	return uint32(w | w>>16)
}

// eightHex is the reverse of fourBytes, in lower case. A digit from ten on is one
// that a 6 more carries into the next four bits.
func eightHex(v uint32) uint64 {
	w := uint64(v)
	w = (w | w<<16) & 0x0000ffff0000ffff
	w = (w | w<<8) & 0x00ff00ff00ff00ff
	w = (w>>4 | w<<8) & (0x0f * ones)
	return w + '0'*ones + (w+6*ones)>>4&ones*('a'-'0'-10)
}

// hasNUL says whether a byte that these hex digits stand for is 0.
func hasNUL(s []byte) bool {
	const lanes = 0x0001000100010001 // each of two digits
	if len(s) < 8 {
		for ; len(s) >= 2; s = s[2:] {
			if s[0] == '0' && s[1] == '0' {
				return true
			}
		}
		return false
	}
	// A digit less '0' never uses the top bit; only 0 less 1 does.
	found := le.Uint64(s[len(s)-8:]) ^ '0'*ones - lanes
	for ; len(s) >= 8; s = s[8:] {
		found |= le.Uint64(s) ^ '0'*ones - lanes
	}
	return found&(lanes<<15) != 0
}

// plainText says that no byte of a component has a meaning in a principal's
// text. It may say no without need.
func plainText(s []byte) bool {
	if len(s) < 8 {
		for _, c := range s {
			if c < ' ' || c == '@' || c == '\\' {
				return false
			}
		}
		return true
	}
	bad := notPlain(le.Uint64(s[len(s)-8:]))
	for ; len(s) >= 8; s = s[8:] {
		bad |= notPlain(le.Uint64(s))
	}
	return bad&tops == 0
}

// notPlain sets the top bit of a part that is not plain text. A part of 0 less 1
// is how @ and the backslash show.
func notPlain(w uint64) uint64 {
	return ((0x80+' '-1)*ones - w) | ((w ^ '@'*ones) - ones) | ((w ^ '\\'*ones) - ones) | w
}
