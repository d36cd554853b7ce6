package enctype

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name string
		want ID
	}{
		{"des3-cbc-sha1", DES3}, {"des3-hmac-sha1", DES3}, {"des3-cbc-sha1-kd", DES3},
		{"aes128-cts-hmac-sha1-96", AES128SHA1}, {"aes128-cts", AES128SHA1}, {"aes128-sha1", AES128SHA1},
		{"aes256-cts-hmac-sha1-96", AES256SHA1}, {"aes256-cts", AES256SHA1}, {"aes256-sha1", AES256SHA1},
		{"aes128-cts-hmac-sha256-128", AES128SHA2}, {"aes128-sha2", AES128SHA2},
		{"aes256-cts-hmac-sha384-192", AES256SHA2}, {"AES256-SHA2", AES256SHA2},
		{"arcfour-hmac", RC4}, {"rc4-hmac", RC4}, {"ArcFour-HMAC-md5", RC4},
		{"camellia128-cts-cmac", Camellia128}, {"camellia128-cts", Camellia128},
		{"camellia256-cts-cmac", Camellia256}, {"camellia256-cts", Camellia256},
		{"aes256-cts ", 0}, {"", 0}, {"aes", 0}, {"des-cbc-crc", 0},
	} {
		if got, ok := ByName(c.name); got != c.want || ok != (c.want != 0) {
			t.Errorf("ByName(%q) = %d, %v, want %d", c.name, got, ok, c.want)
		}
	}
	for _, id := range All() {
		if got, ok := ByName(id.String()); !ok || got != id {
			t.Errorf("ByName(%q) = %v, %v", id, got, ok)
		}
	}
	if got := ID(99).String(); got != "enctype 99" {
		t.Errorf("name of an unknown type = %q", got)
	}
}

// The lengths and checksum types of reference kprop-protocol.md 7 and 16.
func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		id                               ID
		key, sumLen, confounder, min, c1 int
		sumType                          int32
		deprecated                       bool
	}{
		{DES3, 24, 20, 8, 28, 36, 12, true},
		{AES128SHA1, 16, 12, 16, 28, 29, 15, false},
		{AES256SHA1, 32, 12, 16, 28, 29, 16, false},
		{AES128SHA2, 16, 16, 16, 32, 33, 19, false},
		{AES256SHA2, 32, 24, 16, 40, 41, 20, false},
		{RC4, 16, 16, 8, 24, 25, -138, true},
		{Camellia128, 16, 16, 16, 32, 33, 17, false},
		{Camellia256, 32, 16, 16, 32, 33, 18, false},
		{ID(99), 0, 0, 0, 0, 1, 0, false},
	} {
		id := c.id
		if id.KeyLen() != c.key || id.ChecksumLen() != c.sumLen || id.ConfounderLen() != c.confounder ||
			id.MinCiphertextLen() != c.min || id.CiphertextLen(1) != c.c1 || id.ChecksumType() != c.sumType ||
			id.Deprecated() != c.deprecated || id.Known() != (c.key > 0) {
			t.Errorf("%v: numbers are %d %d %d %d %d %d %v %v, want %+v", id, id.KeyLen(), id.ChecksumLen(), id.ConfounderLen(),
				id.MinCiphertextLen(), id.CiphertextLen(1), id.ChecksumType(), id.Deprecated(), id.Known(), c)
		}
	}
}

func TestNewKey(t *testing.T) {
	for _, id := range All() {
		for _, n := range []int{0, id.KeyLen() - 1, id.KeyLen() + 1, 64} {
			if _, err := NewKey(id, make([]byte, n)); err == nil {
				t.Errorf("NewKey(%v, %d bytes) succeeded", id, n)
			}
		}
		a, err := RandomKey(id)
		if err != nil {
			t.Fatal(err)
		}
		b := mustKey(t, id, a.Bytes())
		if !a.Equal(b) || a.ID() != id || len(a.Bytes()) != id.KeyLen() {
			t.Errorf("%v: a key differs from its copy", id)
		}
		a.Bytes()[0] ^= 0xff
		if !a.Equal(b) {
			t.Errorf("%v: Bytes gives access to the key", id)
		}
		if other, _ := RandomKey(id); a.Equal(other) {
			t.Errorf("%v: two random keys are equal", id)
		}
	}
	for _, err := range []error{
		second(NewKey(99, nil)), second(RandomKey(0)), second(StringToKey(3, "x", "y", nil)),
	} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("error = %v, want ErrUnknown", err)
		}
	}
	same := make([]byte, 16)
	if mustKey(t, AES128SHA1, same).Equal(mustKey(t, AES128SHA2, same)) {
		t.Error("keys of different types are equal")
	}
}

