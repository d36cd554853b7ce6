//go:build !purego

package enctype

import (
	"encoding/binary"

	"golang.org/x/sys/cpu"
)

// acceleratedHMAC returns nil for other encryption types than those below, and
// where the processor has not the instructions. The key is no longer than a
// block.
func acceleratedHMAC(id ID, key []byte) *laneMAC {
	if !cpu.X86.HasAVX512F || !cpu.X86.HasAVX512BW {
		return nil
	}
	switch id {
	case AES128SHA1, AES256SHA1:
		return newSHA1Lanes(key)
	case AES256SHA2:
		return newSHA384Lanes(key)
	}
	return nil
}

// sha1State holds one state for each lane: [word][lane].
type sha1State [5][sha1Lanes]uint32

// With 4 messages the lanes need 0.8 of the time of the standard library, which
// has instructions for SHA-1.
const (
	sha1Lanes  = 16
	sha1Fewest = 4
	sha1Block  = 64
)

// sha1IV is the initial state of FIPS 180-4 section 5.3.1.
var sha1IV = [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}

// sha1Start is the initial state in all lanes.
func sha1Start() sha1State {
	var iv sha1State
	for word, v := range sha1IV {
		for lane := range iv[word] {
			iv[word][lane] = v
		}
	}
	return iv
}

func newSHA1Lanes(key []byte) *laneMAC {
	m := &laneMAC{lanes: sha1Lanes, fewest: sha1Fewest, block: sha1Block}
	keys := &[2]sha1State{sha1Start(), sha1Start()}
	for i, pad := range hmacPads {
		padded := padKey(key, pad, sha1Block)
		sha1x16(&keys[i], sameLane(padded), 1)
	}
	m.pool.New = func() any { return newLaneWork(m, &sha1Hash{keys: keys}) }
	return m
}

// sha1Hash is SHA-1 as a laneHash.
type sha1Hash struct {
	keys  *[2]sha1State
	state sha1State
}

func (h *sha1Hash) start(pad hmacPad) { h.state = h.keys[pad] }

func (h *sha1Hash) blocks(ptrs *[lanesMax]*byte, n int) { sha1x16(&h.state, ptrs, n) }

func (h *sha1Hash) digest(out []byte, lane int) []byte {
	for word := range h.state {
		out = binary.BigEndian.AppendUint32(out, h.state[word][lane])
	}
	return out
}

// sha512State holds one state for each lane: [word][lane].
type sha512State [8][sha512Lanes]uint64

// With 2 messages the lanes need 0.6 of the time of the standard library.
const (
	sha512Lanes  = 8
	sha512Fewest = 2
	sha512Block  = 128
	sha384Words  = 6 // of the state, in the digest
)

// sha384IV is the initial state of FIPS 180-4 section 5.3.4.
var sha384IV = [8]uint64{
	0xcbbb9d5dc1059ed8, 0x629a292a367cd507, 0x9159015a3070dd17, 0x152fecd8f70e5939,
	0x67332667ffc00b31, 0x8eb44a8768581511, 0xdb0c2e0d64f98fa7, 0x47b5481dbefa4fa4,
}

// sha384Start is the initial state in all lanes.
func sha384Start() sha512State {
	var iv sha512State
	for word, v := range sha384IV {
		for lane := range iv[word] {
			iv[word][lane] = v
		}
	}
	return iv
}

func newSHA384Lanes(key []byte) *laneMAC {
	m := &laneMAC{lanes: sha512Lanes, fewest: sha512Fewest, block: sha512Block}
	keys := &[2]sha512State{sha384Start(), sha384Start()}
	for i, pad := range hmacPads {
		padded := padKey(key, pad, sha512Block)
		sha512x8(&keys[i], (*[sha512Lanes]*byte)(sameLane(padded)[:]), 1)
	}
	m.pool.New = func() any { return newLaneWork(m, &sha384Hash{keys: keys}) }
	return m
}

// sha384Hash is SHA-384 as a laneHash.
type sha384Hash struct {
	keys  *[2]sha512State
	state sha512State
}

func (h *sha384Hash) start(pad hmacPad) { h.state = h.keys[pad] }

func (h *sha384Hash) blocks(ptrs *[lanesMax]*byte, n int) {
	sha512x8(&h.state, (*[sha512Lanes]*byte)(ptrs[:]), n)
}

func (h *sha384Hash) digest(out []byte, lane int) []byte {
	for word := range sha384Words {
		out = binary.BigEndian.AppendUint64(out, h.state[word][lane])
	}
	return out
}

// The functions below need a processor with AVX512F and AVX512BW. They hash
// the given number of blocks in every lane, each lane from its pointer on.

// sha1x16 is the block function of SHA-1; a block has 64 bytes.
//
//go:noescape
func sha1x16(state *sha1State, ptrs *[sha1Lanes]*byte, blocks int)

// sha512x8 is the block function of SHA-512; a block has 128 bytes.
//
//go:noescape
func sha512x8(state *sha512State, ptrs *[sha512Lanes]*byte, blocks int)
