package enctype

import (
	"crypto/hmac"
	"crypto/sha1"
	"fmt"
)

// prfPlusMax is the number of PRF outputs that one counter byte can number.
const prfPlusMax = 255

// PRF is the encryption type's pseudo-random function. The output has 16 bytes
// for DES3, AES-SHA1 and Camellia, 20 for RC4, 32 and 48 for the AES-SHA2 types
// (RFC 3961 section 5.3, 8009 section 5, 6803 section 6; for RC4 MIT's, which
// is HMAC-SHA1).
func (k *Key) PRF(in []byte) []byte {
	p, key := k.in.p, k.in.bytes
	label := []byte("prf")
	switch p.kdf {
	case kdfRC4:
		h := hmac.New(sha1.New, key)
		h.Write(in)
		return h.Sum(nil)
	case kdfHMAC:
		return deriveHMAC(p.newHash, key, label, in, p.newHash().Size())
	case kdfCMAC:
		sum := newCMAC(newCamellia(p.derive(key, label, p.keyLen))).sum(in)
		return sum[:]
	default:
		cbc := newCBCKey(p.newBlock(p.derive(key, label, p.keyLen)))
		sum := sha1.Sum(in)
		out := append([]byte(nil), sum[:16]...) // whole blocks, also of DES3
		cbc.encrypt(State{}, out)
		return out
	}
}

// PRFPlus is PRF+ of RFC 6113 section 5.1: n bytes made from the key and in. An
// error says that n is more than 255 PRF outputs.
func (k *Key) PRFPlus(in []byte, n int) ([]byte, error) {
	numbered := append([]byte{0}, in...)
	var out []byte
	for i := 1; len(out) < n; i++ {
		if i > prfPlusMax {
			return nil, fmt.Errorf("PRF+ of %v key: %d bytes are more than it can make", k.in.p.id, n)
		}
		numbered[0] = byte(i)
		out = append(out, k.PRF(numbered)...)
	}
	return out[:max(n, 0)], nil
}
