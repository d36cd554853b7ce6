package kdb

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// keep is how loads are made by default.
var keep = LoadOptions{Watch: WatchOptions{KeepLockout: true}}

// TestLoadKeepsAttributes: owner, group, mode and label are those of the files
// before.
func TestLoadKeepsAttributes(t *testing.T) {
	krbtest.RequireRoot(t, "give files away")
	r := newStagingRealmOf(t, true)
	label := []byte("system_u:object_r:krb5kdc_principal_t:s0\x00")
	for _, suffix := range []string{"", db2.PolicySuffix} {
		must(t, os.Chown(r.live+suffix, 1234, 5678))
		must(t, os.Chmod(r.live+suffix, 0o640))
		err := unix.Setxattr(r.live+suffix, seLinuxLabel, label, 0)
		if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) {
			t.Logf("labels are not tried: %v", err)
			label = nil
		} else {
			must(t, err)
		}
	}
	must(t, r.stage())
	for _, suffix := range []string{"", db2.PolicySuffix} {
		var st unix.Stat_t
		must(t, unix.Stat(r.live+suffix, &st))
		if st.Uid != 1234 || st.Gid != 5678 || st.Mode&0o7777 != 0o640 {
			t.Errorf("%s: owner %d, group %d, mode %o", r.live+suffix, st.Uid, st.Gid, st.Mode&0o7777)
		}
		got, err := labelOf(r.live + suffix)
		must(t, err)
		if label != nil && !bytes.Equal(got, label) {
			t.Errorf("%s: label %q, want %q", r.live+suffix, got, label)
		}
	}
	if got := r.text(); got != r.new {
		t.Error("the database is not the new one")
	}
}

// TestLoadFirst: the files of a first database are for their owner alone.
func TestLoadFirst(t *testing.T) {
	r := newStagingRealmOf(t, true)
	for _, suffix := range []string{"", db2.PolicySuffix, db2.PolicyLockSuffix, db2.LockSuffix} {
		must(t, os.Remove(r.live+suffix))
	}
	l, err := r.load(keep)
	must(t, err)
	if l.Kept != 0 || l.NotKept != nil || l.Lost != nil || l.SamePolicies || l.Left != nil {
		t.Errorf("%+v", l.Promotion)
	}
	for _, suffix := range []string{"", db2.PolicySuffix, db2.PolicyLockSuffix, db2.LockSuffix} {
		st, err := os.Stat(r.live + suffix)
		must(t, err)
		if st.Mode() != 0o600 {
			t.Errorf("%s: mode %v", r.live+suffix, st.Mode())
		}
	}
}

// TestLoadSamePolicies: the file of policies that are what they were stays, even if
// another program has made it.
func TestLoadSamePolicies(t *testing.T) {
	r := newStagingRealmOf(t, true)
	for i, want := range []bool{false, true, true} {
		before := inode(t, r.live+db2.PolicySuffix)
		l, err := r.load(keep)
		must(t, err)
		if same := before == inode(t, r.live+db2.PolicySuffix); l.SamePolicies != want || same != want {
			t.Errorf("load %d: the same policies: %v, the same file: %v, want %v", i, l.SamePolicies, same, want)
		}
		if got := r.text(); got != r.new {
			t.Errorf("load %d: the database is not the new one", i)
		}
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("load %d: left: %v", i, left)
		}
		if i == 1 { // by kdb5_util
			must(t, r.util.Load(context.Background(), filepath.Join(r.dir, "new")))
		}
	}
}

// TestLoadLost: what another program changes meanwhile is told, and not lost if
// that was asked for.
func TestLoadLost(t *testing.T) {
	r := newStagingRealmOf(t, true)
	for _, c := range []struct {
		name     string
		change   func()
		want     string
		replaced bool
	}{
		{"nothing", func() {}, "", false},
		{"a principal", func() { r.run("kadmin.local", "addprinc", "-randkey", "mallory") }, "(mallory@KDB.EXAMPLE)", false},
		{"a policy", func() { r.run("kadmin.local", "addpol", "third") }, "(policies)", false},
		{"gone", func() { r.run("kadmin.local", "delprinc", "mallory") }, "was changed by another program while", false},
		{"another load", func() { must(r.t, r.util.Load(context.Background(), filepath.Join(r.dir, "other"))) }, "replaced by another load", true},
	} {
		for _, refuse := range []bool{true, false} {
			t.Run(c.name, func(t *testing.T) {
				r.reset()
				if c.name == "gone" {
					r.run("kadmin.local", "addprinc", "-randkey", "mallory")
				}
				must(t, os.WriteFile(filepath.Join(r.dir, "other"), []byte(r.new), 0o600))
				o := keep
				o.Watch.RefuseLost = refuse
				changed := ""
				o.Accept = func(*dump.Report) error {
					c.change()
					changed = r.text()
					return nil
				}
				l, err := r.load(o)
				var lost *LostUpdateError
				switch {
				case c.want == "":
					if err != nil || l.Lost != nil {
						t.Fatalf("%v, %v", err, l.Lost)
					}
				case refuse && !errors.As(err, &lost):
					t.Fatalf("error %v", err)
				case !refuse && err != nil:
					t.Fatal(err)
				case !refuse:
					lost = l.Lost
				}
				if c.want != "" && (lost == nil || !strings.Contains(lost.Error(), c.want) || lost.Replaced != c.replaced) {
					t.Errorf("%v, want %q", lost, c.want)
				}
				want := r.new
				if refuse && c.want != "" {
					want = changed
				}
				if got := r.text(); got != want {
					t.Error("the database is another than it should be")
				}
			})
		}
	}
}

