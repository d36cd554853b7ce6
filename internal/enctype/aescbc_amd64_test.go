//go:build !purego

package enctype

import (
	"encoding/binary"
	"testing"
)

// The key expansions of FIPS 197 appendix A.1 and A.3, of which the last words
// depend on all others.
func TestAESKeyExpansion(t *testing.T) {
	if acceleratedAES(make([]byte, 16)) == nil {
		return // subWord would not run
	}
	for _, c := range []struct {
		key, last string
	}{
		{"2b7e151628aed2a6abf7158809cf4f3c", "d014f9a8c9ee2589e13f0cc8b6630ca6"},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", "fe4890d1e6188d0b046df344706c631e"},
	} {
		var k aesKeys
		k.expand(unhex(t, c.key))
		want := unhex(t, c.last)
		for i, got := range k.enc[4*k.rounds : 4*k.rounds+4] {
			if got != binary.LittleEndian.Uint32(want[4*i:]) || got != k.dec[i] {
				t.Errorf("key of %d bytes: word %d of the last round key = %08x, first for decryption %08x, want %x",
					len(c.key)/2, i, got, k.dec[i], want[4*i:4*i+4])
			}
		}
	}
}
