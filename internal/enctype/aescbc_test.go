package enctype

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"math/rand"
	"strconv"
	"testing"
)

// aesVariants gives every AES of this package that this processor can run.
func aesVariants(key []byte) map[string]cipher.Block {
	v := map[string]cipher.Block{"portable": portableAES(key), "chosen": newAES(key)}
	if b := acceleratedAES(key); b != nil {
		v["accelerated"] = b
	}
	return v
}

// The examples of FIPS 197 appendix C (one block, so an IV of zeros changes
// nothing) and of NIST SP 800-38A F.2.
func TestAESVectors(t *testing.T) {
	const (
		zero  = "00000000000000000000000000000000"
		count = "000102030405060708090a0b0c0d0e0f"
		plain = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51" +
			"30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
	)
	for _, c := range []struct{ name, key, iv, plain, cipher string }{
		{"FIPS 197 C.1", count, zero, "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"},
		{"FIPS 197 C.3", count + "101112131415161718191a1b1c1d1e1f", zero,
			"00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089"},
		{"SP 800-38A F.2.1", "2b7e151628aed2a6abf7158809cf4f3c", count, plain,
			"7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2" +
				"73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7"},
		{"SP 800-38A F.2.5", "603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4", count, plain,
			"f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d" +
				"39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b"},
	} {
		iv, want := unhex(t, c.iv), unhex(t, c.cipher)
		for name, block := range aesVariants(unhex(t, c.key)) {
			buf := unhex(t, c.plain)
			cipher.NewCBCEncrypter(block, iv).CryptBlocks(buf, buf)
			if !bytes.Equal(buf, want) {
				t.Errorf("%s, %s: encrypted %x, want %x", c.name, name, buf, want)
			}
			cipher.NewCBCDecrypter(block, iv).CryptBlocks(buf, buf)
			if !bytes.Equal(buf, unhex(t, c.plain)) {
				t.Errorf("%s, %s: decrypted %x, want %s", c.name, name, buf, c.plain)
			}
		}
	}
}

// checkCBC compares every variant with crypto/cipher: in place, shift+1 bytes
// into an allocation, then by a second call into another buffer, which shows
// that the IV goes on. The bytes around the first buffer must stay.
func checkCBC(t *testing.T, key, iv, plain []byte, shift int) {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.Repeat([]byte{0x36}, 3*blockMax)
	want, wantSecond := bytes.Clone(plain), bytes.Clone(second)
	enc := cipher.NewCBCEncrypter(block, iv)
	enc.CryptBlocks(want, want)
	enc.CryptBlocks(wantSecond, wantSecond)

	run := func(name string, m cipher.BlockMode, in, out, in2, out2 []byte) {
		t.Helper()
		area := bytes.Repeat([]byte{0xa5}, shift+len(in)+2*blockMax)
		buf := area[shift+1:][:len(in)]
		copy(buf, in)
		m.CryptBlocks(buf, buf)
		other := make([]byte, len(in2))
		m.CryptBlocks(other, in2)
		if !bytes.Equal(buf, out) || !bytes.Equal(other, out2) {
			t.Errorf("%s: %d bytes, key of %d: differs from crypto/cipher", name, len(in), len(key))
		}
		around := append(bytes.Clone(area[:shift+1]), area[shift+1+len(in):]...)
		if len(bytes.Trim(around, "\xa5")) > 0 {
			t.Errorf("%s: %d bytes: wrote outside the buffer", name, len(in))
		}
	}
	for name, b := range aesVariants(key) {
		run(name+" encrypter", cipher.NewCBCEncrypter(b, iv), plain, want, second, wantSecond)
		run(name+" decrypter", cipher.NewCBCDecrypter(b, iv), want, plain, wantSecond, second)
	}
}

func TestAESEqualsStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	random := func(n int) []byte { b := make([]byte, n); r.Read(b); return b }
	for n := 0; n <= 4096; n += blockMax {
		for _, keyLen := range []int{16, 32} {
			checkCBC(t, random(keyLen), random(blockMax), random(n), r.Intn(32))
		}
	}
}

func FuzzAESCBC(f *testing.F) {
	f.Add(false, fill(32), fill(16), fill(16), uint8(0))
	f.Add(true, fill(32), fill(16), fill(9*blockMax), uint8(7))
	f.Fuzz(func(t *testing.T, long bool, key, iv, plain []byte, shift uint8) {
		key, iv = append(key, make([]byte, 32)...)[:32], append(iv, make([]byte, 16)...)[:16]
		if !long {
			key = key[:16]
		}
		plain = plain[:min(len(plain), 1024)/blockMax*blockMax]
		checkCBC(t, key, iv, plain, int(shift%64))
	})
}

// A length that is no multiple of a block, or a destination too short, must
// not reach the assembly.
func TestAESRefusesWrongLengths(t *testing.T) {
	for name, b := range aesVariants(fill(32)) {
		for _, m := range []cipher.BlockMode{cipher.NewCBCEncrypter(b, fill(16)), cipher.NewCBCDecrypter(b, fill(16))} {
			for _, c := range []struct{ dst, src int }{{15, 15}, {32, 17}, {16, 32}, {0, 16}} {
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("%s: %d bytes into %d were accepted", name, c.src, c.dst)
						}
					}()
					m.CryptBlocks(make([]byte, c.dst, 64), make([]byte, c.src))
				}()
			}
			m.CryptBlocks(nil, nil)
		}
	}
}

func BenchmarkAESCBC(b *testing.B) {
	const n = 32768
	buf, iv := fill(n), fill(blockMax)
	for _, keyLen := range []int{16, 32} {
		for _, name := range []string{"portable", "accelerated"} {
			block := aesVariants(fill(keyLen))[name]
			if block == nil {
				continue
			}
			for direction, m := range map[string]cipher.BlockMode{
				"encrypt": cipher.NewCBCEncrypter(block, iv), "decrypt": cipher.NewCBCDecrypter(block, iv),
			} {
				b.Run("aes"+strconv.Itoa(keyLen*8)+"/"+direction+"/"+name, func(b *testing.B) {
					b.SetBytes(n)
					for b.Loop() {
						m.CryptBlocks(buf, buf)
					}
				})
			}
		}
	}
}
