package enctype

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"testing"
)

// single is a Stream without lanes.
func single(k *Key, usage uint32) *Stream {
	u := k.in.p.deriveUsage(k.in.bytes, usage)
	u.lanes = nil
	return &Stream{u: u}
}

// batch is messages in several stages, all buffers apart from each other.
type batch struct {
	n              int
	bufs, prepared [][]byte
	ivs            []State
}

// prepareBatch prepares messages of n random bytes with s and gives them the
// tags of the steps for one message in prepared. IVs are random.
func prepareBatch(t testing.TB, r *rand.Rand, s *Stream, messages, n int) *batch {
	t.Helper()
	b := &batch{n: n}
	id := s.u.p.id
	for range messages {
		buf := make([]byte, id.CiphertextLen(n))
		r.Read(buf)
		b.bufs = append(b.bufs, buf)
		var iv State
		r.Read(iv.iv[:])
		b.ivs = append(b.ivs, iv)
	}
	if err := s.PrepareAll(b.bufs, n); err != nil {
		t.Fatal(err)
	}
	for _, buf := range b.bufs {
		want := bytes.Clone(buf)
		if s.u.p.mode != modeCTSSHA2 {
			body, tag := s.u.p.split(want)
			clear(tag)
			s.u.tag(tag, State{}, body)
		}
		b.prepared = append(b.prepared, want)
	}
	return b
}

// checkLanes compares the three functions with the steps for one message.
func checkLanes(t testing.TB, r *rand.Rand, k *Key, messages, n int) {
	t.Helper()
	all, one := k.NewStream(13), single(k, 13)
	b := prepareBatch(t, r, all, messages, n)
	for i := range b.bufs {
		if !bytes.Equal(b.bufs[i], b.prepared[i]) {
			t.Fatalf("%d messages of %d: PrepareAll gave message %d a wrong tag", messages, n, i)
		}
		chain := chainState{iv: b.ivs[i]}
		all.u.seal(&chain, b.bufs[i])
		copy(b.prepared[i], b.bufs[i])
		one.Finish(b.prepared[i], n, b.ivs[i])
	}
	all.FinishAll(b.bufs, n, b.ivs)
	for i := range b.bufs {
		if !bytes.Equal(b.bufs[i], b.prepared[i]) {
			t.Fatalf("%d messages of %d: FinishAll gave message %d a wrong tag", messages, n, i)
		}
	}
	checkOpenAll(t, all, one, b.ivs, b.bufs)
}

// checkOpenAll gives the same ciphertexts to both streams and compares
// everything that a caller can see.
func checkOpenAll(t testing.TB, all, one *Stream, ivs []State, ciphers [][]byte) {
	t.Helper()
	plains, errs := make([][]byte, len(ciphers)), make([]error, len(ciphers))
	var want [][]byte
	for i, c := range ciphers {
		want = append(want, bytes.Clone(c))
		plains[i], errs[i] = []byte("left from before"), errors.New("left from before")
	}
	all.OpenAll(ivs, ciphers, plains, errs)
	for i, c := range ciphers {
		plain, err := one.OpenAt(ivs[i], want[i])
		if !bytes.Equal(plain, plains[i]) || (plain == nil) != (plains[i] == nil) || fmt.Sprint(err) != fmt.Sprint(errs[i]) {
			t.Errorf("message %d of %d, %d bytes: OpenAll = %x, %v; OpenAt = %x, %v",
				i, len(ciphers), len(c), plains[i], errs[i], plain, err)
		}
		if !bytes.Equal(c, want[i]) {
			t.Errorf("message %d of %d, %d bytes: OpenAll and OpenAt leave different buffers", i, len(ciphers), len(c))
		}
	}
	if all.broken.Load() != one.broken.Load() {
		t.Errorf("dead after OpenAll: %v, after OpenAt: %v", all.broken.Load(), one.broken.Load())
	}
}

