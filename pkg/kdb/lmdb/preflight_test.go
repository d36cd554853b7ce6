package lmdb

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
	"golang.org/x/sys/unix"
)

// realm makes a database of which the main file has pages pages, as far as its
// meta page tells, and the lockout file is small.
func realm(t *testing.T, pages uint64) string {
	t.Helper()
	d := filepath.Join(t.TempDir(), "principal")
	main := contents(t, vector("loaded.mdb"))
	le.PutUint64(main[136:], pages-1) // transaction 2: page 0
	for path, b := range map[string][]byte{mainFile(d): main, lockoutFile(d): contents(t, vector("loaded.lockout.mdb"))} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// needs of n principals with values of about 230 bytes.
func needs(n int) Needs {
	s := NewSizer(pageBytes)
	p := &dump.Principal{TL: []dump.TL{{Type: 1, Data: make([]byte, 200)}}}
	for i := range n {
		p.Name = fmt.Appendf(nil, "user%07d@KDB.TEST", i)
		_ = s.AddPrincipal(p)
	}
	return s.Needs()
}

func TestCheckLoad(t *testing.T) {
	const n = 2600 // about 0.7 MB
	need := needs(n)
	if mb := float64(need.MainPages*pageBytes) / 1e6; mb < 0.65 || mb > 0.8 {
		t.Fatalf("%.2f MB", mb)
	}
	fresh := filepath.Join(t.TempDir(), "principal")
	loaded := realm(t, 2+need.MainPages+3)
	for _, c := range []struct {
		name  string
		d     string
		needs Needs
		opts  LoadOptions
		want  string // part of the error; empty: none
	}{
		// What reference kdb-lmdb.md 5.3 tells of a database of 0.7 MB.
		{"the first load into 1 MiB", fresh, need, LoadOptions{MapSize: 1}, ""},
		{"the second load into 1 MiB", loaded, need, LoadOptions{MapSize: 1, Section: "KDB.TEST"}, "mapsize allows 1; set mapsize = 16 in subsection KDB.TEST of [dbmodules]"},
		{"the second load into 4 MiB", loaded, need, LoadOptions{MapSize: 4}, ""},
		{"no lockout data", loaded, need, LoadOptions{MapSize: 4, NoLockout: true}, ""},
		// 128 MiB hold one copy of 230 thousand principals beside the old one.
		{"the default, half full", realm(t, 16000), needs(200000), LoadOptions{}, ""},
		{"the default, too full", realm(t, 18000), needs(250000), LoadOptions{}, "mapsize allows 128"},
		{"more than any disk", fresh, Needs{PageSize: pageBytes, MainPages: 1 << 42}, LoadOptions{MapSize: 1 << 40}, "MiB more to"},
		{"the first load of too many", fresh, needs(600000), LoadOptions{}, "mapsize allows 128"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := CheckLoad(t.Context(), c.d, c.needs, c.opts)
			if v == nil {
				t.Fatal(err)
			}
			var refused *LoadError
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%v (%+v)", err, v)
			case c.want != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want %q", err, c.want)
			case strings.Contains(c.want, "mapsize"):
				// The value that is named does.
				c.opts.MapSize = v.MapSize
				if _, err := CheckLoad(t.Context(), c.d, c.needs, c.opts); err != nil {
					t.Errorf("with mapsize %d: %v", v.MapSize, err)
				}
			}
		})
	}
}

func TestCheckLoadNames(t *testing.T) {
	for _, c := range []struct {
		length int
		policy bool
		ok     bool
	}{{511, false, true}, {512, false, false}, {4000, false, false}, {511, true, true}, {512, true, false}} {
		s := NewSizer(pageBytes)
		name := bytes.Repeat([]byte("a"), c.length)
		if c.policy {
			_ = s.AddPolicy(&dump.Policy{Name: name})
		} else {
			_ = s.AddPrincipal(&dump.Principal{Name: name})
		}
		n := s.Needs()
		_, err := CheckLoad(t.Context(), filepath.Join(t.TempDir(), "d"), n, LoadOptions{})
		if (err == nil) != c.ok {
			t.Errorf("%d bytes, policy %v: %v", c.length, c.policy, err)
		}
		if n.LongestName != c.length {
			t.Errorf("longest name %d, want %d", n.LongestName, c.length)
		}
	}
	s := NewSizer(0)
	for range 25 {
		_ = s.AddPrincipal(&dump.Principal{Name: bytes.Repeat([]byte("b"), 600)})
	}
	if n := s.Needs(); len(n.Refused) != 10 || n.MoreRefused != 15 {
		t.Errorf("%d refused, %d more", len(n.Refused), n.MoreRefused)
	}
}

