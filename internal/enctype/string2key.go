package enctype

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxIterations is the largest iteration count that StringToKey accepts, which
// is MIT's limit: a larger one would only serve to keep this host busy.
const MaxIterations = 1<<24 - 1

// ErrParams says that the string-to-key parameters are malformed, or hold an
// iteration count below the default or above MaxIterations.
var ErrParams = errors.New("bad string-to-key parameters")

// StringToKey makes the key of a password. The salt is by default the realm
// followed by the principal's components; RC4 ignores it. params are the
// encryption type's parameters: none for the default iteration count (4096 for
// AES-SHA1, 32768 for AES-SHA2 and Camellia), else the count in 4 bytes, big
// endian. Like MIT it refuses a count below the default, with which a false KDC
// could make guessing the password cheap. DES3 ignores params, RC4 takes none.
// Errors wrap ErrUnknown or ErrParams, or say that the password is not UTF-8
// (RC4) or empty together with the salt (DES3).
func StringToKey(id ID, password, salt string, params []byte) (*Key, error) {
	p := lookup(id)
	if p == nil {
		return nil, fmt.Errorf("string to key: %v: %w", id, ErrUnknown)
	}
	iterations, err := p.iterationCount(params)
	if err != nil {
		return nil, fmt.Errorf("string to key: %v: %w", id, err)
	}
	key, err := p.stringToKey(password, salt, iterations)
	if err != nil {
		return nil, fmt.Errorf("string to key: %v: %w", id, err)
	}
	return newKey(p, key), nil
}

func (p *profile) stringToKey(password, salt string, iterations int) (key []byte, err error) {
	switch {
	case p.kdf == kdfRC4:
		return rc4StringToKey(password)
	case p.id == DES3:
		key, err = p.des3StringSeed(password, salt)
	case p.kdf == kdfHMAC:
		key, err = pbkdf2.Key(p.newHash, password, p.saltWithName(salt), iterations, p.keyLen)
	case p.kdf == kdfCMAC:
		key, err = pbkdf2.Key(sha1.New, password, p.saltWithName(salt), iterations, p.keyLen)
	default:
		key, err = pbkdf2.Key(sha1.New, password, []byte(salt), iterations, p.keyLen)
	}
	if err != nil {
		return nil, err
	}
	return p.derive(key, []byte("kerberos"), p.keyLen), nil
}

func (p *profile) iterationCount(params []byte) (int, error) {
	if len(params) == 0 || p.id == DES3 {
		return int(p.iterations), nil
	}
	if p.iterations == 0 || len(params) != 4 {
		return 0, fmt.Errorf("%w: %d bytes", ErrParams, len(params))
	}
	n := binary.BigEndian.Uint32(params)
	if n < p.iterations || n > MaxIterations {
		return 0, fmt.Errorf("%w: iteration count %d", ErrParams, n)
	}
	return int(n), nil
}

// saltWithName is saltp of RFC 8009 section 4 and RFC 6803 section 4.
func (p *profile) saltWithName(salt string) []byte {
	return []byte(p.name + "\x00" + salt)
}

// des3StringSeed is the key before derivation of RFC 3961 section 6.3.1.
func (p *profile) des3StringSeed(password, salt string) ([]byte, error) {
	if password+salt == "" {
		return nil, errors.New("password and salt are both empty")
	}
	return p.randomToKey(nfold([]byte(password+salt), p.seedLen)), nil
}

// rc4StringToKey is the MD4 of the password in UTF-16LE (RFC 4757 section 2).
func rc4StringToKey(password string) ([]byte, error) {
	if !utf8.ValidString(password) {
		return nil, errors.New("password is not UTF-8")
	}
	var wide []byte
	for _, u := range utf16.Encode([]rune(password)) {
		wide = binary.LittleEndian.AppendUint16(wide, u)
	}
	sum := md4(wide)
	return sum[:], nil
}
