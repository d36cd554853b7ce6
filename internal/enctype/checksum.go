package enctype

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
)

var (
	// ErrChecksum says that a checksum is wrong.
	ErrChecksum = errors.New("checksum does not match")
	// ErrChecksumType says that a checksum type is unknown or cannot be used
	// with the key.
	ErrChecksumType = errors.New("checksum type not usable")
	// ErrUnkeyed says that a checksum type is known but protects nothing, as
	// it has no key (KRB_AP_ERR_INAPP_CKSUM). It is an ErrChecksumType too.
	ErrUnkeyed = fmt.Errorf("%w: it has no key", ErrChecksumType)
)

// The checksum types that are no encryption type's own, or more than one's.
const (
	sumHMACMD5 = -138 // mandatory for RC4, but MIT takes it with every key
	sumMD5HMAC = -137 // RC4 only
)

// sumUsage names a derived checksum key.
type sumUsage struct {
	ctype int32
	usage uint32
}

// Checksum appends the key's mandatory checksum of data, ChecksumLen bytes, to
// dst.
func (k *Key) Checksum(dst, data []byte, usage uint32) []byte {
	var sum [sha512.Size]byte
	p := k.in.p
	k.checksum(sum[:p.macLen], p.sumType, data, usage)
	return append(dst, sum[:p.macLen]...)
}

// VerifyChecksum checks a checksum of any keyed type that MIT would accept with
// this key: the mandatory one, the one of the other AES type of the same key
// size, and HMAC-MD5 with every key. The comparison takes constant time. Errors
// are ErrChecksum (also for a wrong length), ErrUnkeyed and ErrChecksumType.
func (k *Key) VerifyChecksum(ctype int32, sum, data []byte, usage uint32) error {
	size, err := k.checksumLen(ctype)
	if err != nil {
		return err
	}
	if len(sum) != size {
		return fmt.Errorf("%w: %d bytes, type %d has %d", ErrChecksum, len(sum), ctype, size)
	}
	var want [sha512.Size]byte
	k.checksum(want[:size], ctype, data, usage)
	if subtle.ConstantTimeCompare(want[:size], sum) != 1 {
		return ErrChecksum
	}
	return nil
}

// checksumLen is the length of a checksum of a type that the key can make.
func (k *Key) checksumLen(ctype int32) (int, error) {
	p := k.in.p
	switch ctype {
	case 2, 7, 9, 14: // md4, md5, and sha1 by two numbers; MIT dropped crc32
		return 0, fmt.Errorf("checksum type %d: %w", ctype, ErrUnkeyed)
	case sumHMACMD5:
		return md5.Size, nil
	case sumMD5HMAC:
		if p.id == RC4 {
			return md5.Size, nil
		}
	default:
		if owner := sumOwner(ctype); owner != nil && owner.keysFit(p) {
			return owner.macLen, nil
		}
	}
	return 0, fmt.Errorf("checksum type %d with %v key: %w", ctype, p.id, ErrChecksumType)
}

// sumOwner is the encryption type whose own checksum type this is.
func sumOwner(ctype int32) *profile {
	for i := range profiles {
		if profiles[i].sumType == ctype {
			return &profiles[i]
		}
	}
	return nil
}

// keysFit reports whether both types have the same cipher and key size; MIT
// takes a checksum of p with a key of o then.
func (p *profile) keysFit(o *profile) bool {
	return p == o || p.keyLen == o.keyLen && p.isAES() && o.isAES()
}

func (p *profile) isAES() bool { return p.id >= AES128SHA1 && p.id <= AES256SHA2 }

// checksum writes a checksum of a type that checksumLen has accepted.
func (k *Key) checksum(out []byte, ctype int32, data []byte, usage uint32) {
	if ctype != sumHMACMD5 && ctype != sumMD5HMAC {
		k.sumKey(sumUsage{ctype, usage}).sum(out, data)
		return
	}
	// RFC 4757 section 4: the usage goes into an MD5 that is then signed.
	h := md5.New()
	h.Write(rc4Usage(usage))
	h.Write(data)
	k.sumKey(sumUsage{ctype: ctype}).sum(out, h.Sum(nil))
}

// sumKey returns the keyed code for a checksum type, making it if needed.
func (k *Key) sumKey(su sumUsage) *mac {
	in := k.in
	in.mu.RLock()
	m := in.sums[su]
	in.mu.RUnlock()
	if m != nil {
		return m
	}
	m = in.newSumKey(su)
	in.mu.Lock()
	defer in.mu.Unlock()
	if first := in.sums[su]; first != nil {
		return first
	}
	in.sums[su] = m
	return m
}

func (in *keyInner) newSumKey(su sumUsage) *mac {
	switch su.ctype {
	case sumMD5HMAC:
		return newHMAC(md5.New, in.bytes)
	case sumHMACMD5:
		h := hmac.New(md5.New, in.bytes)
		h.Write([]byte("signaturekey\x00"))
		return newHMAC(md5.New, h.Sum(nil))
	}
	p := sumOwner(su.ctype)
	return p.newMAC(p.derive(in.bytes, usageConstant(su.usage, purposeChecksum), p.macKeyLen))
}