func randomKey(t testing.TB, id ID) *Key {
	t.Helper()
	k, err := RandomKey(id)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Every place of the padding and of the first and last block, and every number
// of messages.
func TestLanesEqualSingle(t *testing.T) {
	for _, id := range All() {
		t.Run(id.String(), func(t *testing.T) {
			r := rand.New(rand.NewSource(1))
			lengths := []int{32768, 32768 - 28, 32768 - 40, 32785}
			last := 600
			if randomKey(t, id).NewStream(13).Lanes() == 1 {
				lengths, last = nil, 33 // all messages go the way of one
			}
			for n := range last + 1 {
				lengths = append(lengths, n)
			}
			for i, n := range lengths {
				k := randomKey(t, id)
				checkLanes(t, r, k, 1+i%20, n)
				checkLanes(t, r, k, 16, n)
			}
			k := randomKey(t, id)
			for messages := range 65 {
				checkLanes(t, r, k, messages, 120)
			}
		})
	}
}

func TestOpenAllOfUnequalLengths(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		r := rand.New(rand.NewSource(2))
		for range 100 {
			all, one := k.NewStream(13), single(k, 13)
			var ivs []State
			var ciphers [][]byte
			for range r.Intn(6) {
				b := prepareBatch(t, r, one, 1+r.Intn(20), r.Intn(200))
				for i, buf := range b.bufs {
					chain := chainState{iv: b.ivs[i]}
					one.u.seal(&chain, buf)
				}
				one.FinishAll(b.bufs, b.n, b.ivs)
				ivs, ciphers = append(ivs, b.ivs...), append(ciphers, b.bufs...)
			}
			for i := range ciphers {
				switch r.Intn(20) {
				case 0:
					ciphers[i][r.Intn(len(ciphers[i]))] ^= 1 << r.Intn(8)
				case 1:
					ciphers[i] = ciphers[i][:r.Intn(len(ciphers[i]))]
				}
			}
			checkOpenAll(t, all, one, ivs, ciphers)
		}
	})
}

// A changed message hurts no other, whatever its lane.
func TestOpenAllKeepsLanesApart(t *testing.T) {
	for _, id := range []ID{AES128SHA1, AES256SHA1, AES128SHA2, AES256SHA2} {
		k := fixedKey(t, id)
		const messages, n = 20, 500
		for bad := range messages {
			seal, open := k.NewStream(13), k.NewStream(13)
			var ciphers [][]byte
			var ivs []State
			for range messages {
				c, err := seal.Seal(nil, fill(n))
				if err != nil {
					t.Fatal(err)
				}
				iv, err := open.Next(c)
				if err != nil {
					t.Fatal(err)
				}
				ciphers, ivs = append(ciphers, c), append(ivs, iv)
			}
			ciphers[bad][len(ciphers[bad])-1] ^= 1
			plains, errs := make([][]byte, messages), make([]error, messages)
			open.OpenAll(ivs, ciphers, plains, errs)
			for i := range messages {
				if i == bad {
					if !errors.Is(errs[i], ErrIntegrity) || plains[i] != nil || len(bytes.Trim(ciphers[i], "\x00")) > 0 {
						t.Errorf("%v: message %d was changed: %v, %d bytes", id, i, errs[i], len(plains[i]))
					}
				} else if errs[i] != nil || !bytes.Equal(plains[i], fill(n)) {
					t.Errorf("%v: message %d was changed, so %d: %v", id, bad, i, errs[i])
				}
			}
			if _, err := open.Next(ciphers[0]); !errors.Is(err, ErrBroken) {
				t.Errorf("%v: Next after a changed message: %v, want ErrBroken", id, err)
			}
		}
	}
}

func TestPrepareAllRefusesWrongArea(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		size := k.ID().CiphertextLen(24)
		bufs := [][]byte{make([]byte, size), make([]byte, size+1)}
		if err := k.NewStream(13).PrepareAll(bufs, 24); err == nil {
			t.Error("an area too long was accepted")
		}
		if len(bytes.Trim(bufs[0], "\x00")) > 0 {
			t.Error("a message was prepared all the same")
		}
	})
}

