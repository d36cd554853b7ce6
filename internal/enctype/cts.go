package enctype

import (
	"crypto/cipher"
	"crypto/subtle"
	"sync"
)

// blockMax is the size of the largest cipher block.
const blockMax = 16

// cbcKey encrypts and decrypts in place by CBC, with or without ciphertext
// stealing, for several goroutines at once. Once warm it allocates nothing.
type cbcKey struct {
	block    cipher.Block
	enc, dec sync.Pool // of *cbcState
}

// cbcState holds a block mode with its scratch, which a call to an interface
// would otherwise move to the heap.
type cbcState struct {
	mode cbcMode
	iv   [blockMax]byte
	prev [blockMax]byte
	last [blockMax]byte
}

// cbcMode is what the standard library's CBC modes are: their IV can be set
// again, so that one need not be made for each message.
type cbcMode interface {
	cipher.BlockMode
	SetIV([]byte)
}

func newCBCKey(block cipher.Block) *cbcKey {
	zero := make([]byte, block.BlockSize())
	k := &cbcKey{block: block}
	k.enc.New = func() any {
		return &cbcState{mode: cipher.NewCBCEncrypter(block, zero).(cbcMode)}
	}
	k.dec.New = func() any {
		return &cbcState{mode: cipher.NewCBCDecrypter(block, zero).(cbcMode)}
	}
	return k
}

// setIV returns the part of s.iv that is the block mode's.
func (s *cbcState) setIV(iv State, size int) []byte {
	s.iv = iv.iv
	s.mode.SetIV(s.iv[:size])
	return s.iv[:size]
}

// encrypt encrypts whole blocks.
func (k *cbcKey) encrypt(iv State, buf []byte) {
	s := k.enc.Get().(*cbcState)
	s.setIV(iv, k.block.BlockSize())
	s.mode.CryptBlocks(buf, buf)
	k.enc.Put(s)
}

// decrypt reverses encrypt.
func (k *cbcKey) decrypt(iv State, buf []byte) {
	s := k.dec.Get().(*cbcState)
	s.setIV(iv, k.block.BlockSize())
	s.mode.CryptBlocks(buf, buf)
	k.dec.Put(s)
}

// encryptCTS encrypts at least one block with ciphertext stealing, always
// exchanging the last two blocks (RFC 3962 section 5; CBC-CS3 of NIST
// SP 800-38A). A single block is encrypted without the IV, as MIT does.
func (k *cbcKey) encryptCTS(iv State, buf []byte) {
	if len(buf) == blockMax {
		k.encrypt(State{}, buf)
		return
	}
	s := k.enc.Get().(*cbcState)
	s.setIV(iv, blockMax)
	tail := lastBlock(len(buf))
	s.last = [blockMax]byte{} // the last plaintext block is padded with zeros
	stolen := copy(s.last[:], buf[tail:])

	s.mode.CryptBlocks(buf[:tail], buf[:tail])
	copy(s.prev[:], buf[tail-blockMax:tail])
	s.mode.CryptBlocks(s.last[:], s.last[:])
	copy(buf[tail-blockMax:], s.last[:])
	copy(buf[tail:], s.prev[:stolen])
	k.enc.Put(s)
}

// decryptCTS reverses encryptCTS.
func (k *cbcKey) decryptCTS(iv State, buf []byte) {
	if len(buf) == blockMax {
		k.decrypt(State{}, buf)
		return
	}
	s := k.dec.Get().(*cbcState)
	chain := s.setIV(iv, blockMax)
	tail := lastBlock(len(buf))
	full, part := buf[tail-blockMax:tail], buf[tail:]
	if front := buf[:tail-blockMax]; len(front) > 0 {
		copy(s.prev[:], front[len(front)-blockMax:])
		s.mode.CryptBlocks(front, front)
		chain = s.prev[:]
	}
	// The decrypted full block is the last plaintext, padded with zeros, xor
	// the ciphertext block before it; so the padding uncovers the stolen bytes.
	k.block.Decrypt(s.last[:], full)
	copy(full, part)
	copy(full[len(part):], s.last[len(part):])
	subtle.XORBytes(part, part, s.last[:len(part)])
	k.block.Decrypt(full, full)
	subtle.XORBytes(full, full, chain)
	k.dec.Put(s)
}

// lastBlock is the offset of the last block, whole or not, of n bytes.
func lastBlock(n int) int { return (n - 1) / blockMax * blockMax }
