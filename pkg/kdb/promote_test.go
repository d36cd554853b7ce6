package kdb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// prepared is a staged database that was prepared; then somebody has logged in.
func (r *stagingRealm) prepared() *Staging {
	r.t.Helper()
	ctx := context.Background()
	s, err := NewStaging(ctx, r.live)
	must(r.t, err)
	r.t.Cleanup(func() { s.Close() })
	s.Watch(ctx, keep.Watch)
	b, err := db2.NewBuilder(s.Database(), db2.BuildOptions{})
	must(r.t, err)
	_, err = b.Write([]byte(r.new))
	must(r.t, err)
	_, err = b.Finish()
	must(r.t, err)
	must(r.t, s.Prepare(ctx))
	r.login("K/M@KDB.EXAMPLE", 77)
	return s
}

// login sets the last success of a principal of the live database.
func (r *stagingRealm) login(name string, at byte) {
	r.t.Helper()
	text, err := os.ReadFile(r.live)
	must(r.t, err)
	f, err := db2.OpenBytes(text, r.live)
	must(r.t, err)
	record, err := f.Search([]byte(name + "\x00"))
	must(r.t, err)
	const lastSuccess = 22
	record[lastSuccess] = at // of text as well
	must(r.t, os.WriteFile(r.live, text, 0o600))
}

// TestPromoteIsDurable: what was changed under the locks, and the names, go to the
// disk behind the renames; and MIT's mark of a change moves on.
func TestPromoteIsDurable(t *testing.T) {
	r := newStagingRealmOf(t, true)
	s := r.prepared()
	long := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(r.live+db2.LockSuffix, long, long))
	var steps []string
	osutil.Fault = func(op, path string) error {
		steps = append(steps, op+" "+filepath.Base(path))
		return nil
	}
	p, err := s.Promote(context.Background())
	osutil.Fault = nil
	must(t, err)
	if p.Kept != 1 {
		t.Errorf("the lockout data of %d principals were kept", p.Kept)
	}
	i := slices.Index(steps, "rename principal")
	want := []string{"rename principal.kadm5", "fsync principal.kpropd", "fsync " + filepath.Base(r.dir)}
	if i < 0 || !slices.Equal(steps[i+1:], want) {
		t.Errorf("steps: %q, want at last %q", steps, want)
	}
	st, err := os.Stat(r.live + db2.LockSuffix)
	must(t, err)
	if time.Since(st.ModTime()) > time.Minute {
		t.Errorf("%s is of %v", st.Name(), st.ModTime())
	}
}

// TestPromoteNotDurable: a disk that fails behind the renames is told, and that the
// new database is live.
func TestPromoteNotDurable(t *testing.T) {
	for _, last := range []string{"principal.kpropd", ""} {
		r := newStagingRealmOf(t, true)
		if last == "" {
			last = filepath.Base(r.dir)
		}
		s := r.prepared()
		renamed := false
		osutil.Fault = func(op, path string) error {
			renamed = renamed || op == "rename"
			if renamed && op == "fsync" && filepath.Base(path) == last {
				return errors.New("the disk is gone")
			}
			return nil
		}
		_, err := s.Promote(context.Background())
		osutil.Fault = nil
		if bad := new(NotDurableError); !errors.As(err, &bad) {
			t.Errorf("fsync of %s fails: %v", last, err)
		}
	}
}
