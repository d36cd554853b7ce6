package db2

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
)

// realm is a dump of users, of whom every 50th has a record on overflow pages.
// Their lockout data are at random. Names are from the first to the last but one.
func realm(t testing.TB, r *rand.Rand, first, last int) []byte { return realmOf(t, r, first, last, 50) }

// realmOf is realm with a record on overflow pages for every so many.
func realmOf(t testing.TB, r *rand.Rand, first, last, every int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := dump.NewWriter(&out, dump.Header{Version: dump.Version7})
	ok(t, err)
	for i := first; i < last; i++ {
		p := dump.Principal{
			Name:        fmt.Appendf(nil, "user%07d@KPROP.TEST", i),
			LastSuccess: r.Uint32N(3), LastFailed: r.Uint32N(3), FailAuthCount: int32(r.Uint32N(3)),
			TL: []dump.TL{{Type: 2, Data: []byte("\x01\x00\x00\x00root@KPROP.TEST\x00")}},
		}
		p.TL = append(p.TL, dump.TL{Type: 999, Data: make([]byte, 140)})
		if i%every == 0 {
			p.TL = append(p.TL, dump.TL{Type: 1000, Data: make([]byte, 2000+i%7000)})
		}
		ok(t, w.WritePrincipal(&p))
	}
	ok(t, w.Flush())
	return out.Bytes()
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a database and its lock files.
func place(t testing.TB, path string, text []byte) {
	t.Helper()
	build(t, path, text)
	for _, suffix := range []string{LockSuffix, PolicyLockSuffix} {
		ok(t, os.WriteFile(path+suffix, nil, 0o600))
	}
}

func build(t testing.TB, path string, text []byte) {
	t.Helper()
	b, err := NewBuilder(path, BuildOptions{})
	ok(t, err)
	_, err = b.Write(text)
	ok(t, err)
	_, err = b.Finish()
	ok(t, err)
}

// lockouts are the lockout data by name, and rest all else.
func lockouts(t testing.TB, path string) (data map[string]string, rest map[string]string) {
	t.Helper()
	mem, err := os.ReadFile(path)
	ok(t, err)
	r, err := OpenRecordsBytes(mem, path)
	ok(t, err)
	data, rest = map[string]string{}, map[string]string{}
	for _, rec := range records(t, r) {
		data[string(rec.key)] = string(rec.data[recSuccess:recTLCount])
		clear(rec.data[recSuccess:recTLCount])
		rest[string(rec.key)] = string(rec.data)
	}
	return data, rest
}

// kept wants those of the live database in the staged one, where it has the
// principal, and nothing else of it changed.
func kept(t testing.TB, live, staged string, before, restBefore map[string]string) (principals int) {
	t.Helper()
	want, _ := lockouts(t, live)
	got, rest := lockouts(t, staged)
	if len(rest) != len(restBefore) {
		t.Fatalf("%d principals, before %d", len(rest), len(restBefore))
	}
	for name := range got {
		w, both := want[name]
		if !both {
			w = before[name]
		}
		if got[name] != w {
			t.Errorf("%q has %x, want %x (in both: %v)", name, got[name], w, both)
		}
		if rest[name] != restBefore[name] {
			t.Errorf("%q was changed elsewhere", name)
		}
		if both {
			principals++
		}
	}
	return principals
}

// exclusively runs f under the locks, as a program of MIT's that writes.
func exclusively(t testing.TB, live string, f func()) {
	t.Helper()
	locks, err := Lock(context.Background(), live, osutil.Exclusive)
	ok(t, err)
	defer locks.Unlock()
	f()
}

// login changes a principal as a KDC does.
func login(t testing.TB, live, name string, value uint32) {
	t.Helper()
	put(t, live, name, func(head []byte) {
		le.PutUint32(head[recSuccess:], value)
		le.PutUint32(head[recFailed:], 0)
		le.PutUint32(head[recFailCount:], value)
	})
}

// put changes a principal's record, on overflow pages only its head, and has the item
// where libdb2's put has it: below all others of the leaf.
func put(t testing.TB, live, name string, change func(rec []byte)) {
	t.Helper()
	w, err := os.OpenFile(live, os.O_RDWR, 0)
	ok(t, err)
	defer w.Close()
	st, err := w.Stat()
	ok(t, err)
	f, err := Open(w, st.Size(), live)
	ok(t, err)
	p, i, err := f.find([]byte(name+"\x00"), f.page)
	ok(t, err)
	it, err := p.leaf(i)
	ok(t, err)
	if it.flags&bigData != 0 {
		n, _ := f.ref(it.data)
		overflow, err := f.read(n, nil)
		ok(t, err)
		change(overflow[headerSize:][:recHead])
		_, err = w.WriteAt(overflow, int64(n)*pageSize)
		ok(t, err)
	} else {
		change(it.data)
	}
	slot := func(i int) []byte { return p.data[headerSize+slotSize*i:] }
	upper, at, size := le.Uint16(p.data[pageUpper:]), le.Uint16(slot(i)), itemSize(len(it.key)+len(it.data))
	item := bytes.Clone(p.data[at:][:size])
	copy(p.data[int(upper)+size:], p.data[upper:at])
	for j := range p.items {
		if o := le.Uint16(slot(j)); o < at {
			le.PutUint16(slot(j), o+uint16(size))
		}
	}
	le.PutUint16(slot(i), upper)
	copy(p.data[upper:], item)
	_, err = w.WriteAt(p.data, int64(p.number)*pageSize)
	ok(t, err)
}

func carryAll(t testing.TB, l *Live, p *Patch, live string) {
	t.Helper()
	ok(t, l.Carry(context.Background(), p))
	for {
		var done bool
		release := l.mapTops()
		exclusively(t, live, func() {
			var err error
			done, err = l.CarryRest(p, false)
			ok(t, err)
		})
		release()
		if done {
			return
		}
		ok(t, l.Carry(context.Background(), p))
	}
}

func TestCarry(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range [][4]int{{0, 0, 0, 0}, {0, 5, 0, 0}, {0, 0, 0, 5}, {0, 1, 0, 1}, {0, 60, 30, 90}, {0, 4000, 0, 4000}, {1000, 9000, 0, 5000}, {0, 3000, 2990, 6000}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			dir := t.TempDir()
			live, staged := filepath.Join(dir, "principal"), filepath.Join(dir, "staged")
			place(t, live, realm(t, r, c[0], c[1]))
			build(t, staged, realm(t, r, c[2], c[3]))
			before, rest := lockouts(t, staged)
			l := NewLive(live)
			ok(t, l.Look(context.Background()))
			p, err := OpenPatch(staged)
			ok(t, err)
			defer p.Close()
			carryAll(t, l, p, live)
			ok(t, p.Sync())
			both := kept(t, live, staged, before, rest)
			if want := max(0, min(c[1], c[3])-max(c[0], c[2])); both != want {
				t.Errorf("%d principals are in both, want %d", both, want)
			}
			if most := 26 * both / 27; p.Patched() < most-both/20 || p.Patched() > both {
				t.Errorf("%d of %d were patched", p.Patched(), both)
			}
			if c := l.Changes(); c != nil {
				t.Errorf("changes that nobody made: %+v", c)
			}
		})
	}
}

