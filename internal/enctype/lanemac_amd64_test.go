//go:build !purego

package enctype

import (
	"bytes"
	"crypto/fips140"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/binary"
	"math/rand"
	"testing"

	"golang.org/x/sys/cpu"
)

// The block functions alone give the digests of the standard library, each lane
// its own.
func TestLaneKernels(t *testing.T) {
	if acceleratedHMAC(AES256SHA2, nil) == nil {
		return // they would not run
	}
	r := rand.New(rand.NewSource(5))
	for _, c := range []struct {
		name         string
		lanes, block int
		hash         func(ptrs *[lanesMax]*byte, blocks int) func(lane int) []byte
		want         func(data []byte) []byte
	}{
		{"sha1x16", sha1Lanes, sha1Block, hashSHA1, func(d []byte) []byte { s := sha1.Sum(d); return s[:] }},
		{"sha512x8", sha512Lanes, sha512Block, hashSHA384, func(d []byte) []byte { s := sha512.Sum384(d); return s[:] }},
	} {
		for blocks := range 9 {
			var ptrs [lanesMax]*byte
			msgs := make([][]byte, c.lanes)
			for i := range msgs {
				n := blocks*c.block - 17 // all but the padding
				msg := make([]byte, max(n, 0), blocks*c.block+1)
				r.Read(msg)
				msgs[i] = msg
				msg = append(msg, 0x80)
				msg = append(msg, make([]byte, 8)...)
				msg = binary.BigEndian.AppendUint64(msg, uint64(n)*8)
				ptrs[i] = &msg[0]
			}
			digest := c.hash(&ptrs, blocks)
			for i := range msgs {
				if blocks > 0 && !bytes.Equal(digest(i), c.want(msgs[i])) {
					t.Errorf("%s: %d blocks: lane %d differs from the standard library", c.name, blocks, i)
				}
			}
		}
	}
}

func hashSHA1(ptrs *[lanesMax]*byte, blocks int) func(lane int) []byte {
	h := &sha1Hash{keys: &[2]sha1State{sha1Start()}}
	h.start(innerPad)
	h.blocks(ptrs, blocks)
	return func(lane int) []byte { return h.digest(nil, lane) }
}

func hashSHA384(ptrs *[lanesMax]*byte, blocks int) func(lane int) []byte {
	h := &sha384Hash{keys: &[2]sha512State{sha384Start()}}
	h.start(innerPad)
	h.blocks(ptrs, blocks)
	return func(lane int) []byte { return h.digest(nil, lane) }
}

func TestLanesPerType(t *testing.T) {
	has := cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && !fips140.Enabled()
	want := map[ID]int{AES128SHA1: 16, AES256SHA1: 16, AES256SHA2: 8}
	eachType(t, func(t *testing.T, k *Key) {
		lanes := want[k.ID()]
		if !has || lanes == 0 {
			lanes = 1
		}
		if got := k.NewStream(13).Lanes(); got != lanes {
			t.Errorf("Lanes = %d, want %d", got, lanes)
		}
	})
}