func second(_ *Key, err error) error { return err }

// No verb, and no error, shows a byte of a key.
func TestKeyIsSecret(t *testing.T) {
	raw := []byte("0123456789abcdef")
	k := mustKey(t, AES128SHA2, raw)
	s := k.NewStream(13)
	holder := struct {
		K *Key
		V Key
		S *Stream
	}{k, *k, s}
	_, lengthErr := NewKey(AES256SHA2, raw)
	_, decryptErr := k.Decrypt(nil, make([]byte, 50), 1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		text := fmt.Sprintf(strings.Repeat(verb+" ", 6), k, *k, s, holder, lengthErr, decryptErr)
		for _, secret := range []string{string(raw[:4]), hex.EncodeToString(raw[:4]), "48 49 50 51", "0x30, 0x31"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s prints the key: %s", verb, text)
			}
		}
	}
	if got := fmt.Sprint(k); got != "aes128-cts-hmac-sha256-128 key" {
		t.Errorf("key prints as %q", got)
	}
	if got := fmt.Sprint((*Key)(nil), Key{}); got != "<nil> no key" {
		t.Errorf("no key prints as %q", got)
	}
}

func TestVerifyChecksumErrors(t *testing.T) {
	k := mustKey(t, AES256SHA1, make([]byte, 32))
	data := []byte("abc")
	sum := k.Checksum(nil, data, 15)
	for _, c := range []struct {
		ctype int32
		sum   []byte
		data  string
		usage uint32
		want  error
	}{
		{16, sum, "abc", 15, nil},
		{16, sum, "abd", 15, ErrChecksum},
		{16, sum, "abc", 14, ErrChecksum},
		{16, sum[:11], "abc", 15, ErrChecksum},
		{16, append(bytes.Clone(sum), 0), "abc", 15, ErrChecksum},
		{16, nil, "abc", 15, ErrChecksum},
		{15, sum, "abc", 15, ErrChecksumType}, // of the other key size
		{12, sum, "abc", 15, ErrChecksumType},
		{-137, sum, "abc", 15, ErrChecksumType},
		{0, sum, "abc", 15, ErrChecksumType},
		{1, sum, "abc", 15, ErrChecksumType},
		{7, sum, "abc", 15, ErrUnkeyed},
		{14, sum, "abc", 15, ErrUnkeyed},
	} {
		err := k.VerifyChecksum(c.ctype, c.sum, []byte(c.data), c.usage)
		if !errors.Is(err, c.want) {
			t.Errorf("type %d, %d bytes: %v, want %v", c.ctype, len(c.sum), err, c.want)
		}
		if errors.Is(err, ErrUnkeyed) != (c.want == ErrUnkeyed) {
			t.Errorf("type %d: %v is mistaken for ErrUnkeyed", c.ctype, err)
		}
	}
}

func TestPRFPlusLimit(t *testing.T) {
	k := mustKey(t, AES128SHA1, make([]byte, 16))
	if out, err := k.PRFPlus(nil, 255*16); err != nil || len(out) != 255*16 {
		t.Errorf("PRFPlus of the largest size: %d bytes, %v", len(out), err)
	}
	if _, err := k.PRFPlus(nil, 255*16+1); err == nil {
		t.Error("PRFPlus made more bytes than one counter byte can number")
	}
	if out, err := k.PRFPlus(nil, -1); err != nil || len(out) != 0 {
		t.Errorf("PRFPlus(-1) = %x, %v", out, err)
	}
}

func TestStringToKeyRefuses(t *testing.T) {
	if _, err := StringToKey(RC4, "\xff", "", nil); err == nil {
		t.Error("RC4: a password that is not UTF-8 was accepted")
	}
	if _, err := StringToKey(DES3, "", "", nil); err == nil {
		t.Error("DES3: nothing at all was accepted")
	}
}
