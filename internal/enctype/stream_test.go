package enctype

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"testing"
)

// eachType runs a test for each encryption type with a fixed key.
func eachType(t *testing.T, test func(t *testing.T, k *Key)) {
	for _, id := range All() {
		t.Run(id.String(), func(t *testing.T) { test(t, fixedKey(t, id)) })
	}
}

func fixedKey(t testing.TB, id ID) *Key {
	seed := bytes.Repeat([]byte{0x5a, 0x13, 0xc7, 0x08}, 8)[:id.profile().seedLen]
	return mustKey(t, id, id.profile().randomToKey(bytes.Clone(seed)))
}

// fill makes test data of n bytes.
func fill(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

func TestRoundTrip(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		seal, open := k.NewStream(13), k.NewStream(13)
		prefix := []byte("before ")
		for n := range 201 {
			plain := fill(n)
			for _, c := range []struct {
				name string
				enc  func(dst, src []byte) ([]byte, error)
				dec  func(dst, src []byte) ([]byte, error)
			}{
				{"stream", seal.Seal, open.Open},
				{"key", func(d, s []byte) ([]byte, error) { return k.Encrypt(d, s, 7) },
					func(d, s []byte) ([]byte, error) { return k.Decrypt(d, s, 7) }},
			} {
				sealed, err := c.enc(bytes.Clone(prefix), plain)
				if err != nil {
					t.Fatal(err)
				}
				cipher := sealed[len(prefix):]
				if !bytes.HasPrefix(sealed, prefix) || len(cipher) != k.ID().CiphertextLen(n) {
					t.Fatalf("%s: %d bytes sealed to %d, want %d after the prefix", c.name, n, len(cipher), k.ID().CiphertextLen(n))
				}
				before := bytes.Clone(cipher)
				got, err := c.dec(bytes.Clone(prefix), cipher)
				if err != nil || !bytes.HasPrefix(got, prefix) || !samePlain(k.ID(), got[len(prefix):], plain) {
					t.Fatalf("%s: %d bytes opened to %x, %v, want %x", c.name, n, got, err, plain)
				}
				if !bytes.Equal(cipher, before) {
					t.Fatalf("%s: decryption changed the ciphertext", c.name)
				}
			}
		}
	})
}

// The steps give the bytes that Seal and Open give.
func TestStepsEqualWhole(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		whole, steps := k.NewStream(13), k.NewStream(13)
		open := k.NewStream(13)
		for _, n := range []int{20, 0, 1, 16, 100, 17, 32768} {
			confounder, plain := fill(k.ID().ConfounderLen()), fill(n)
			whole.random.preset(confounder)
			want, err := whole.Seal(nil, plain)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, k.ID().CiphertextLen(n))
			copy(buf[k.ID().ConfounderLen():], plain)
			steps.random.preset(confounder)
			if err := steps.Prepare(buf, n); err != nil {
				t.Fatal(err)
			}
			steps.Finish(buf, n, steps.Chain(buf, n))
			if !bytes.Equal(buf, want) {
				t.Fatalf("%d bytes: steps and Seal give different ciphertexts", n)
			}
			got, err := open.Open(nil, buf)
			if err != nil || !samePlain(k.ID(), got, plain) {
				t.Fatalf("%d bytes: Open: %v", n, err)
			}
		}
	})
}

// Many messages at once: only Chain and Next are in order.
func TestStepsConcurrently(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		const messages = 40
		seal, open := k.NewStream(13), k.NewStream(13)
		size := func(i int) int { return 1000 + 37*i }
		bufs := make([][]byte, messages)

		prepared := parallel(messages, func(i int) {
			n := size(i)
			bufs[i] = make([]byte, k.ID().CiphertextLen(n))
			copy(bufs[i][k.ID().ConfounderLen():], fill(n))
			if err := seal.Prepare(bufs[i], n); err != nil {
				t.Error(err)
			}
		})
		var finish sync.WaitGroup
		for i := range messages {
			<-prepared[i]
			iv := seal.Chain(bufs[i], size(i))
			finish.Go(func() { seal.Finish(bufs[i], size(i), iv) })
		}
		finish.Wait()

		var verify sync.WaitGroup
		for i := range messages {
			iv, err := open.Next(bufs[i])
			if err != nil {
				t.Fatal(err)
			}
			verify.Go(func() {
				got, err := open.OpenAt(iv, bufs[i])
				if err != nil || !samePlain(k.ID(), got, fill(size(i))) {
					t.Errorf("message %d: %v", i, err)
				}
			})
		}
		verify.Wait()
	})
}

