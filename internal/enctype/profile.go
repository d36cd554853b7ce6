package enctype

import (
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
)

// profile is what sets one encryption type apart from the others. Lengths are
// in bytes.
type profile struct {
	id      ID
	name    string
	aliases []string

	keyLen     int // protocol key, and Ke
	seedLen    int // input of random-to-key
	macKeyLen  int // Ki and Kc
	confounder int // also the size of a cipher block, where there is one
	macLen     int
	sumType    int32

	mode       mode
	kdf        kdf
	newBlock   func(key []byte) cipher.Block
	newHash    func() hash.Hash // of the HMAC; nil where the MAC is a CMAC
	iterations uint32           // string-to-key default; 0 if it has no such parameter
}

// mode is how the data is encrypted and what the tag covers.
type mode int

const (
	modeCBC     mode = iota // zero padding, tag over the plaintext
	modeCTS                 // ciphertext stealing, tag over the plaintext
	modeCTSSHA2             // ciphertext stealing, tag over IV and ciphertext
	modeRC4                 // tag before the ciphertext, which is a keystream's
)

// kdf is how keys for one usage are made from the protocol key.
type kdf int

const (
	kdfSimplified kdf = iota // DK of RFC 3961 section 5.1
	kdfHMAC                  // RFC 8009 section 3
	kdfCMAC                  // RFC 6803 section 3
	kdfRC4                   // RFC 4757 section 3
)

// profiles is never written to.
var profiles = [...]profile{
	{
		id: DES3, name: "des3-cbc-sha1", aliases: []string{"des3-hmac-sha1", "des3-cbc-sha1-kd"},
		keyLen: 24, seedLen: 21, macKeyLen: 24, confounder: 8, macLen: 20, sumType: 12,
		mode: modeCBC, kdf: kdfSimplified, newBlock: newDES3, newHash: sha1.New,
	},
	{
		id: AES128SHA1, name: "aes128-cts-hmac-sha1-96", aliases: []string{"aes128-cts", "aes128-sha1"},
		keyLen: 16, seedLen: 16, macKeyLen: 16, confounder: 16, macLen: 12, sumType: 15,
		mode: modeCTS, kdf: kdfSimplified, newBlock: newAES, newHash: sha1.New, iterations: 4096,
	},
	{
		id: AES256SHA1, name: "aes256-cts-hmac-sha1-96", aliases: []string{"aes256-cts", "aes256-sha1"},
		keyLen: 32, seedLen: 32, macKeyLen: 32, confounder: 16, macLen: 12, sumType: 16,
		mode: modeCTS, kdf: kdfSimplified, newBlock: newAES, newHash: sha1.New, iterations: 4096,
	},
	{
		id: AES128SHA2, name: "aes128-cts-hmac-sha256-128", aliases: []string{"aes128-sha2"},
		keyLen: 16, seedLen: 16, macKeyLen: 16, confounder: 16, macLen: 16, sumType: 19,
		mode: modeCTSSHA2, kdf: kdfHMAC, newBlock: newAES, newHash: sha256.New, iterations: 32768,
	},
	{
		id: AES256SHA2, name: "aes256-cts-hmac-sha384-192", aliases: []string{"aes256-sha2"},
		keyLen: 32, seedLen: 32, macKeyLen: 24, confounder: 16, macLen: 24, sumType: 20,
		mode: modeCTSSHA2, kdf: kdfHMAC, newBlock: newAES, newHash: sha512.New384, iterations: 32768,
	},
	{
		id: RC4, name: "arcfour-hmac", aliases: []string{"rc4-hmac", "arcfour-hmac-md5"},
		keyLen: 16, seedLen: 16, macKeyLen: 16, confounder: 8, macLen: 16, sumType: sumHMACMD5,
		mode: modeRC4, kdf: kdfRC4, newHash: md5.New,
	},
	{
		id: Camellia128, name: "camellia128-cts-cmac", aliases: []string{"camellia128-cts"},
		keyLen: 16, seedLen: 16, macKeyLen: 16, confounder: 16, macLen: 16, sumType: 17,
		mode: modeCTS, kdf: kdfCMAC, newBlock: newCamelliaBlock, iterations: 32768,
	},
	{
		id: Camellia256, name: "camellia256-cts-cmac", aliases: []string{"camellia256-cts"},
		keyLen: 32, seedLen: 32, macKeyLen: 32, confounder: 16, macLen: 16, sumType: 18,
		mode: modeCTS, kdf: kdfCMAC, newBlock: newCamelliaBlock, iterations: 32768,
	},
}

// padded rounds the length of confounder and plaintext up to what is
// encrypted.
func (p *profile) padded(n int) int {
	if p.mode == modeCBC && p.confounder > 0 {
		return (n + p.confounder - 1) / p.confounder * p.confounder
	}
	return n
}

// split divides a ciphertext into the encrypted part and the tag.
func (p *profile) split(buf []byte) (body, tag []byte) {
	if p.mode == modeRC4 {
		return buf[p.macLen:], buf[:p.macLen]
	}
	end := len(buf) - p.macLen
	return buf[:end], buf[end:]
}

// Every key that reaches the functions below has been made or checked by this
// package, so a wrong length is a fault in it.

func newDES3(key []byte) cipher.Block { return must(des.NewTripleDESCipher(key)) }

func newCamelliaBlock(key []byte) cipher.Block { return newCamellia(key) }

func must(b cipher.Block, err error) cipher.Block {
	if err != nil {
		panic("enctype: " + err.Error())
	}
	return b
}
