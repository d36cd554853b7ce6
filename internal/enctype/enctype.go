// Package enctype implements the Kerberos encryption types that MIT krb5 1.20
// knows: encryption with and without cipher state, keyed checksums,
// string-to-key and pseudo-random functions. It follows RFC 3961 and 3962
// (des3, aes-sha1), RFC 8009 (aes-sha2), RFC 6803 (camellia) and RFC 4757
// (rc4), and reference kprop-protocol.md 7 and 8 where MIT's use of the cipher
// state is not in any RFC.
package enctype

import (
	"fmt"
	"strings"
)

// ID is the number of an encryption type, as it stands on the wire, in keytabs
// and in databases.
type ID int32

// The encryption types that this package implements.
const (
	DES3        ID = 16 // des3-cbc-sha1
	AES128SHA1  ID = 17 // aes128-cts-hmac-sha1-96
	AES256SHA1  ID = 18 // aes256-cts-hmac-sha1-96
	AES128SHA2  ID = 19 // aes128-cts-hmac-sha256-128
	AES256SHA2  ID = 20 // aes256-cts-hmac-sha384-192
	RC4         ID = 23 // arcfour-hmac
	Camellia128 ID = 25 // camellia128-cts-cmac
	Camellia256 ID = 26 // camellia256-cts-cmac
)

// String gives MIT's canonical name, and "enctype 99" for an unknown number.
func (id ID) String() string {
	if p := lookup(id); p != nil {
		return p.name
	}
	return fmt.Sprintf("enctype %d", int32(id))
}

// ByName finds an encryption type by its canonical name or one of MIT's
// aliases, in upper or lower case (reference kprop-protocol.md 14). Blanks
// around the name are not removed.
func ByName(name string) (ID, bool) {
	for i := range profiles {
		p := &profiles[i]
		if strings.EqualFold(name, p.name) {
			return p.id, true
		}
		for _, alias := range p.aliases {
			if strings.EqualFold(name, alias) {
				return p.id, true
			}
		}
	}
	return 0, false
}

// All lists the known encryption types by ascending number.
func All() []ID {
	ids := make([]ID, len(profiles))
	for i := range profiles {
		ids[i] = profiles[i].id
	}
	return ids
}

// Known reports whether this package implements the encryption type. The
// lengths and types below are all 0 for an unknown one.
func (id ID) Known() bool { return lookup(id) != nil }

// Deprecated reports whether MIT accepts keys of this type only if allow_des3
// or allow_rc4 is set.
func (id ID) Deprecated() bool { return id == DES3 || id == RC4 }

// KeyLen is the length of a key in bytes.
func (id ID) KeyLen() int { return id.profile().keyLen }

// ChecksumType is the number of the mandatory checksum type, which MIT uses in
// KRB-SAFE messages.
func (id ID) ChecksumType() int32 { return id.profile().sumType }

// ChecksumLen is the length in bytes of the mandatory checksum. The tag inside
// a ciphertext has the same length.
func (id ID) ChecksumLen() int { return id.profile().macLen }

// ConfounderLen is the length in bytes of the random confounder before the
// plaintext.
func (id ID) ConfounderLen() int { return id.profile().confounder }

// CiphertextLen is the length of the ciphertext of plain bytes of plaintext,
// with confounder, padding (des3) and tag.
func (id ID) CiphertextLen(plain int) int {
	p := id.profile()
	return p.padded(p.confounder+plain) + p.macLen
}

// MinCiphertextLen is the length of the ciphertext of an empty plaintext;
// nothing shorter can be decrypted.
func (id ID) MinCiphertextLen() int { return id.CiphertextLen(0) }

// profile never returns nil, so that the lengths of an unknown type are 0.
func (id ID) profile() *profile {
	if p := lookup(id); p != nil {
		return p
	}
	return &profile{}
}

func lookup(id ID) *profile {
	for i := range profiles {
		if profiles[i].id == id {
			return &profiles[i]
		}
	}
	return nil
}
