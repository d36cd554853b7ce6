package db2

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// looked is a Live that has read the database, with carried data in a staged one.
func looked(t *testing.T, live string, text []byte) (*Live, *Patch) {
	t.Helper()
	build(t, live+"-staged", text)
	p, err := OpenPatch(live + "-staged")
	ok(t, err)
	t.Cleanup(func() { p.Close() })
	l := NewLive(live)
	ok(t, l.Look(context.Background()))
	ok(t, l.Carry(context.Background(), p))
	return l, p
}

// unbelieved counts the leaves that sameTops leaves to be read.
func (l *Live) unbelieved(t *testing.T) (n int) {
	t.Helper()
	release := l.mapTops()
	defer release()
	file, err := l.open()
	ok(t, err)
	defer file.close()
	l.sameTops(file.tree)
	for _, leaf := range l.leaves {
		if l.seen[leaf].top == 0 {
			n++
		}
	}
	return n
}

func TestTopsSpareLeaves(t *testing.T) {
	const users = 3000
	text := realmOf(t, rand.New(rand.NewPCG(1, 2)), 0, users, users)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, l *Live)
		all    bool
		want   int // leaves to be read, unless all
	}{
		{"nothing", func(*testing.T, *Live) {}, false, 0},
		{"three logins", func(t *testing.T, l *Live) {
			for _, n := range []int{7, 1500, 2999} {
				login(t, l.database, fmt.Sprintf("user%07d@KPROP.TEST", n), 99)
			}
		}, false, 3},
		{"the lock file is another", func(t *testing.T, l *Live) {
			ok(t, os.WriteFile(l.database+"-new", nil, 0o600))
			ok(t, os.Rename(l.database+"-new", l.database+PolicyLockSuffix))
		}, true, 0},
		{"there is no lock file", func(t *testing.T, l *Live) { ok(t, os.Remove(l.database+PolicyLockSuffix)) }, true, 0},
		{"the clock was set back", func(_ *testing.T, l *Live) { l.tops.clock += int64(time.Second) }, true, 0},
		{"the clock was set forward", func(_ *testing.T, l *Live) { l.tops.clock -= int64(time.Second) }, true, 0},
		{"another file", func(t *testing.T, l *Live) {
			build(t, l.database+"-new", text)
			ok(t, os.Rename(l.database+"-new", l.database))
			l.at.ino++ // as the next look sees it
		}, true, 0},
		{"the round was broken off", func(t *testing.T, l *Live) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			exclusively(t, l.database, func() {
				if l.round(ctx, nil) == nil {
					t.Error("a round without the lock")
				}
			})
		}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := filepath.Join(t.TempDir(), "principal")
			place(t, live, text)
			l, _ := looked(t, live, text)
			c.change(t, l)
			if c.all {
				c.want = len(l.leaves)
			}
			// One has the record on overflow pages, which may be its top.
			if n := l.unbelieved(t); n != c.want && n != c.want+1 {
				t.Errorf("%d of %d leaves are to be read, want %d", n, len(l.leaves), c.want)
			}
		})
	}
}

// TestYoungTop: several items of a leaf are written, and at last, in the same second,
// the very bytes that were on top before.
func TestYoungTop(t *testing.T) {
	const users = 40
	live := filepath.Join(t.TempDir(), "principal")
	text := realmOf(t, rand.New(rand.NewPCG(3, 2)), 0, users, 10*users)
	place(t, live, text)
	name := func(i int) string { return fmt.Sprintf("user%07d@KPROP.TEST", i) }
	now := uint32(time.Now().Unix())
	for i := range 2 {
		login(t, live, name(i), now)
	}
	l, p := looked(t, live, text)
	before := 0
	for i := range l.leaves {
		if l.seen[l.leaves[i]].top == 0 {
			before++
		}
	}
	if before < 1 || before > 2 {
		t.Errorf("%d leaves have a young top", before)
	}
	login(t, live, name(0), now+1)
	login(t, live, name(1), now)
	carryRest(t, l, p)
	want, _ := lockouts(t, live)
	got, _ := lockouts(t, live+"-staged")
	for i := range 2 {
		if key := name(i) + "\x00"; got[key] != want[key] {
			t.Errorf("%s has %x, want %x", name(i), got[key], want[key])
		}
	}
}

func carryRest(t *testing.T, l *Live, p *Patch) {
	t.Helper()
	release := l.mapTops()
	defer release()
	exclusively(t, l.database, func() {
		_, err := l.CarryRest(p, true)
		ok(t, err)
	})
}

// TestTopsOfCutFile: the kernel cannot give a mapped page of a file that was cut.
func TestTopsOfCutFile(t *testing.T) {
	live := filepath.Join(t.TempDir(), "principal")
	text := realmOf(t, rand.New(rand.NewPCG(3, 2)), 0, 1000, 10_000)
	place(t, live, text)
	l, _ := looked(t, live, text)
	release := l.mapTops()
	defer release()
	if len(l.mapped) == 0 {
		t.Fatal("it is not mapped")
	}
	file, err := l.open()
	ok(t, err)
	defer file.close()
	ok(t, os.Truncate(live, 3*pageSize))
	l.sameTops(file.tree)
	for _, n := range l.leaves {
		if l.seen[n].top != 0 {
			t.Fatalf("leaf %d is believed", n)
		}
	}
}

// TestMapTops: a database that nobody writes is not mapped, since that counts as
// memory.
func TestMapTops(t *testing.T) {
	live := filepath.Join(t.TempDir(), "principal")
	text := realmOf(t, rand.New(rand.NewPCG(3, 2)), 0, 2*pieceLeaves*13, 1_000_000)
	place(t, live, text)
	l, _ := looked(t, live, text)
	mapped := func() int {
		release := l.MapTops()
		defer release()
		return len(l.mapped)
	}
	if l.current && mapped() != 0 {
		t.Error("it is mapped, though nobody has written it")
	}
	login(t, live, "user0000007@KPROP.TEST", 5)
	if mapped() == 0 {
		t.Error("it is not mapped")
	}
	if len(l.mapped) != 0 {
		t.Error("it stays mapped")
	}
}
