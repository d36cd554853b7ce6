package db2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture copies a database of testdata/kdb, with lock files.
func fixture(t *testing.T, principals string) (database string) {
	t.Helper()
	const from = "../../../testdata/kdb/"
	database = filepath.Join(t.TempDir(), "principal")
	for _, name := range [][2]string{{principals, ""}, {"principal.kadm5", PolicySuffix}, {"principal.ok", LockSuffix}, {"principal.kadm5.lock", PolicyLockSuffix}} {
		b, err := os.ReadFile(from + name[0])
		must(t, err)
		must(t, os.WriteFile(database+name[1], b, 0o600))
	}
	return database
}

var modes = []SnapshotMode{SnapshotAuto, SnapshotMemory, SnapshotCopy, SnapshotLocked}

// TestSnapshot: every mode gives the bytes that the files had, whatever is done to
// them afterwards, and holds the locks no longer than it says.
func TestSnapshot(t *testing.T) {
	for _, mode := range modes {
		for _, size := range []int{8192, smallImage + 5*4096, 3*smallImage + 4096} {
			database := fixture(t, "principal")
			want := bytes.Repeat([]byte("0123456789abcdef"), size/16)
			must(t, os.WriteFile(database, want, 0o400))
			must(t, os.Chmod(database+LockSuffix, 0o400))
			must(t, os.Chmod(database+PolicyLockSuffix, 0o400))
			policies, err := os.ReadFile(database + PolicySuffix)
			must(t, err)
			s, err := TakeSnapshot(context.Background(), database, SnapshotOptions{Mode: mode})
			must(t, err)
			free := lockIsFree(t, database)
			if free == (mode == SnapshotLocked) {
				t.Errorf("%v, %d bytes: the lock is free: %v", mode, size, free)
			}
			if free {
				must(t, os.Chmod(database, 0o600))
				must(t, os.WriteFile(database, []byte("something else"), 0))
			}
			for image, want := range map[*Image][]byte{s.Principals: want, s.Policies: policies} {
				got := make([]byte, image.Size())
				if n, err := image.ReadAt(got, 0); err != nil && err != io.EOF || n != len(want) || !bytes.Equal(got, want) {
					t.Errorf("%v, %s: %d bytes, %v, want the %d that there were", mode, image.Path(), n, err, len(want))
				}
				if n, err := image.ReadAt(got[:8], image.Size()-4); n != 4 || err != io.EOF {
					t.Errorf("%v, %s: at the end: %d, %v", mode, image.Path(), n, err)
				}
			}
			must(t, s.Close())
			if !lockIsFree(t, database) || s.Held <= 0 {
				t.Errorf("%v: locked after Close, or held for %v", mode, s.Held)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(database), "*"))
			must(t, err)
			if len(left) != 4 {
				t.Errorf("%v: left %v", mode, left)
			}
		}
	}
}

func lockIsFree(t *testing.T, database string) bool {
	t.Helper()
	must(t, os.Chmod(database+LockSuffix, 0o600))
	f, err := os.OpenFile(database+LockSuffix, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	err = osutil.TryLock(f, osutil.Exclusive)
	if err != nil && !errors.Is(err, osutil.ErrLocked) {
		t.Fatal(err)
	}
	return err == nil
}

// TestSnapshotOfWhatChanged: between the first look and the lock, by a load, or in
// place.
func TestSnapshotOfWhatChanged(t *testing.T) {
	first := bytes.Repeat([]byte("0123456789"), smallImage/4)
	changed := bytes.Clone(first)
	for at := 100; at < len(changed); at += 1 << 20 {
		changed[at]++
	}
	changed[len(changed)-1]++
	for _, mode := range modes[1:] {
		for _, want := range [][]byte{changed, append(bytes.Clone(first), first...), changed[:len(changed)/2], changed[:8192]} {
			database := fixture(t, "principal")
			must(t, os.WriteFile(database, first, 0o600))
			osutil.Fault = func(op, path string) error {
				if op != "lock" || path != database+LockSuffix {
					return nil
				}
				return os.WriteFile(database, want, 0)
			}
			t.Cleanup(func() { osutil.Fault = nil })
			s, err := TakeSnapshot(context.Background(), database, SnapshotOptions{Mode: mode})
			must(t, err)
			got := make([]byte, s.Principals.Size())
			if _, err := s.Principals.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v: %d bytes, not the %d that there were, or %v", mode, len(got), len(want), err)
			}
			must(t, s.Close())
		}

		database := fixture(t, "principal")
		want := bytes.Repeat([]byte("x"), 3*smallImage)
		osutil.Fault = func(op, path string) error {
			if op == "lock" && path == database+LockSuffix {
				must(t, os.WriteFile(database+".new", want, 0o600))
				must(t, os.Rename(database+".new", database))
			}
			return nil
		}
		t.Cleanup(func() { osutil.Fault = nil })
		s, err := TakeSnapshot(context.Background(), database, SnapshotOptions{Mode: mode})
		must(t, err)
		got := make([]byte, s.Principals.Size())
		if _, err := s.Principals.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes, %v", mode, len(got), err)
		}
		must(t, s.Close())
	}
}

