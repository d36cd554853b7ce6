//go:build !purego

package enctype

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/cpu"
)

// acceleratedAES returns nil where the processor has no AES instructions.
func acceleratedAES(key []byte) cipher.Block {
	if !cpu.X86.HasAES {
		return nil
	}
	b := &aesBlock{Block: portableAES(key)}
	b.keys.expand(key)
	return b
}

// aesBlock is AES with CBC modes in assembly, made by the methods that
// crypto/cipher looks for. Single blocks remain the standard library's.
type aesBlock struct {
	cipher.Block
	keys aesKeys
}

func (b *aesBlock) NewCBCEncrypter(iv []byte) cipher.BlockMode {
	return &aesCBC{crypt: cbcEncrypt, keys: &b.keys.enc, rounds: b.keys.rounds, iv: [blockMax]byte(iv)}
}

func (b *aesBlock) NewCBCDecrypter(iv []byte) cipher.BlockMode {
	return &aesCBC{crypt: cbcDecrypt, keys: &b.keys.dec, rounds: b.keys.rounds, iv: [blockMax]byte(iv)}
}

// aesCBC is a cbcMode in one direction.
type aesCBC struct {
	crypt  func(keys *schedule, rounds int, iv *[blockMax]byte, buf *byte, blocks int)
	keys   *schedule
	rounds int
	iv     [blockMax]byte
}

func (m *aesCBC) BlockSize() int { return blockMax }

func (m *aesCBC) SetIV(iv []byte) { m.iv = [blockMax]byte(iv) }

// CryptBlocks hands whole blocks to the assembly, which trusts its arguments:
// what it may touch is checked here.
func (m *aesCBC) CryptBlocks(dst, src []byte) {
	if len(src)%blockMax != 0 || len(dst) < len(src) {
		panic("enctype: not full blocks, or no room for them")
	}
	if len(src) == 0 {
		return
	}
	dst = dst[:len(src)]
	if &dst[0] != &src[0] {
		copy(dst, src)
	}
	m.crypt(m.keys, m.rounds, &m.iv, &dst[0], len(dst)/blockMax)
}

// schedule holds the round keys, 4 words each, in the order of their use. A
// word is little-endian, so that its bytes lie in memory as in FIPS 197.
type schedule [4 * (14 + 1)]uint32

// aesKeys is an expanded key. A key of 16 bytes has 10 rounds and one of 32
// has 14, and each schedule has one round key more.
type aesKeys struct {
	enc, dec schedule
	rounds   int
}

// expand is the key expansion of FIPS 197 section 5.2. No table is looked up,
// so its time does not depend on the key.
func (k *aesKeys) expand(key []byte) {
	nk := len(key) / 4
	k.rounds = nk + 6
	words := 4 * (k.rounds + 1)
	for i := range nk {
		k.enc[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	rcon := uint32(1)
	for i := nk; i < words; i++ {
		t := k.enc[i-1]
		if i%nk == 0 {
			t = subWord(bits.RotateLeft32(t, -8)) ^ rcon
			rcon = rcon<<1 ^ rcon>>7*0x11b
		} else if nk == 8 && i%nk == 4 {
			t = subWord(t)
		}
		k.enc[i] = k.enc[i-nk] ^ t
	}

	// The equivalent inverse cipher (section 5.3.5) takes the round keys from
	// the last to the first, all but these two through InvMixColumns.
	for i := 0; i < words; i += 4 {
		round := (*[4]uint32)(k.dec[i:])
		*round = [4]uint32(k.enc[words-4-i:])
		if i > 0 && i < words-4 {
			invMixColumns(round)
		}
	}
}

// The functions below need a processor with AES instructions.

// subWord is SubWord of FIPS 197 section 5.2.
func subWord(w uint32) uint32

// invMixColumns is InvMixColumns of FIPS 197 section 5.3.3.
//
//go:noescape
func invMixColumns(key *[4]uint32)

// cbcEncrypt encrypts 16*blocks bytes from buf on in place and leaves the last
// ciphertext block in iv. Rounds is 10 or 14; 0 blocks are none.
//
//go:noescape
func cbcEncrypt(keys *schedule, rounds int, iv *[blockMax]byte, buf *byte, blocks int)

// cbcDecrypt reverses cbcEncrypt and leaves the same in iv.
//
//go:noescape
func cbcDecrypt(keys *schedule, rounds int, iv *[blockMax]byte, buf *byte, blocks int)