// lockOf writes a lock file with one reader.
func lockOf(t *testing.T, dataFile string, txn uint64, pid int) *os.File {
	t.Helper()
	b := contents(t, vector("deep.mdb-lock"))
	le.PutUint32(b[lockCount:], 1)
	le.PutUint64(b[lockSlots:], txn)
	le.PutUint32(b[lockSlots+8:], uint32(pid))
	f, err := os.OpenFile(lockPath(dataFile), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

// holdByte locks a byte of a lock file as a living process does.
func holdByte(t *testing.T, f *os.File, at int64) {
	t.Helper()
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l); err != nil {
		t.Fatal(err)
	}
}

// TestReusable: pages that a reader may still see are not counted, those that
// the last transaction freed neither.
func TestReusable(t *testing.T) {
	for _, c := range []struct {
		name  string
		txn   uint64 // of the reader, 0: none
		alive bool
		want  uint64
		stale bool
	}{
		{"nobody", 0, false, 9, false}, // records 62 and 63, not 64
		{"an idle KDC", idleReaderTxn, true, 9, false},
		{"a dump of transaction 63", 63, true, 5, false},
		{"a dump of transaction 60", 60, true, 0, false},
		{"a dump of 60 that was killed", 60, false, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := filepath.Join(t.TempDir(), "principal")
			for suffix, b := range map[string][]byte{".mdb": contents(t, vector("changed.mdb")), ".lockout.mdb": contents(t, vector("changed.lockout.mdb"))} {
				if err := os.WriteFile(d+suffix, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.txn != 0 {
				f := lockOf(t, mainFile(d), c.txn, 4000000)
				if c.alive {
					holdByte(t, f, 4000000)
				}
			}
			v, err := CheckLoad(t.Context(), d, needs(10), LoadOptions{MapSize: 8})
			if err != nil {
				t.Fatal(err)
			}
			if v.Main.Reusable != c.want || v.Main.Pages != 36 {
				t.Errorf("%+v, want %d reusable pages of 36", v.Main, c.want)
			}
			if found := fmt.Sprint(v.Findings); strings.Contains(found, "died while it read") != c.stale {
				t.Errorf("findings %s", found)
			}
		})
	}
}

// TestSmallMap: a program that has mapped less than the file will have.
func TestSmallMap(t *testing.T) {
	d := realm(t, 25)
	f, err := os.Open(mainFile(d))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	holdByte(t, lockOf(t, mainFile(d), idleReaderTxn, os.Getpid()), int64(os.Getpid()))
	for _, c := range []struct {
		mapped int
		ok     bool
	}{{1 << 20, false}, {64 << 20, true}} {
		m, err := unix.Mmap(int(f.Fd()), 0, c.mapped, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		_, err = CheckLoad(t.Context(), d, needs(5000), LoadOptions{MapSize: 128})
		if c.ok && err != nil || !c.ok && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d has mapped only 1 MiB", os.Getpid()))) {
			t.Errorf("%d mapped: %v", c.mapped, err)
		}
		if err := unix.Munmap(m); err != nil {
			t.Fatal(err)
		}
	}
	// A process whose map is not to be seen, as this one has none: it matters
	// where mapsize was raised since the last change of the file, which had 8.
	for _, c := range []struct {
		principals int
		warned     bool
	}{{5000, false}, {40000, true}} {
		v, err := CheckLoad(t.Context(), d, needs(c.principals), LoadOptions{MapSize: 128})
		if err != nil {
			t.Fatal(err)
		}
		if found := fmt.Sprint(v.Findings); strings.Contains(found, "if it was started with a mapsize below 12, it cannot read that") != c.warned {
			t.Errorf("%d principals: %s", c.principals, found)
		}
	}
}

func TestCheckLoadDamaged(t *testing.T) {
	d := realm(t, 25)
	if err := os.WriteFile(mainFile(d), make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := CheckLoad(t.Context(), d, needs(1), LoadOptions{}); v != nil || !errors.Is(err, ErrFormat) {
		t.Errorf("%v, %v, want ErrFormat", v, err)
	}
	if _, err := PageSize(d); !errors.Is(err, ErrFormat) {
		t.Errorf("PageSize: %v", err)
	}
	if n, err := PageSize(realm(t, 25)); n != pageBytes || err != nil {
		t.Errorf("PageSize: %d, %v", n, err)
	}
	if n, err := PageSize("nowhere"); n != 0 || err != nil {
		t.Errorf("PageSize: %d, %v", n, err)
	}
	s := NewSizer(8192)
	if v, err := CheckLoad(t.Context(), realm(t, 25), s.Needs(), LoadOptions{}); v != nil || err == nil {
		t.Errorf("another page size: %v, %v", v, err)
	}
}

// TestAnyOrder: the bound for shuffled input is above that for sorted input, and
// not absurdly so.
func TestAnyOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		tree, shuffled := treeSize{pageSize: pageBytes}, treeSize{pageSize: pageBytes}
		for i := range 500 + r.IntN(3000) {
			size := r.IntN(600)
			tree.add(fmt.Appendf(nil, "u%07d", i), size)
			shuffled.add(fmt.Appendf(nil, "u%07d", 9999999-i), size)
		}
		if !shuffled.unsorted || tree.unsorted {
			t.Fatal("order")
		}
		if a, b := tree.pages(), shuffled.pages(); b < a || b > 5*a {
			t.Errorf("%d sorted, %d at most in any order", a, b)
		}
	}
}