// parallel runs n calls on goroutines of their own; channel i is closed when
// call i is done.
func parallel(n int, f func(i int)) []chan struct{} {
	done := make([]chan struct{}, n)
	for i := range done {
		done[i] = make(chan struct{})
		go func() {
			defer close(done[i])
			f(i)
		}()
	}
	return done
}

func TestOneKeyOnManyGoroutines(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				usage := uint32(i % 4)
				c, err := k.Encrypt(nil, fill(i*50), usage)
				if err != nil {
					t.Error(err)
				}
				p, err := k.Decrypt(nil, c, usage)
				if err != nil || !samePlain(k.ID(), p, fill(i*50)) {
					t.Errorf("usage %d: %v", usage, err)
				}
				if err := k.VerifyChecksum(k.ID().ChecksumType(), k.Checksum(nil, p, usage), p, usage); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// Every changed bit, and a message out of order, is noticed and ends the
// stream.
func TestTampering(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		plain := fill(40)
		cipher, err := k.Encrypt(nil, plain, 13)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(cipher) * 8 {
			bad := bytes.Clone(cipher)
			bad[i/8] ^= 1 << (i % 8)
			if _, err := k.Decrypt(nil, bad, 13); !errors.Is(err, ErrIntegrity) {
				t.Fatalf("bit %d changed: %v, want ErrIntegrity", i, err)
			}
		}
		if _, err := k.Decrypt(nil, cipher, 12); !errors.Is(err, ErrIntegrity) {
			t.Errorf("other usage: %v, want ErrIntegrity", err)
		}
		for n := range k.ID().MinCiphertextLen() {
			if _, err := k.Decrypt(nil, cipher[:n], 13); !errors.Is(err, ErrTooShort) {
				t.Errorf("%d bytes: %v, want ErrTooShort", n, err)
			}
		}
	})
}

func TestStreamOrder(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		var msgs [][]byte
		seal := k.NewStream(13)
		for range 3 {
			m, err := seal.Seal(nil, fill(100))
			if err != nil {
				t.Fatal(err)
			}
			msgs = append(msgs, m)
		}
		for _, order := range [][]int{{1}, {0, 0}, {0, 2}} {
			open := k.NewStream(13)
			var err error
			for _, i := range order {
				_, err = open.Open(nil, msgs[i])
			}
			if !errors.Is(err, ErrIntegrity) {
				t.Errorf("messages %v: %v, want ErrIntegrity", order, err)
			}
			if _, err := open.Open(nil, msgs[0]); !errors.Is(err, ErrBroken) {
				t.Errorf("Open after an error: %v, want ErrBroken", err)
			}
			if _, err := open.Seal(nil, nil); !errors.Is(err, ErrBroken) {
				t.Errorf("Seal after an error: %v, want ErrBroken", err)
			}
			if _, err := open.Next(msgs[0]); !errors.Is(err, ErrBroken) {
				t.Errorf("Next after an error: %v, want ErrBroken", err)
			}
		}
		open := k.NewStream(13)
		if _, err := open.Open(nil, nil); !errors.Is(err, ErrTooShort) {
			t.Errorf("empty message: %v, want ErrTooShort", err)
		}
		if _, err := open.Open(nil, msgs[0]); !errors.Is(err, ErrBroken) {
			t.Errorf("Open after a short message: %v, want ErrBroken", err)
		}
	})
}

