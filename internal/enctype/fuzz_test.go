package enctype

import (
	"bytes"
	"testing"
)

// fuzzMax bounds the inputs: longer ones reach no other code.
const fuzzMax = 512

// FuzzDecrypt gives arbitrary bytes to everything that reads a ciphertext. It
// must not panic, and what it accepts must be no forgery.
func FuzzDecrypt(f *testing.F) {
	keys := make(map[ID]*Key)
	for _, id := range All() {
		k := fixedKey(f, id)
		keys[id] = k
		for _, n := range []int{0, 1, 16, 100} {
			c, err := k.Encrypt(nil, fill(n), 13)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(int32(id), c)
			f.Add(int32(id), c[:len(c)-1])
		}
	}
	f.Fuzz(func(t *testing.T, id int32, cipher []byte) {
		k := keys[ID(id)]
		if k == nil || len(cipher) > fuzzMax {
			return
		}
		plain, err := k.Decrypt(nil, cipher, 13)
		open := k.NewStream(13)
		streamed, streamErr := open.Open(nil, cipher)
		if (err == nil) != (streamErr == nil) || !bytes.Equal(plain, streamed) {
			t.Errorf("Decrypt = %x, %v; first Open = %x, %v", plain, err, streamed, streamErr)
		}
		if err == nil && k.ID().CiphertextLen(len(plain)) != len(cipher) {
			t.Errorf("%d bytes decrypted to %d", len(cipher), len(plain))
		}
		if _, err := open.OpenAt(State{}, bytes.Clone(cipher)); (err == nil) != (streamErr == nil) && k.ID() != RC4 {
			t.Errorf("OpenAt = %v, Open = %v", err, streamErr)
		}
	})
}

func FuzzVerifyChecksum(f *testing.F) {
	keys := make(map[ID]*Key)
	for _, id := range All() {
		keys[id] = fixedKey(f, id)
		f.Add(int32(id), id.ChecksumType(), keys[id].Checksum(nil, []byte("data"), 15), []byte("data"))
		f.Add(int32(id), int32(sumHMACMD5), make([]byte, 16), []byte{})
	}
	f.Fuzz(func(t *testing.T, id, ctype int32, sum, data []byte) {
		k := keys[ID(id)]
		if k == nil || len(sum) > fuzzMax || len(data) > fuzzMax {
			return
		}
		err := k.VerifyChecksum(ctype, sum, data, 15)
		if ctype == k.ID().ChecksumType() {
			if right := bytes.Equal(sum, k.Checksum(nil, data, 15)); right != (err == nil) {
				t.Errorf("VerifyChecksum = %v, but right = %v", err, right)
			}
		}
	})
}

// FuzzRoundTrip seals messages of any content one after the other and opens
// them again.
func FuzzRoundTrip(f *testing.F) {
	for _, id := range All() {
		f.Add(int32(id), []byte("first"), []byte{})
		f.Add(int32(id), fill(16), fill(33))
	}
	f.Fuzz(func(t *testing.T, id int32, first, second []byte) {
		if !ID(id).Known() || len(first) > fuzzMax || len(second) > fuzzMax {
			return
		}
		k := fixedKey(t, ID(id))
		seal, open := k.NewStream(13), k.NewStream(13)
		for _, plain := range [][]byte{first, second, first} {
			c, err := seal.Seal(nil, plain)
			if err != nil {
				t.Fatal(err)
			}
			got, err := open.Open(nil, c)
			if err != nil || !samePlain(ID(id), got, plain) {
				t.Errorf("opened %x, %v, want %x", got, err, plain)
			}
		}
	})
}

// FuzzStringToKey takes passwords and parameters as a KDC might send them. The
// slow iteration counts are left out.
func FuzzStringToKey(f *testing.F) {
	f.Add(int32(RC4), "pässword", "salt", []byte{})
	f.Add(int32(DES3), "", "s", []byte{0, 0, 16, 0})
	f.Add(int32(AES128SHA1), "p", "s", []byte{0, 0, 15, 255})
	f.Fuzz(func(t *testing.T, id int32, password, salt string, params []byte) {
		p := lookup(ID(id))
		if p == nil || len(password)+len(salt)+len(params) > fuzzMax {
			return
		}
		n, err := p.iterationCount(params)
		if err != nil || n > 5000 {
			return
		}
		k, err := StringToKey(ID(id), password, salt, params)
		if err == nil && len(k.Bytes()) != p.keyLen {
			t.Errorf("key of %d bytes", len(k.Bytes()))
		}
	})
}
