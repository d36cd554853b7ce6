package enctype

import (
	"crypto/hmac"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"sync"
)

// mac is a keyed message authentication code, an HMAC or a CMAC, for several
// goroutines at once. Once warm it allocates nothing.
type mac struct {
	pool *sync.Pool // of *hmacState; nil for a CMAC
	cmac *cmac
}

// hmacState holds what a call to an interface would otherwise move to the heap.
type hmacState struct {
	h   hash.Hash
	iv  [blockMax]byte
	sum [sha512.Size]byte
}

func (p *profile) newMAC(key []byte) *mac {
	if p.newHash == nil {
		return &mac{cmac: newCMAC(newCamellia(key))}
	}
	return newHMAC(p.newHash, key)
}

func newHMAC(newHash func() hash.Hash, key []byte) *mac {
	return &mac{pool: &sync.Pool{New: func() any {
		return &hmacState{h: hmac.New(newHash, key)}
	}}}
}

// sum writes the first len(out) bytes of the code of data to out.
func (m *mac) sum(out, data []byte) {
	if m.pool == nil {
		full := m.cmac.sum(data)
		copy(out, full[:])
		return
	}
	s := m.pool.Get().(*hmacState)
	copy(out, s.compute(nil, data))
	m.pool.Put(s)
}

// sumIV is sum over iv and data. It is for HMACs only.
func (m *mac) sumIV(out []byte, iv State, data []byte) {
	s := m.pool.Get().(*hmacState)
	s.iv = iv.iv
	copy(out, s.compute(s.iv[:], data))
	m.pool.Put(s)
}

func (s *hmacState) compute(prefix, data []byte) []byte {
	s.h.Reset()
	s.h.Write(prefix)
	s.h.Write(data)
	return s.h.Sum(s.sum[:0])
}

// tag writes a ciphertext's tag; verify compares it. The code covers the IV
// only where the encryption type says so.
func (u *usageKeys) tag(out []byte, iv State, body []byte) {
	if u.p.mode == modeCTSSHA2 {
		u.mac.sumIV(out, iv, body)
	} else {
		u.mac.sum(out, body)
	}
}

func (u *usageKeys) verify(tag []byte, iv State, body []byte) bool {
	var want [sha512.Size]byte
	u.tag(want[:len(tag)], iv, body)
	return subtle.ConstantTimeCompare(want[:len(tag)], tag) == 1
}

// cmac is the CMAC of NIST SP 800-38B with Camellia.
type cmac struct {
	block  *camellia
	k1, k2 [camelliaBlock]byte
}

func newCMAC(block *camellia) *cmac {
	m := &cmac{block: block}
	var zero [camelliaBlock]byte
	block.Encrypt(m.k1[:], zero[:])
	double(&m.k1)
	m.k2 = m.k1
	double(&m.k2)
	return m
}

// double multiplies by x in GF(2^128), in constant time.
func double(b *[camelliaBlock]byte) {
	carry := b[0] >> 7
	for i := range b {
		next := byte(0)
		if i+1 < len(b) {
			next = b[i+1] >> 7
		}
		b[i] = b[i]<<1 | next
	}
	b[len(b)-1] ^= 0x87 * carry
}

func (m *cmac) sum(data []byte) (out [camelliaBlock]byte) {
	for len(data) > camelliaBlock {
		subtle.XORBytes(out[:], out[:], data[:camelliaBlock])
		m.block.Encrypt(out[:], out[:])
		data = data[camelliaBlock:]
	}
	last := m.k1
	if len(data) < camelliaBlock {
		last = m.k2
		last[len(data)] ^= 0x80
	}
	subtle.XORBytes(last[:], last[:], data)
	subtle.XORBytes(out[:], out[:], last[:])
	m.block.Encrypt(out[:], out[:])
	return out
}