// A failed decryption leaves no unverified plaintext behind.
func TestFailureLeavesNothing(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		plain := bytes.Repeat([]byte("secret!!"), 20)
		cipher, err := k.Encrypt(nil, plain, 13)
		if err != nil {
			t.Fatal(err)
		}
		cipher[len(cipher)-1] ^= 1
		cipher[0] ^= 1
		room := make([]byte, 0, 2*len(cipher))
		if got, err := k.Decrypt(room, cipher, 13); err == nil || got != nil {
			t.Errorf("Decrypt = %x, %v", got, err)
		}
		if bytes.Contains(room[:cap(room)], []byte("secret")) {
			t.Error("plaintext left in the buffer")
		}
	})
}

func TestPrepareRefusesWrongArea(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		s, size := k.NewStream(13), k.ID().CiphertextLen(24)
		for _, c := range []struct{ area, n int }{{size - 1, 24}, {size + 1, 24}, {0, 0}, {size, -1}, {size, 1 << 30}} {
			if err := s.Prepare(make([]byte, c.area), c.n); err == nil {
				t.Errorf("an area of %d bytes for %d was accepted", c.area, c.n)
			}
		}
	})
}

// Two messages never share a confounder, also across batches.
func TestConfoundersDiffer(t *testing.T) {
	k := fixedKey(t, AES256SHA2)
	s, seen := k.NewStream(13), make(map[string]bool)
	buf := make([]byte, k.ID().CiphertextLen(0))
	for i := range 3 * confounderBatch / 16 {
		if err := s.Prepare(buf, 0); err != nil {
			t.Fatal(err)
		}
		c := fmt.Sprintf("%x", buf[:16])
		if seen[c] || c == fmt.Sprintf("%032x", 0) {
			t.Fatalf("confounder %d was used before", i)
		}
		seen[c] = true
	}
}

func TestNoAllocation(t *testing.T) {
	const n = 32768
	for _, id := range []ID{AES128SHA1, AES256SHA1, AES128SHA2, AES256SHA2, Camellia128, Camellia256, DES3, RC4} {
		k := fixedKey(t, id)
		plain, room := fill(n), make([]byte, 0, id.CiphertextLen(n))
		opened := make([]byte, 0, cap(room))
		seal, open := k.NewStream(13), k.NewStream(13)
		whole := func() {
			cipher, err := seal.Seal(room, plain)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := open.Open(opened, cipher); err != nil {
				t.Fatal(err)
			}
		}
		buf := room[:cap(room)]
		steps := func() {
			if err := seal.Prepare(buf, n); err != nil {
				t.Fatal(err)
			}
			seal.Finish(buf, n, seal.Chain(buf, n))
			iv, err := open.Next(buf)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := open.OpenAt(iv, buf); err != nil {
				t.Fatal(err)
			}
		}
		whole() // makes the pools' objects
		for name, f := range map[string]func(){"Seal and Open": whole, "steps": steps} {
			if got := testing.AllocsPerRun(20, f); got > allocsAllowed {
				t.Errorf("%v: %s allocate %v times", id, name, got)
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmark(b, func(b *testing.B, k *Key, plain []byte) {
		s, room := k.NewStream(13), make([]byte, 0, k.ID().CiphertextLen(len(plain)))
		for b.Loop() {
			if _, err := s.Seal(room, plain); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchmark(b, func(b *testing.B, k *Key, plain []byte) {
		cipher, err := k.Encrypt(nil, plain, 13)
		if err != nil {
			b.Fatal(err)
		}
		room := make([]byte, 0, len(cipher))
		for b.Loop() {
			if _, err := k.Decrypt(room, cipher, 13); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDecryptKey is what opening one key of a database takes.
func BenchmarkDecryptKey(b *testing.B) {
	k := fixedKey(b, AES256SHA1)
	cipher, err := k.Encrypt(nil, fill(32), 0)
	if err != nil {
		b.Fatal(err)
	}
	room := make([]byte, 0, len(cipher))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Decrypt(room, cipher, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmark(b *testing.B, run func(b *testing.B, k *Key, plain []byte)) {
	plain := fill(32768)
	for _, id := range All() {
		b.Run(id.String(), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			run(b, fixedKey(b, id), plain)
		})
	}
}
