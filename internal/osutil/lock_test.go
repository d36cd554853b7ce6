package osutil

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestLocksConflictBetweenDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	a, b := open(), open()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(TryLock(a, Exclusive))
	if err := TryLock(b, Shared); !errors.Is(err, ErrLocked) {
		t.Fatalf("shared lock beside an exclusive one: %v, want ErrLocked", err)
	}
	must(TryLock(a, Shared))
	must(TryLock(b, Shared))
	if err := TryLock(a, Exclusive); !errors.Is(err, ErrLocked) {
		t.Fatalf("upgrade beside a shared lock: %v, want ErrLocked", err)
	}
	must(TryLock(b, Unlock))
	must(Lock(a, Exclusive))
	must(a.Close())
	must(TryLock(b, Exclusive))
}
