package lmdb

import (
	"bytes"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/osutil"
)

// faultAt lets step number at, from now on, fail; it tells whether it came to
// that.
func faultAt(t *testing.T, at int) (reached func() bool) {
	t.Helper()
	steps := 0
	osutil.Fault = func(op, path string) error {
		if steps++; steps == at {
			return syscall.EIO
		}
		return nil
	}
	t.Cleanup(func() { osutil.Fault = nil })
	return func() bool {
		osutil.Fault = nil
		return steps >= at
	}
}

// TestFaults: whatever step of Keep or Recover fails, the database is there, or a
// copy that the next Recover puts back.
func TestFaults(t *testing.T) {
	want := contents(t, vector("changed.dump"))
	whole := func(t *testing.T, at int, d string) {
		t.Helper()
		recoverIn(t, d)
		if !bytes.Equal(dumped(t, d), want) {
			t.Errorf("step %d: another database", at)
		}
		asPlaced(t, d)
		only(t, filepath.Dir(d), "principal.lockout.mdb", "principal.mdb")
	}
	for _, harm := range []bool{false, true} {
		at := 1
		for ; ; at++ {
			d := live(t, "changed")
			reached := faultAt(t, at)
			err := Keep(t.Context(), d)
			if err == nil && harm {
				destroy(t, d)
			}
			if err == nil {
				_, err = Recover(t.Context(), d)
			}
			if err == nil {
				err = Forget(d)
			}
			if !reached() {
				break
			}
			if err == nil {
				t.Errorf("step %d: no error", at)
			}
			whole(t, at, d)
		}
		if least := 12; at < least {
			t.Errorf("only %d steps", at)
		}
		t.Logf("%d steps", at-1)
	}
}