// TestLoadOverDamage: a load is the mend for a database that cannot be read.
func TestLoadOverDamage(t *testing.T) {
	r := newStagingRealmOf(t, true)
	whole, err := os.ReadFile(r.live)
	must(t, err)
	for _, damaged := range [][]byte{[]byte("no database"), make([]byte, 8192), whole[:5000]} {
		must(t, os.WriteFile(r.live, damaged, 0o600))
		l, err := r.load(keep)
		must(t, err)
		if l.NotKept == nil || !strings.Contains(l.NotKept.Error(), r.live) || l.Lost != nil {
			t.Errorf("%v, %v", l.NotKept, l.Lost)
		}
		if got := r.text(); got != r.new {
			t.Error("the database is not the new one")
		}
	}
}

// TestLoadRefuses: what is no good leaves all as it was, and nothing beside it.
func TestLoadRefuses(t *testing.T) {
	r := newStagingRealmOf(t, true)
	no := errors.New("no")
	for name, c := range map[string]struct {
		text   string
		accept func(*dump.Report) error
		want   func(error) bool
	}{
		"cut":      {r.new[:len(r.new)-20], nil, func(err error) bool { return errors.As(err, new(*dump.FaultError)) }},
		"empty":    {"", nil, func(err error) bool { return errors.Is(err, dump.ErrEmpty) }},
		"no K/M":   {strings.ReplaceAll(r.new, "\tK/M@", "\tK/N@"), nil, func(err error) bool { return errors.Is(err, dump.ErrNoKM) }},
		"accepted": {r.new, func(rep *dump.Report) error { return no }, func(err error) bool { return errors.Is(err, no) }},
	} {
		o := keep
		o.Accept = c.accept
		_, err := LoadDB2(context.Background(), r.live, strings.NewReader(c.text), o)
		if err == nil || !c.want(err) {
			t.Errorf("%s: error %v", name, err)
		}
		if got := r.text(); got != r.old {
			t.Errorf("%s: the database is not the old one", name)
		}
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("%s: left: %v", name, left)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(no)
	if _, err := LoadDB2(ctx, r.live, strings.NewReader(r.new), keep); !errors.Is(err, no) {
		t.Errorf("broken off: %v", err)
	}
	if left := r.leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestLoadClears: what a load that was killed has left goes at the next one, also
// by somebody who only looks.
func TestLoadClears(t *testing.T) {
	r := newStagingRealmOf(t, true)
	names := []string{"", db2.PolicySuffix, ".sort-123", db2.PolicySuffix + ".sort-4"}
	for _, recover := range []func() error{
		func() error { return RecoverStaging(context.Background(), r.live) },
		func() error { _, err := r.load(keep); return err },
	} {
		for _, name := range names {
			must(t, os.WriteFile(r.live+stagingSuffix+name, []byte("keys"), 0o600))
		}
		must(t, recover())
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// TestLoadWaits: for programs that have the database locked, as long as the caller
// does.
func TestLoadWaits(t *testing.T) {
	r := newStagingRealmOf(t, true)
	locks, err := db2.Lock(context.Background(), r.live, osutil.Shared)
	must(t, err)
	ready := make(chan struct{})
	o := keep
	o.Waiting = func() { close(ready) }
	done := make(chan error)
	go func() {
		_, err := r.load(o)
		done <- err
	}()
	<-ready
	before := inode(t, r.live)
	select {
	case err := <-done:
		t.Fatalf("it has not waited: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if inode(t, r.live) != before {
		t.Error("the database is not the old one")
	}
	locks.Unlock()
	must(t, <-done)
	if got := r.text(); got != r.new {
		t.Error("the database is not the new one")
	}
}

// TestLoadOfAnyOrder: the database is the same whatever order the dump has.
func TestLoadOfAnyOrder(t *testing.T) {
	r := newStagingRealmOf(t, true)
	lines := strings.SplitAfter(strings.TrimSuffix(r.new, "\n"), "\n")
	lines[len(lines)-1] += "\n"
	slices.Reverse(lines[1:])
	_, err := LoadDB2(context.Background(), r.live, strings.NewReader(strings.Join(lines, "")), keep)
	must(t, err)
	if got := r.text(); got != r.new {
		t.Error("the database is not the new one")
	}
}