// TestCarryOfHash: a live database in the order of its buckets, for a new one in
// that of the names.
func TestCarryOfHash(t *testing.T) {
	dir := t.TempDir()
	live, staged := filepath.Join(dir, "principal"), filepath.Join(dir, "staged")
	ok(t, os.WriteFile(live, contents(t, "principal.hash"), 0o600))
	for _, suffix := range []string{LockSuffix, PolicyLockSuffix} {
		ok(t, os.WriteFile(live+suffix, nil, 0o600))
	}
	ok(t, os.WriteFile(staged, contents(t, "principal.loaded"), 0o600))
	p, err := OpenPatch(staged)
	ok(t, err)
	defer p.Close()
	names, _ := lockouts(t, staged)
	for name := range names {
		ok(t, p.set([]byte(name), bytes.Repeat([]byte{7}, recHead)))
	}
	ok(t, p.Flush())
	before, rest := lockouts(t, staged)
	l := NewLive(live)
	ok(t, l.Look(context.Background()))
	carryAll(t, l, p, live)
	if both := kept(t, live, staged, before, rest); both != len(names) || both < 40 {
		t.Errorf("%d principals", both)
	}
	if c := l.Changes(); c != nil {
		t.Errorf("changes that nobody made: %+v", c)
	}
}

// TestCarryDuringLogins: nothing of what is written until the locks are had is
// missed, whatever was being read meanwhile.
func TestCarryDuringLogins(t *testing.T) {
	dir := t.TempDir()
	live := filepath.Join(dir, "principal")
	r := rand.New(rand.NewPCG(3, 4))
	const users = 3000
	place(t, live, realm(t, r, 0, users))
	staged := filepath.Join(dir, "staged")
	text := realm(t, r, 0, users)
	for round := range uint32(5) {
		build(t, staged, text)
		before, rest := lockouts(t, staged)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		logins := 0
		wg.Go(func() {
			for n := 10 + round<<24; ; n++ { // never twice the same
				select {
				case <-stop:
					return
				default:
				}
				exclusively(t, live, func() { login(t, live, fmt.Sprintf("user%07d@KPROP.TEST", r.IntN(users)), n) })
				logins++
			}
		})
		l := NewLive(live)
		ok(t, l.Look(context.Background()))
		p, err := OpenPatch(staged)
		ok(t, err)
		ok(t, l.Carry(context.Background(), p))
		release := l.mapTops()
		exclusively(t, live, func() {
			done, err := l.CarryRest(p, false)
			ok(t, err)
			if !done {
				t.Error("more than a few leaves have changed")
			}
			kept(t, live, staged, before, rest)
			if c := l.Changes(); c != nil {
				t.Errorf("a login was taken for more: %+v", c)
			}
		})
		release()
		close(stop)
		wg.Wait()
		if logins == 0 {
			t.Error("nobody has logged in")
		}
		ok(t, p.Close())
		ok(t, os.Remove(staged))
		ok(t, os.Remove(staged+PolicySuffix))
	}
}

