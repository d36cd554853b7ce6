package lmdb

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// live puts the files of a fixture where a KDC has them, with modes and owner of
// their own.
func live(t *testing.T, fixture string) (d string) {
	t.Helper()
	d = filepath.Join(t.TempDir(), "principal")
	place(t, d, fixture)
	return d
}

// A KDC that does not run as root may have its files so.
const (
	liveMode    = 0o640
	liveLockout = 0o660
	liveOwner   = 12345
)

func place(t *testing.T, d, fixture string) {
	t.Helper()
	for suffix, mode := range map[string]fs.FileMode{".mdb": liveMode, ".lockout.mdb": liveLockout} {
		path := d + suffix
		writeFile(t, path, contents(t, vector(fixture+suffix)))
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := os.Chown(path, liveOwner, liveOwner+1); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// asPlaced wants modes and owner as they were.
func asPlaced(t *testing.T, d string) {
	t.Helper()
	for suffix, mode := range map[string]fs.FileMode{".mdb": liveMode, ".lockout.mdb": liveLockout} {
		st, err := os.Stat(d + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode() != mode {
			t.Errorf("%s: mode %v, want %v", suffix, st.Mode(), mode)
		}
		if sys := st.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (sys.Uid != liveOwner || sys.Gid != liveOwner+1) {
			t.Errorf("%s: owner %d, group %d", suffix, sys.Uid, sys.Gid)
		}
	}
}

// fillWithZeros is what kdb5_util does to a file that it deletes, up to n bytes.
func fillWithZeros(t testing.TB, path string, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if n < 0 {
		n = int(st.Size())
	}
	if _, err := f.WriteAt(make([]byte, n), 0); err != nil {
		t.Fatal(err)
	}
}

// destroy is what kdb5_util does to a database when a load fails (5.3).
func destroy(t testing.TB, d string) {
	t.Helper()
	for _, path := range Files(d) {
		fillWithZeros(t, path, -1)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(lockPath(path))
	}
}

func dumped(t testing.TB, d string) []byte {
	t.Helper()
	r, err := OpenRealm(t.Context(), d, RealmOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	if err := r.Dump(&out, dump.Header{Version: dump.Version7}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func keepIn(t *testing.T, d string) {
	t.Helper()
	if err := Keep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func recoverIn(t *testing.T, d string) bool {
	t.Helper()
	restored, err := Recover(t.Context(), d)
	if err := errors.Join(err, Forget(d)); err != nil {
		t.Fatal(err)
	}
	return restored
}

// TestRecover: whatever a load has left of the database, it is whole afterwards,
// and no copy is left.
func TestRecover(t *testing.T) {
	inUse := func(t *testing.T, path string) { holdByte(t, lockOf(t, path, idleReaderTxn, 1234), 0) }
	for _, c := range []struct {
		name     string
		harm     func(t *testing.T, d string)
		restored bool
		want     string // dump
		left     string // lock files
	}{
		{"nothing, as when the load was killed", func(*testing.T, string) {}, false, "changed.dump", ""},
		{"another database: the load was good", func(t *testing.T, d string) { place(t, d, "loaded") }, false, "../kdb/dump.v7", ""},
		{"deleted", func(t *testing.T, d string) { destroy(t, d) }, true, "changed.dump", ""},
		{"deleted while a KDC has it", func(t *testing.T, d string) {
			inUse(t, mainFile(d))
			destroy(t, d)
		}, true, "changed.dump", ""},
		{"killed in the first block", func(t *testing.T, d string) {
			inUse(t, mainFile(d))
			fillWithZeros(t, mainFile(d), 2*pageBytes)
		}, true, "changed.dump", ""},
		{"killed in the middle of a page", func(t *testing.T, d string) { fillWithZeros(t, mainFile(d), 5*pageBytes+100) }, true, "changed.dump", ""},
		{"killed before the file was unlinked", func(t *testing.T, d string) {
			inUse(t, mainFile(d))
			fillWithZeros(t, mainFile(d), -1)
		}, true, "changed.dump", ""},
		{"killed before the lock file was unlinked", func(t *testing.T, d string) {
			inUse(t, mainFile(d))
			inUse(t, lockoutFile(d))
			if err := os.Remove(mainFile(d)); err != nil {
				t.Fatal(err)
			}
		}, true, "changed.dump", "principal.lockout.mdb-lock"},
		{"killed within the lockout file", func(t *testing.T, d string) {
			inUse(t, lockoutFile(d))
			if err := os.Remove(mainFile(d)); err != nil {
				t.Fatal(err)
			}
			fillWithZeros(t, lockoutFile(d), 100)
		}, true, "changed.dump", ""},
		{"cut", func(t *testing.T, d string) {
			lockOf(t, mainFile(d), 7, 1234)
			if err := os.Truncate(mainFile(d), 3*pageBytes); err != nil {
				t.Fatal(err)
			}
		}, true, "changed.dump", "principal.mdb-lock"},
		{"a damaged page", func(t *testing.T, d string) {
			b := contents(t, mainFile(d))
			b[3*pageBytes+10] ^= 0xff
			writeFile(t, mainFile(d), b)
		}, true, "changed.dump", ""},
		{"another file of LMDB", func(t *testing.T, d string) {
			writeFile(t, mainFile(d), contents(t, lockoutFile(d)))
		}, true, "changed.dump", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := live(t, "changed")
			keepIn(t, d)
			for _, path := range SpareFiles(d) {
				if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
					t.Errorf("%s: %v, %v", path, st.Mode(), err)
				}
			}
			c.harm(t, d)
			if restored := recoverIn(t, d); restored != c.restored {
				t.Errorf("restored: %v, want %v", restored, c.restored)
			}
			if !bytes.Equal(dumped(t, d), contents(t, vector(c.want))) {
				t.Error("another database")
			}
			asPlaced(t, d)
			var left []string
			for _, path := range []string{"principal.lockout.mdb", "principal.lockout.mdb-lock", "principal.mdb", "principal.mdb-lock"} {
				if !strings.HasSuffix(path, "-lock") || path == c.left {
					left = append(left, path)
				}
			}
			only(t, filepath.Dir(d), left...)
			if recoverIn(t, d) {
				t.Error("it was put back again")
			}
		})
	}
}

// TestRecoverRenewsLock: a lock file that nobody uses is made to fit.
func TestRecoverRenewsLock(t *testing.T) {
	d := live(t, "changed")
	keepIn(t, d)
	lockOf(t, mainFile(d), 7, 1234)
	if err := os.Truncate(mainFile(d), 3*pageBytes); err != nil {
		t.Fatal(err)
	}
	recoverIn(t, d)
	lock := contents(t, lockPath(mainFile(d)))
	if len(lock) != 8192 || le.Uint64(lock[lockTxn:]) != 64 || le.Uint32(lock[lockCount:]) != 0 || !knownLayout(lock) {
		t.Errorf("lock file of %d bytes: transaction %d, %d readers", len(lock), le.Uint64(lock[lockTxn:]), le.Uint32(lock[lockCount:]))
	}
}

// TestRecoverRefused: the copy stays until it can be put back.
func TestRecoverRefused(t *testing.T) {
	d := live(t, "changed")
	keepIn(t, d)
	if err := os.Truncate(mainFile(d), 3*pageBytes); err != nil {
		t.Fatal(err)
	}
	f := lockOf(t, mainFile(d), idleReaderTxn, 1234)
	holdByte(t, f, 0)
	if _, err := Recover(t.Context(), d); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	f.Close()
	writeFile(t, lockPath(mainFile(d)), make([]byte, 8192))
	if _, err := Recover(t.Context(), d); !errors.Is(err, errLockLayout) {
		t.Errorf("a lock file of another kind: %v", err)
	}
	spare := contents(t, sparePath(mainFile(d)))
	writeFile(t, sparePath(mainFile(d)), spare[:len(spare)-1])
	if err := os.Remove(lockPath(mainFile(d))); err != nil {
		t.Fatal(err)
	}
	var damaged *CorruptError
	if _, err := Recover(t.Context(), d); !errors.As(err, &damaged) {
		t.Errorf("a copy that was cut: %v", err)
	}
	if err := Keep(t.Context(), d); err == nil {
		t.Error("the only copy was replaced")
	}
	writeFile(t, sparePath(mainFile(d)), spare)
	if !recoverIn(t, d) || !bytes.Equal(dumped(t, d), contents(t, vector("changed.dump"))) {
		t.Error("it was not put back")
	}
	// What cannot be read is not taken for damaged.
	keepIn(t, d)
	if err := os.Rename(mainFile(d), d+".elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mainFile(d), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Recover(t.Context(), d); err == nil || !Spare(d) {
		t.Errorf("a directory in its place: %v", err)
	}
}

// TestKeepKilled: what a Keep that did not end has left is no copy.
func TestKeepKilled(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, d string)
	}{
		{"in the first file", func(t *testing.T, d string) {
			for _, path := range SpareFiles(d) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			writeFile(t, filepath.Join(filepath.Dir(d), ".principal.lockout.mdb.spare-123456789"), []byte("part of it"))
		}},
		{"in the second", func(t *testing.T, d string) {
			for _, path := range SpareFiles(d)[:2] {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			writeFile(t, filepath.Join(filepath.Dir(d), ".principal.mdb.spare-123456789"), []byte("part of it"))
		}},
		{"before the note", func(t *testing.T, d string) {
			if err := os.Remove(d + spareSuffix); err != nil {
				t.Fatal(err)
			}
		}},
		{"in the note", func(t *testing.T, d string) { writeFile(t, d+spareSuffix, []byte(`{"version":1,"modes":{"pri`)) }},
		{"in an empty note", func(t *testing.T, d string) { writeFile(t, d+spareSuffix, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := live(t, "changed")
			keepIn(t, d)
			c.do(t, d)
			place(t, d, "loaded") // to tell it from the copy
			if recoverIn(t, d) {
				t.Error("something was put back")
			}
			only(t, filepath.Dir(d), "principal.lockout.mdb", "principal.mdb")
			if !bytes.Equal(dumped(t, d), contents(t, vector("../kdb/dump.v7"))) {
				t.Error("another database")
			}
			keepIn(t, d)
			c.do(t, d)
			keepIn(t, d) // over the halves
			destroy(t, d)
			if !recoverIn(t, d) || !bytes.Equal(dumped(t, d), contents(t, vector("../kdb/dump.v7"))) {
				t.Error("it was not put back")
			}
		})
	}
}

func TestKeepNothing(t *testing.T) {
	d := filepath.Join(t.TempDir(), "principal")
	keepIn(t, d)
	if Spare(d) || recoverIn(t, d) {
		t.Error("there is a copy of nothing")
	}
	if n, err := KeepSize(t.Context(), d); n != 0 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	place(t, d, "changed")
	n, err := KeepSize(t.Context(), d)
	keepIn(t, d)
	var sum uint64
	for _, path := range SpareFiles(d)[1:] {
		st, serr := os.Stat(path)
		if serr != nil {
			t.Fatal(serr)
		}
		sum += uint64(st.Sys().(*syscall.Stat_t).Blocks) * 512
	}
	if n < 23*pageBytes || sum > n || n > sum+2*keepSlack || err != nil {
		t.Errorf("%d bytes were foretold, %d written, %v", n, sum, err)
	}
	if err := errors.Join(Forget(d), Forget(d)); err != nil {
		t.Error(err)
	}
	only(t, filepath.Dir(d), "principal.lockout.mdb", "principal.mdb")
	// A realm without lockout data, where disable_lockout came first.
	if err := os.Remove(lockoutFile(d)); err != nil {
		t.Fatal(err)
	}
	keepIn(t, d)
	if err := os.Remove(mainFile(d)); err != nil {
		t.Fatal(err)
	}
	if !recoverIn(t, d) {
		t.Error("it was not put back")
	}
	only(t, filepath.Dir(d), "principal.mdb")
	// What is damaged is not copied, and leaves nothing.
	writeFile(t, mainFile(d), make([]byte, 40960))
	if err := Keep(t.Context(), d); !errors.Is(err, ErrFormat) {
		t.Errorf("of zeros: %v", err)
	}
	only(t, filepath.Dir(d), "principal.mdb")
}

func TestView(t *testing.T) {
	for _, f := range fixtures {
		var out bytes.Buffer
		calls := 0
		err := View(t.Context(), vector(f.name), func(r *Realm) error {
			calls++
			needs, err := r.Needs()
			if p, q := r.Counts(); err != nil || needs.Principals != p || needs.Policies != q || needs.MainPages+needs.ChainPages > f.usage.Used {
				t.Errorf("%s: %+v, %v", f.name, needs, err)
			}
			return r.Dump(&out, dump.Header{Version: dump.Version7})
		})
		if err != nil || calls != 1 {
			t.Fatalf("%s: %d calls, %v", f.name, calls, err)
		}
		if f.name == "deep" && !bytes.Equal(out.Bytes(), contents(t, vector(f.dump))) {
			t.Error("another dump")
		}
	}
	for path, want := range map[string]error{"no-such-database": fs.ErrNotExist, "changed.lockout": ErrNoDatabase} {
		if err := View(t.Context(), vector(path), func(*Realm) error { return nil }); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	stop := errors.New("stop")
	if err := View(t.Context(), vector("changed"), func(*Realm) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// FuzzLock: no lock file makes the reader fail in another way than by an error.
func FuzzLock(f *testing.F) {
	f.Add(contents(f, vector("deep.mdb-lock")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 16<<10 {
			return
		}
		found, err := parseReaders(b)
		if err != nil && !errors.Is(err, errLockLayout) {
			t.Error(err)
		}
		if len(found) > len(b)/lockSlot {
			t.Errorf("%d readers in %d bytes", len(found), len(b))
		}
	})
}