func TestLanesAllocateNothing(t *testing.T) {
	const n, messages = 1000, 20
	eachType(t, func(t *testing.T, k *Key) {
		r := rand.New(rand.NewSource(3))
		s := k.NewStream(13)
		b := prepareBatch(t, r, s, messages, n)
		plains, errs := make([][]byte, messages), make([]error, messages)
		steps := func() {
			if err := s.PrepareAll(b.bufs, n); err != nil {
				t.Fatal(err)
			}
			for i, buf := range b.bufs {
				b.ivs[i] = s.Chain(buf, n)
			}
			s.FinishAll(b.bufs, n, b.ivs)
			if k.ID() == RC4 { // its keystream goes on
				return
			}
			s.OpenAll(b.ivs, b.bufs, plains, errs)
			for _, err := range errs {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := testing.AllocsPerRun(20, steps); got > messages*allocsAllowed {
			t.Errorf("allocates %v times", got)
		}
	})
}

// Groups of messages on many goroutines share a Stream.
func TestLanesConcurrently(t *testing.T) {
	eachType(t, func(t *testing.T, k *Key) {
		const groups, messages, n = 12, 16, 700
		seal, open := k.NewStream(13), k.NewStream(13)
		batches := make([]*batch, groups)
		prepared := parallel(groups, func(g int) {
			b := &batch{n: n, ivs: make([]State, messages)}
			for range messages {
				buf := make([]byte, k.ID().CiphertextLen(n))
				copy(buf[k.ID().ConfounderLen():], fill(n))
				b.bufs = append(b.bufs, buf)
			}
			if err := seal.PrepareAll(b.bufs, n); err != nil {
				t.Error(err)
			}
			batches[g] = b
		})
		var finish sync.WaitGroup
		for g := range groups {
			<-prepared[g]
			b := batches[g]
			for i, buf := range b.bufs {
				b.ivs[i] = seal.Chain(buf, n)
			}
			finish.Go(func() { seal.FinishAll(b.bufs, n, b.ivs) })
		}
		finish.Wait()
		var verify sync.WaitGroup
		for _, b := range batches {
			for i, buf := range b.bufs {
				iv, err := open.Next(buf)
				if err != nil {
					t.Fatal(err)
				}
				b.ivs[i] = iv
			}
			verify.Go(func() {
				plains, errs := make([][]byte, messages), make([]error, messages)
				open.OpenAll(b.ivs, b.bufs, plains, errs)
				for i := range plains {
					if errs[i] != nil || !samePlain(k.ID(), plains[i], fill(n)) {
						t.Errorf("message %d: %v", i, errs[i])
					}
				}
			})
		}
		verify.Wait()
	})
}

// FuzzOpenAll gives arbitrary bytes, cut into messages of one length and a
// rest, to OpenAll and to OpenAt.
func FuzzOpenAll(f *testing.F) {
	keys := make(map[ID]*Key)
	for _, id := range All() {
		k := fixedKey(f, id)
		keys[id] = k
		var msgs []byte
		for range 17 {
			c, err := k.Encrypt(nil, fill(9), 13)
			if err != nil {
				f.Fatal(err)
			}
			msgs = append(msgs, c...)
		}
		size := uint16(id.CiphertextLen(9))
		f.Add(int32(id), size, msgs)
		f.Add(int32(id), size-1, msgs)
		f.Add(int32(id), size, msgs[:len(msgs)-5])
	}
	f.Fuzz(func(t *testing.T, id int32, size uint16, data []byte) {
		k := keys[ID(id)]
		if k == nil || size == 0 || len(data) > 4*fuzzMax || len(data)/int(size) > 64 {
			return
		}
		var ciphers [][]byte
		for rest := bytes.Clone(data); len(rest) > 0; {
			n := min(int(size), len(rest))
			ciphers, rest = append(ciphers, rest[:n:n]), rest[n:]
		}
		checkOpenAll(t, k.NewStream(13), single(k, 13), make([]State, len(ciphers)), ciphers)
	})
}

func BenchmarkLanes(b *testing.B) {
	const n = 32768
	for _, id := range []ID{AES128SHA1, AES256SHA1, AES128SHA2, AES256SHA2} {
		k := fixedKey(b, id)
		for name, s := range map[string]*Stream{"lanes": k.NewStream(13), "single": single(k, 13)} {
			for _, messages := range []int{1, 2, 3, 4, 5, 6, 8, 16} {
				batch := prepareBatch(b, rand.New(rand.NewSource(4)), s, messages, n)
				run := func(step string, f func(b *testing.B)) {
					b.Run(fmt.Sprintf("%v/%s/%d/%s", id, step, messages, name), func(b *testing.B) {
						b.SetBytes(n * int64(messages))
						b.ReportAllocs()
						f(b)
					})
				}
				if s.u.p.mode == modeCTSSHA2 {
					run("FinishAll", func(b *testing.B) {
						for b.Loop() {
							s.FinishAll(batch.bufs, n, batch.ivs)
						}
					})
				} else {
					run("PrepareAll", func(b *testing.B) {
						for b.Loop() {
							if err := s.PrepareAll(batch.bufs, n); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
				benchmarkOpenAll(run, s, batch)
			}
		}
	}
}

// benchmarkOpenAll opens copies, as opening is in place; the time for copying
// is in the result.
func benchmarkOpenAll(run func(string, func(*testing.B)), s *Stream, batch *batch) {
	for i, buf := range batch.bufs {
		chain := chainState{iv: batch.ivs[i]}
		s.u.seal(&chain, buf)
	}
	s.FinishAll(batch.bufs, batch.n, batch.ivs)
	var ciphers [][]byte
	for _, buf := range batch.bufs {
		ciphers = append(ciphers, bytes.Clone(buf))
	}
	plains, errs := make([][]byte, len(ciphers)), make([]error, len(ciphers))
	run("OpenAll", func(b *testing.B) {
		for b.Loop() {
			for i, buf := range batch.bufs {
				copy(ciphers[i], buf)
			}
			s.OpenAll(batch.ivs, ciphers, plains, errs)
			if errs[0] != nil {
				b.Fatal(errs[0])
			}
		}
	})
}
