package enctype

import (
	"encoding/binary"
	"math/bits"
)

// md4 is the hash of RFC 1320, which is broken and serves only to make RC4 keys
// of passwords.
func md4(data []byte) [16]byte {
	padded := append([]byte(nil), data...)
	padded = append(padded, 0x80)
	for len(padded)%64 != 56 {
		padded = append(padded, 0)
	}
	padded = binary.LittleEndian.AppendUint64(padded, uint64(len(data))*8)

	state := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	for ; len(padded) > 0; padded = padded[64:] {
		md4Block(&state, padded[:64])
	}
	var out [16]byte
	for i, w := range state {
		binary.LittleEndian.PutUint32(out[i*4:], w)
	}
	return out
}

func md4Block(state *[4]uint32, block []byte) {
	var x [16]uint32
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(block[i*4:])
	}
	a, b, c, d := state[0], state[1], state[2], state[3]
	step := func(f, word, constant uint32, shift int) {
		a, b, c, d = d, bits.RotateLeft32(a+f+word+constant, shift), b, c
	}
	for i := range 16 {
		step(b&c|^b&d, x[i], 0, [4]int{3, 7, 11, 19}[i%4])
	}
	for i := range 16 {
		step(b&c|b&d|c&d, x[i%4*4+i/4], 0x5a827999, [4]int{3, 5, 9, 13}[i%4])
	}
	for i := range 16 {
		// The words come in the order of their numbers' bits reversed.
		word := x[bits.Reverse8(uint8(i))>>4]
		step(b^c^d, word, 0x6ed9eba1, [4]int{3, 9, 11, 15}[i%4])
	}
	state[0] += a
	state[1] += b
	state[2] += c
	state[3] += d
}
