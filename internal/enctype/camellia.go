package enctype

import (
	"encoding/binary"
	"math/bits"
)

// camelliaBlock is the block size of Camellia in bytes.
const camelliaBlock = 16

// camellia is the block cipher of RFC 3713 with a 128 or 256 bit key, as a
// cipher.Block. It looks up tables at places that depend on the data, so its
// time may tell something to a program on the same processor, like that of
// every plain software Camellia.
type camellia struct {
	// Subkeys in the order of encryption: two of whitening, then per group six
	// of rounds and two of the FL functions (none after the last group), then
	// two of whitening.
	enc, dec []uint64
}

// newCamellia needs a key of 16 or 32 bytes.
func newCamellia(key []byte) *camellia {
	kl := load128(key)
	var kr word128
	if len(key) == 32 {
		kr = load128(key[16:])
	}
	ka := word128{kl.hi ^ kr.hi, kl.lo ^ kr.lo}
	ka.mix(0xa09e667f3bcc908b, 0xb67ae8584caa73b2)
	ka = word128{ka.hi ^ kl.hi, ka.lo ^ kl.lo}
	ka.mix(0xc6ef372fe94f82be, 0x54ff53a5f1d36f1c)

	c := &camellia{}
	if len(key) == 16 {
		c.enc = schedule128(kl, ka)
	} else {
		kb := word128{ka.hi ^ kr.hi, ka.lo ^ kr.lo}
		kb.mix(0x10e527fade682d1d, 0xb05688c2b3e6c1fd)
		c.enc = schedule256(kl, kr, ka, kb)
	}
	c.dec = reversed(c.enc)
	return c
}

// word128 is a 128-bit number, and the two halves of a block.
type word128 struct{ hi, lo uint64 }

func load128(b []byte) word128 {
	return word128{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// mix is two rounds of the cipher, by which the intermediate keys are made.
func (w *word128) mix(k1, k2 uint64) {
	w.lo ^= camelliaF(w.hi, k1)
	w.hi ^= camelliaF(w.lo, k2)
}

// rotl gives both halves of w rotated to the left by n < 128 bits.
func (w word128) rotl(n int) (hi, lo uint64) {
	hi, lo = w.hi, w.lo
	if n >= 64 {
		hi, lo = lo, hi
		n -= 64
	}
	return hi<<n | lo>>(64-n), lo<<n | hi>>(64-n)
}

// schedule128 is the table of RFC 3713 section 2.2 for 128-bit keys.
func schedule128(kl, ka word128) []uint64 {
	var s subkeys
	s.add(kl, 0)
	s.add(ka, 0)
	s.add(kl, 15)
	s.add(ka, 15)
	s.add(ka, 30)
	s.add(kl, 45)
	hi, _ := ka.rotl(45)
	_, lo := kl.rotl(60)
	s = append(s, hi, lo)
	s.add(ka, 60)
	s.add(kl, 77)
	s.add(kl, 94)
	s.add(ka, 94)
	s.add(kl, 111)
	s.add(ka, 111)
	return s
}

// schedule256 is the table of RFC 3713 section 2.2 for 256-bit keys.
func schedule256(kl, kr, ka, kb word128) []uint64 {
	var s subkeys
	s.add(kl, 0)
	s.add(kb, 0)
	s.add(kr, 15)
	s.add(ka, 15)
	s.add(kr, 30)
	s.add(kb, 30)
	s.add(kl, 45)
	s.add(ka, 45)
	s.add(kl, 60)
	s.add(kr, 60)
	s.add(kb, 60)
	s.add(kl, 77)
	s.add(ka, 77)
	s.add(kr, 94)
	s.add(ka, 94)
	s.add(kl, 111)
	s.add(kb, 111)
	return s
}

type subkeys []uint64

func (s *subkeys) add(w word128, rotation int) {
	hi, lo := w.rotl(rotation)
	*s = append(*s, hi, lo)
}

// reversed gives the subkeys for decryption, which is encryption with the
// subkeys in reverse order, the whitening keys of each end staying in theirs.
func reversed(enc []uint64) []uint64 {
	n := len(enc)
	dec := make([]uint64, n)
	for i, k := range enc {
		dec[n-1-i] = k
	}
	dec[0], dec[1] = dec[1], dec[0]
	dec[n-2], dec[n-1] = dec[n-1], dec[n-2]
	return dec
}

// BlockSize is 16.
func (c *camellia) BlockSize() int { return camelliaBlock }

// Encrypt encrypts one block; dst and src may be the same.
func (c *camellia) Encrypt(dst, src []byte) { camelliaCrypt(c.enc, dst, src) }

// Decrypt decrypts one block; dst and src may be the same.
func (c *camellia) Decrypt(dst, src []byte) { camelliaCrypt(c.dec, dst, src) }

func camelliaCrypt(keys []uint64, dst, src []byte) {
	d1 := binary.BigEndian.Uint64(src) ^ keys[0]
	d2 := binary.BigEndian.Uint64(src[8:]) ^ keys[1]
	for keys = keys[2:]; ; keys = keys[8:] {
		k := (*[6]uint64)(keys)
		d2 ^= camelliaF(d1, k[0])
		d1 ^= camelliaF(d2, k[1])
		d2 ^= camelliaF(d1, k[2])
		d1 ^= camelliaF(d2, k[3])
		d2 ^= camelliaF(d1, k[4])
		d1 ^= camelliaF(d2, k[5])
		if len(keys) == 8 {
			break
		}
		d1 = camelliaFL(d1, keys[6])
		d2 = camelliaFLInverse(d2, keys[7])
	}
	binary.BigEndian.PutUint64(dst, d2^keys[6])
	binary.BigEndian.PutUint64(dst[8:], d1^keys[7])
}

func camelliaFL(x, k uint64) uint64 {
	x1, x2 := uint32(x>>32), uint32(x)
	x2 ^= bits.RotateLeft32(x1&uint32(k>>32), 1)
	x1 ^= x2 | uint32(k)
	return uint64(x1)<<32 | uint64(x2)
}

func camelliaFLInverse(y, k uint64) uint64 {
	y1, y2 := uint32(y>>32), uint32(y)
	y1 ^= y2 | uint32(k)
	y2 ^= bits.RotateLeft32(y1&uint32(k>>32), 1)
	return uint64(y1)<<32 | uint64(y2)
}

// camelliaF is the F function of RFC 3713 section 2.4.1, its S and P layers
// joined in tables.
func camelliaF(x, k uint64) uint64 {
	x ^= k
	t := &camelliaTables
	return t[0][byte(x>>56)] ^ t[1][byte(x>>48)] ^ t[2][byte(x>>40)] ^ t[3][byte(x>>32)] ^
		t[4][byte(x>>24)] ^ t[5][byte(x>>16)] ^ t[6][byte(x>>8)] ^ t[7][byte(x)]
}