// TestCarryInOneTick: a write in the same tick of the kernel's clock as the last
// look is not missed, though the times of the file may stay as they are. Since
// Linux 6.13 they do not; that is made up for.
func TestCarryInOneTick(t *testing.T) {
	dir := t.TempDir()
	live, staged := filepath.Join(dir, "principal"), filepath.Join(dir, "staged")
	r := rand.New(rand.NewPCG(5, 6))
	place(t, live, realm(t, r, 0, 30))
	build(t, staged, realm(t, r, 0, 30))
	before, rest := lockouts(t, staged)
	p, err := OpenPatch(staged)
	ok(t, err)
	defer p.Close()
	l := NewLive(live)
	same := 0
	for n := uint32(10); n < 310; n++ {
		login(t, live, "user0000007@KPROP.TEST", n)
		ok(t, l.round(context.Background(), p.set)) // without the wait of Carry
		sameTick := !l.current
		login(t, live, "user0000008@KPROP.TEST", n)
		if sameTick {
			st, err := os.Stat(live)
			ok(t, err)
			l.at = identityOf(st)
			same++
		}
		_, err = l.CarryRest(p, true)
		ok(t, err)
		if t.Failed() {
			break
		}
	}
	kept(t, live, staged, before, rest)
	if same < 30 {
		t.Errorf("only %d of 300 looks were in the tick of a write", same)
	}
}

// TestCarryOfReplaced: when the tree is another than before, all is carried again;
// if that is much, not under the locks unless it must be.
func TestCarryOfReplaced(t *testing.T) {
	for _, c := range []struct {
		users int
		must  bool
		done  bool // at once
	}{{2000, false, true}, {80_000, false, false}, {80_000, true, true}} {
		t.Run(fmt.Sprint(c.users, c.must), func(t *testing.T) {
			dir := t.TempDir()
			live, staged := filepath.Join(dir, "principal"), filepath.Join(dir, "staged")
			r := rand.New(rand.NewPCG(11, uint64(c.users)))
			const rarely = 10_000
			place(t, live, realmOf(t, r, 0, c.users, rarely))
			build(t, staged, realmOf(t, r, 0, c.users, rarely))
			l := NewLive(live)
			ok(t, l.Look(context.Background()))
			p, err := OpenPatch(staged)
			ok(t, err)
			defer p.Close()
			ok(t, l.Carry(context.Background(), p))
			build(t, live+"2", realmOf(t, r, 100, c.users, rarely))
			ok(t, os.Rename(live+"2", live))
			exclusively(t, live, func() {
				done, err := l.CarryRest(p, c.must)
				ok(t, err)
				if done != c.done {
					t.Errorf("done at once: %v, want %v", done, c.done)
				}
			})
			if !c.done {
				carryAll(t, l, p, live)
			}
			want, _ := lockouts(t, live)
			got, _ := lockouts(t, staged)
			for name, data := range want {
				if got[name] != data {
					t.Fatalf("%q has %x, want %x", name, got[name], data)
				}
			}
			if ch := l.Changes(); ch == nil || !ch.Replaced {
				t.Errorf("changes: %+v", ch)
			}
		})
	}
}

func BenchmarkCarry(b *testing.B) {
	const users = 300_000
	dir := b.TempDir()
	live, staged := filepath.Join(dir, "principal"), filepath.Join(dir, "staged")
	r := rand.New(rand.NewPCG(1, 2))
	place(b, live, realmOf(b, r, 0, users, 10_000))
	build(b, staged, realmOf(b, r, 0, users, 10_000))
	st, _ := os.Stat(live)
	for _, what := range []string{"look", "carry", "again", "rest"} {
		b.Run(what, func(b *testing.B) {
			b.SetBytes(st.Size())
			for b.Loop() {
				l := NewLive(live)
				p, err := OpenPatch(staged)
				ok(b, err)
				b.StopTimer()
				if what != "look" && what != "carry" {
					ok(b, l.Carry(context.Background(), p))
				}
				b.StartTimer()
				switch what {
				case "look":
					ok(b, l.Look(context.Background()))
				case "carry":
					ok(b, l.Carry(context.Background(), p))
				case "again":
					ok(b, l.round(context.Background(), p.set))
				case "rest":
					l.current = false
					b.StopTimer()
					release := l.mapTops()
					b.StartTimer()
					_, err := l.CarryRest(p, true)
					ok(b, err)
					b.StopTimer()
					release()
				}
				b.StopTimer()
				p.Close()
				b.StartTimer()
			}
		})
	}
}
