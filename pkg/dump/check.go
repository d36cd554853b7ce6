package dump

import (
	"bytes"
	"encoding/binary"
)

// checkTL says what is wrong with a value of a type that is known, or nothing.
// A value of no bytes is treated by MIT like a missing one.
func checkTL(t *TL) (why string) {
	d := t.Data
	if t.Type == TLDBArgs {
		return "is of type 32767 (arguments for the database module), which is never stored and which kdb5_util load refuses"
	}
	if len(d) == 0 {
		return ""
	}
	switch t.Type {
	case TLLastPwdChange:
		if len(d) != 4 {
			return "the time of the last password change must have 4 bytes"
		}
	case TLModPrinc:
		if len(d) < 5 || bytes.IndexByte(d[4:], 0) != len(d)-5 {
			return "the last modification must be a time and a name that ends in the only NUL"
		}
	case TLKadmData:
		if plainKadm(d) {
			return ""
		}
		_, why = kadmPolicy(d)
		return why
	case TLMKVNO:
		if len(d) != 2 {
			return "the master key version must have 2 bytes"
		}
	case TLActKVNO:
		if len(d) < 8 || le.Uint16(d) != 1 || (len(d)-2)%6 != 0 {
			return "the list of active master keys must have version 1 and 6 bytes per key"
		}
	case TLMKeyAux:
		return checkMKeyAux(d)
	}
	return ""
}

// checkMKeyAux walks the list of reference kdb-formats.md 3.3.
func checkMKeyAux(d []byte) (why string) {
	const msg = "the list of encrypted master keys is not well formed"
	if len(d) < 10 || le.Uint16(d) != 1 {
		return msg
	}
	for d = d[2:]; len(d) > 0; {
		if len(d) < 8 {
			return msg
		}
		n := int(le.Uint16(d[6:]))
		if d = d[8:]; n > len(d) {
			return msg
		}
		d = d[n:]
	}
	return ""
}

const (
	kadmVersion = 0x12345c01
	msgKadm     = "the KADM_DATA is not well formed"
)

// plainKadm recognizes the commonest value, without policy and old keys.
func plainKadm(d []byte) bool {
	return len(d) == 24 && binary.BigEndian.Uint64(d) == kadmVersion<<32 && binary.BigEndian.Uint32(d[20:]) == 0
}

// xdr walks over XDR data (RFC 4506): units of 4 bytes, big endian.
type xdr struct {
	b   []byte
	bad bool
}

func (x *xdr) uint32() uint32 {
	if len(x.b) < 4 {
		x.bad, x.b = true, nil
		return 0
	}
	v := binary.BigEndian.Uint32(x.b)
	x.b = x.b[4:]
	return v
}

// opaque takes n bytes and their padding.
func (x *xdr) opaque(n uint32) []byte {
	if uint64(n)+3 > uint64(len(x.b))+3 || (uint64(n)+3)&^3 > uint64(len(x.b)) {
		x.bad, x.b = true, nil
		return nil
	}
	v := x.b[:n]
	x.b = x.b[(n+3)&^3:]
	return v
}

// kadmPolicy walks over a KADM_DATA value, which must be used up exactly, and
// returns the policy's name without its NUL, nil if there is none (reference
// kdb-formats.md 2.3).
func kadmPolicy(d []byte) (policy []byte, why string) {
	x := xdr{b: d}
	if x.uint32() != kadmVersion {
		return nil, "the KADM_DATA has an unknown version"
	}
	if n := x.uint32(); n > 0 {
		policy = x.opaque(n)
		if bytes.IndexByte(policy, 0) != int(n)-1 {
			return nil, msgKadm
		}
		policy = policy[:n-1]
	}
	x.uint32() // aux_attributes
	x.uint32() // old_key_next
	x.uint32() // admin_history_kvno
	for n := x.uint32(); n > 0 && !x.bad; n-- {
		for k := x.uint32(); k > 0 && !x.bad; k-- {
			x.oldKey()
		}
	}
	if x.bad || len(x.b) > 0 {
		return nil, msgKadm
	}
	return policy, ""
}

// oldKey takes a key of the password history: each length is written twice.
func (x *xdr) oldKey() {
	for range 4 {
		x.uint32() // version, kvno, both types
	}
	lengths := [2]uint32{x.uint32(), x.uint32()}
	for _, want := range lengths {
		n := x.uint32()
		if n != want {
			x.bad = true
		}
		x.opaque(n)
	}
}

// keyLength is the length of an enctype's key in bytes, or 0 if the enctype is
// not known (reference kdb-formats.md 3.1; RFC 3961, 3962, 4757, 6803, 8009).
func keyLength(enctype int16) int {
	switch enctype {
	case 1, 2, 3:
		return 8
	case 16:
		return 24
	case 17, 19, 23, 24, 25:
		return 16
	case 18, 20, 26:
		return 32
	}
	return 0
}

// checkKey says what is wrong with a key, or nothing. Which master key protects
// it is not known here, so its size must fit any of them.
func checkKey(k *KeyData) (why string) {
	if k.Version == 0 || len(k.Contents[0]) == 0 {
		return ""
	}
	d := k.Contents[0]
	if len(d) < 2 {
		return "the key is too short for its length"
	}
	return checkKeyLength(k.Type[0], int(le.Uint16(d)), len(d)-2)
}

// checkKeyLength is checkKey for a key of plain bytes that cipher bytes hold.
func checkKeyLength(enctype int16, plain, cipher int) (why string) {
	if want := keyLength(enctype); want != 0 && plain != want {
		return "the key's length is not that of its enctype"
	}
	if !cipherLength(plain, cipher) {
		return "the encrypted key has a length that no master key gives"
	}
	return ""
}

// cipherLength says whether encrypting plain bytes by some enctype gives cipher
// bytes: RFC 3962 adds 28, RFC 8009 32 or 40, RFC 6803 32, RFC 4757 24; the
// DES kinds of RFC 3961 pad to 8 bytes behind a confounder and, save for
// triple DES with its 20 bytes at the end, a checksum of 4 or 16 bytes.
func cipherLength(plain, cipher int) bool {
	switch cipher - plain {
	case 28, 32, 40, 24:
		return true
	}
	pad8 := func(n int) int { return (n + 7) &^ 7 }
	return cipher == pad8(plain+8)+20 || cipher == pad8(plain+12) || cipher == pad8(plain+24)
}
