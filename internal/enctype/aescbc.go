package enctype

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
)

// newAES returns AES with a key of 16 or 32 bytes. Nearly all the time of a
// propagation goes into its CBC modes, and those of the standard library spend
// a good part of theirs in one call per block and never decrypt two blocks at
// once. So the blocks that acceleratedAES gives have CBC modes of their own,
// which crypto/cipher finds by itself. Who asks for the FIPS 140 module gets
// the module.
func newAES(key []byte) cipher.Block {
	if fips140.Enabled() {
		return portableAES(key)
	}
	if block := acceleratedAES(key); block != nil {
		return block
	}
	return portableAES(key)
}

// portableAES is the standard library's AES, in constant time where the
// processor has instructions for it.
func portableAES(key []byte) cipher.Block { return must(aes.NewCipher(key)) }
