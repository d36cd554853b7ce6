package enctype

import (
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"hash"
	"math/bits"
)

// The last byte of the constant from which a usage's key is derived
// (RFC 3961 section 5.3).
const (
	purposeEncrypt   = 0xaa // Ke
	purposeIntegrity = 0x55 // Ki
	purposeChecksum  = 0x99 // Kc
)

func (p *profile) deriveUsage(key []byte, usage uint32) *usageKeys {
	if p.kdf == kdfRC4 {
		return &usageKeys{p: p, mac: p.newMAC(rc4UsageKey(key, usage))}
	}
	ke := p.derive(key, usageConstant(usage, purposeEncrypt), p.keyLen)
	ki := p.derive(key, usageConstant(usage, purposeIntegrity), p.macKeyLen)
	u := &usageKeys{p: p, cbc: newCBCKey(p.newBlock(ke)), mac: p.newMAC(ki)}
	if !fips140.Enabled() {
		u.lanes = acceleratedHMAC(p.id, ki)
	}
	return u
}

func usageConstant(usage uint32, purpose byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, usage), purpose)
}

// derive makes a key of n bytes from a protocol key and a constant. It is not
// for RC4.
func (p *profile) derive(key, constant []byte, n int) []byte {
	switch p.kdf {
	case kdfHMAC:
		return deriveHMAC(p.newHash, key, constant, nil, n)
	case kdfCMAC:
		return deriveCMAC(key, constant, n)
	default:
		return p.randomToKey(deriveRandom(p.newBlock(key), constant, p.seedLen))
	}
}

// deriveRandom is DR of RFC 3961 section 5.1: n bytes of the constant,
// stretched to a block and encrypted again and again.
func deriveRandom(b cipher.Block, constant []byte, n int) []byte {
	size := b.BlockSize()
	block := nfold(constant, size)
	out := make([]byte, 0, n+size)
	for len(out) < n {
		b.Encrypt(block, block)
		out = append(out, block...)
	}
	return out[:n]
}

// nfold is the n-fold operation of RFC 3961 section 5.1: the sum, with
// end-around carry, of the n-byte pieces of as many copies of in as make up the
// least common multiple of both lengths, each copy rotated 13 bits further to
// the right. Neither length may be 0.
func nfold(in []byte, n int) []byte {
	nbits := len(in) * 8
	sums := make([]int, n)
	for i, total := 0, lcm(len(in), n); i < total; i++ {
		rotation := 13 * (i / len(in)) % nbits
		first := (i%len(in)*8 - rotation + nbits) % nbits
		pair := uint16(in[first/8])<<8 | uint16(in[(first/8+1)%len(in)])
		sums[i%n] += int(pair >> (8 - first%8) & 0xff)
	}
	out := make([]byte, n)
	for carry, again := 0, true; again; again = carry != 0 {
		for i := n - 1; i >= 0; i-- {
			carry += sums[i]
			sums[i] = carry & 0xff
			carry >>= 8
			out[i] = byte(sums[i])
		}
	}
	return out
}

func lcm(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}

// deriveHMAC is KDF-HMAC-SHA2 of RFC 8009 section 3; n is at most the size of
// the hash.
func deriveHMAC(newHash func() hash.Hash, key, label, context []byte, n int) []byte {
	h := hmac.New(newHash, key)
	h.Write([]byte{0, 0, 0, 1})
	h.Write(label)
	h.Write([]byte{0})
	h.Write(context)
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(n)*8))
	return h.Sum(nil)[:n]
}

// deriveCMAC is KDF-FEEDBACK-CMAC of RFC 6803 section 3. The feedback before
// the first round is a block of zeros.
func deriveCMAC(key, constant []byte, n int) []byte {
	m := newCMAC(newCamellia(key))
	var feedback [camelliaBlock]byte
	out := make([]byte, 0, n+camelliaBlock)
	for i := uint32(1); len(out) < n; i++ {
		in := append([]byte(nil), feedback[:]...)
		in = binary.BigEndian.AppendUint32(in, i)
		in = append(in, constant...)
		in = append(in, 0)
		in = binary.BigEndian.AppendUint32(in, uint32(n)*8)
		feedback = m.sum(in)
		out = append(out, feedback[:]...)
	}
	return out[:n]
}

// rc4UsageKey is K1 of RFC 4757 section 3.
func rc4UsageKey(key []byte, usage uint32) []byte {
	h := hmac.New(md5.New, key)
	h.Write(rc4Usage(usage))
	return h.Sum(nil)
}

// rc4Usage is the usage number as RC4 keys see it: Microsoft numbered two of
// them differently (RFC 4757 section 3; MIT's table agrees).
func rc4Usage(usage uint32) []byte {
	switch usage {
	case 3:
		usage = 8
	case 23:
		usage = 13
	}
	return binary.LittleEndian.AppendUint32(nil, usage)
}

// randomToKey turns seedLen random bytes into a key.
func (p *profile) randomToKey(seed []byte) []byte {
	if p.id != DES3 {
		return seed
	}
	key := make([]byte, 0, p.keyLen)
	for len(seed) >= 7 {
		key = append(key, des3Part(seed[:7])...)
		seed = seed[7:]
	}
	return key
}

// des3Part makes 8 bytes of a DES3 key from 7 random ones: each byte's lowest
// bit moves into the eighth byte and gives its place to odd parity (RFC 3961
// section 6.3.1). Weak keys, which are one in 2^50, are left as MIT leaves them.
func des3Part(seed []byte) []byte {
	part := make([]byte, 8)
	for i, b := range seed {
		part[i] = b
		part[7] |= b & 1 << (i + 1)
	}
	for i, b := range part {
		part[i] = b&^1 | byte(bits.OnesCount8(b>>1)+1)&1
	}
	return part
}