func TestRoomForSnapshot(t *testing.T) {
	dir := t.TempDir()
	free, err := osutil.FreeBytes(dir)
	must(t, err)
	for _, tt := range []struct {
		size, limit int64
		dir         string
		want        SnapshotMode
	}{
		{smallImage, 1, dir, SnapshotMemory},
		{1 << 30, 1 << 30, dir, SnapshotMemory},
		{8 << 20, 8<<20 - 1, dir, SnapshotCopy},
		{free / 2, 1, dir, SnapshotLocked},
		{8 << 20, 1, filepath.Join(dir, "none"), SnapshotLocked},
		{1 << 60, 0, dir, SnapshotLocked},
		{8 << 20, 0, dir, SnapshotMemory},
	} {
		opts := SnapshotOptions{MemoryLimit: tt.limit, TempDir: tt.dir}
		if got := roomFor(tt.size, opts, "/d"); got != tt.want {
			t.Errorf("%d bytes, %d in memory, %s: %v, want %v", tt.size, tt.limit, tt.dir, got, tt.want)
		}
	}
}

// TestSnapshotWithoutMemory: a kernel that does not promise what is free.
func TestSnapshotWithoutMemory(t *testing.T) {
	database := fixture(t, "principal")
	want := bytes.Repeat([]byte("x"), 2*smallImage)
	must(t, os.WriteFile(database, want, 0o600))
	osutil.Fault = func(op, path string) error {
		if op == "mmap" && path == database {
			return unix.ENOMEM
		}
		return nil
	}
	t.Cleanup(func() { osutil.Fault = nil })
	s, err := TakeSnapshot(context.Background(), database, SnapshotOptions{})
	must(t, err)
	defer s.Close()
	got := make([]byte, s.Principals.Size())
	if _, err := s.Principals.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) || s.Mode != SnapshotCopy {
		t.Errorf("%v: %d bytes, %v", s.Mode, len(got), err)
	}
	if _, err := TakeSnapshot(context.Background(), database, SnapshotOptions{Mode: SnapshotMemory}); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("where memory is asked for: %v", err)
	}
}

// TestLock: MIT's order, and an end of the waiting.
func TestLock(t *testing.T) {
	database := fixture(t, "principal")
	var order []string
	osutil.Fault = func(_, path string) error {
		order = append(order, path)
		return nil
	}
	t.Cleanup(func() { osutil.Fault = nil })
	a, err := Lock(context.Background(), database, osutil.Shared)
	must(t, err)
	b, err := Lock(context.Background(), database, osutil.Shared)
	must(t, err)
	if want := []string{database + LockSuffix, database + PolicyLockSuffix}; strings.Join(order[:2], " ") != strings.Join(want, " ") {
		t.Errorf("locked in the order %v", order)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(30*time.Millisecond, func() { cancel(errors.New("enough")) })
	_, err = Lock(ctx, database, osutil.Exclusive)
	if err == nil || !strings.Contains(err.Error(), "enough") || !strings.Contains(err.Error(), database+LockSuffix) {
		t.Errorf("beside a shared lock: %v", err)
	}
	if a.Unlock() <= 0 || b.Unlock() <= 0 || a.Unlock() != 0 {
		t.Error("held for no time, or twice")
	}
	c, err := Lock(context.Background(), database, osutil.Exclusive)
	must(t, err)
	c.Unlock()
}

// TestLockWithoutFile: the mend of a file that is missing is in the error, and a
// reader makes none.
func TestLockWithoutFile(t *testing.T) {
	for suffix, hint := range map[string]string{LockSuffix: "no program of MIT's opens", PolicyLockSuffix: "load -update"} {
		database := fixture(t, "principal")
		must(t, os.Remove(database+suffix))
		_, err := TakeSnapshot(context.Background(), database, SnapshotOptions{})
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "install -m 600 /dev/null "+database+suffix) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", suffix, err)
		}
		if _, err := os.Stat(database + suffix); err == nil {
			t.Errorf("%s was made", suffix)
		}
	}
}
