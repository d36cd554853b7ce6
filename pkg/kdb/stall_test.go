package kdb_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/child"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb"
)

// lock locks the database as somebody does who types lock into kadmin.local, and
// gives what ends that.
func (r *realm) lock(t *testing.T) (unlock func()) {
	t.Helper()
	path, err := krbtest.LookPath("kadmin.local")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = r.util.Env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	unlock = func() {
		in.Close()
		_ = cmd.Wait()
	}
	t.Cleanup(unlock)
	if _, err := io.WriteString(in, "lock\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !r.locked(t); {
		if time.Now().After(deadline) {
			t.Fatal("kadmin.local has not locked the database")
		}
	}
	return unlock
}

func (r *realm) locked(t *testing.T) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(r.dir, "principal.ok"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return errors.Is(osutil.TryLock(f, osutil.Shared), osutil.ErrLocked)
}

// kdb5_util would wait for ever for a database that is locked.
func TestDumpOfLockedDatabase(t *testing.T) {
	r := newRealm(t)
	file := filepath.Join(r.dir, "dump")
	unlock := r.lock(t)
	util := r.util
	util.Stall = 300 * time.Millisecond
	err := util.Dump(t.Context(), file)
	var (
		stalled *child.StalledError
		failed  *kdb.UtilError
	)
	if !errors.As(err, &stalled) || !errors.As(err, &failed) || failed.DumpComplete {
		t.Fatalf("%v", err)
	}
	if want := util.Path + ` dump terminated (by the signal "terminated"): it was stopped after 300ms without progress`; err.Error() != want {
		t.Errorf("%s, want %s", err, want)
	}
	unlock()
	if err := r.util.Dump(t.Context(), file); err != nil {
		t.Errorf("once it is unlocked: %v", err)
	}
}
