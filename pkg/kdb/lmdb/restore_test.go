package lmdb

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// kept makes copies of the fixture changed.
func kept(t *testing.T) (main, lockout string) {
	t.Helper()
	dir := t.TempDir()
	main, lockout = filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for dst, src := range map[string]string{main: "changed.mdb", lockout: "changed.lockout.mdb"} {
		if _, err := Copy(t.Context(), dst, vector(src)); err != nil {
			t.Fatal(err)
		}
	}
	return main, lockout
}

func dumped(t *testing.T, d string) []byte {
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

func TestRestore(t *testing.T) {
	main, lockout := kept(t)
	want := contents(t, vector("changed.dump"))

	// After a failed load nothing is there.
	d := filepath.Join(t.TempDir(), "principal")
	if err := Restore(t.Context(), d, main, lockout); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dumped(t, d), want) {
		t.Error("another database")
	}
	only(t, filepath.Dir(d), "principal.lockout.mdb", "principal.mdb")

	// Over a damaged database with lock files that nobody uses.
	for _, path := range Files(d) {
		if err := os.WriteFile(path, make([]byte, 40960), 0o600); err != nil {
			t.Fatal(err)
		}
		lockOf(t, path, 7, 1234)
	}
	if err := Restore(t.Context(), d, main, lockout); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(dumped(t, d), want) {
		t.Error("another database")
	}
	lock := contents(t, lockPath(mainFile(d)))
	if len(lock) != 8192 || le.Uint64(lock[lockTxn:]) != 64 || le.Uint32(lock[lockCount:]) != 0 || !knownLayout(lock) {
		t.Errorf("lock file of %d bytes: transaction %d, %d readers", len(lock), le.Uint64(lock[lockTxn:]), le.Uint32(lock[lockCount:]))
	}
}

func TestRestoreRefused(t *testing.T) {
	main, lockout := kept(t)
	d := filepath.Join(t.TempDir(), "principal")
	if err := os.WriteFile(mainFile(d), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := lockOf(t, mainFile(d), idleReaderTxn, 1234)
	holdByte(t, f, 0)
	if err := Restore(t.Context(), d, main, lockout); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	f.Close()
	if err := os.WriteFile(lockPath(mainFile(d)), make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), d, main, lockout); !errors.Is(err, errLockLayout) {
		t.Errorf("a lock file of another kind: %v", err)
	}
	if err := os.Remove(lockPath(mainFile(d))); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), d, filepath.Join(t.TempDir(), "gone"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no copy: %v", err)
	}
	if got := contents(t, mainFile(d)); string(got) != "old" {
		t.Error("the database was touched")
	}
	only(t, filepath.Dir(d), "principal.mdb")
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
