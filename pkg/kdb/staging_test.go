package kdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// stagingRealm has a live database and another dump with other principals and
// other policies, so that a mixture would be noticed.
type stagingRealm struct {
	t        *testing.T
	native   bool // loads by package db2, else by kdb5_util
	dir      string
	util     Util
	live     string
	old, new string // texts of dumps
}

func newStagingRealm(t *testing.T) *stagingRealm { return newStagingRealmOf(t, false) }

func newStagingRealmOf(t *testing.T, native bool) *stagingRealm {
	t.Helper()
	krbtest.Require(t, "kdb5_util", "kadmin.local")
	dir := t.TempDir()
	r := &stagingRealm{t: t, native: native, dir: dir, live: filepath.Join(dir, "principal")}
	path, err := krbtest.LookPath("kdb5_util")
	must(t, err)
	r.util = Util{Path: path, Realm: "KDB.EXAMPLE", Env: []string{
		"KRB5_CONFIG=" + filepath.Join(dir, "krb5.conf"), "KRB5_KDC_PROFILE=" + filepath.Join(dir, "kdc.conf"), "LC_ALL=C",
	}}
	must(t, os.WriteFile(filepath.Join(dir, "krb5.conf"), []byte("[libdefaults]\n default_realm = KDB.EXAMPLE\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "kdc.conf"), fmt.Appendf(nil, "[realms]\n KDB.EXAMPLE = {\n  database_name = %s\n  key_stash_file = %s/stash\n }\n", r.live, dir), 0o600))
	r.run("kdb5_util", "-P", "master", "create", "-s")
	r.run("kadmin.local", "addpol", "former")
	r.old = r.text()
	r.run("kadmin.local", "delpol", "former")
	r.run("kadmin.local", "addpol", "latter")
	r.run("kadmin.local", "addprinc", "-randkey", "-policy", "latter", "alice")
	r.new = r.text()
	must(t, os.WriteFile(filepath.Join(dir, "new"), []byte(r.new), 0o600))
	r.reset()
	return r
}

func (r *stagingRealm) run(program string, args ...string) {
	r.t.Helper()
	path, err := krbtest.LookPath(program)
	must(r.t, err)
	cmd := exec.Command(path, append([]string{"-r", "KDB.EXAMPLE"}, args...)...)
	cmd.Env = r.util.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

// text is the dump of the live database.
func (r *stagingRealm) text() string {
	r.t.Helper()
	file := filepath.Join(r.dir, "dump")
	must(r.t, r.util.Dump(context.Background(), file))
	data, err := os.ReadFile(file)
	must(r.t, err)
	return string(data)
}

// reset makes the old database the live one.
func (r *stagingRealm) reset() {
	r.t.Helper()
	file := filepath.Join(r.dir, "old")
	must(r.t, os.WriteFile(file, []byte(r.old), 0o600))
	must(r.t, r.util.Load(context.Background(), file))
}

// stage does what a load does.
func (r *stagingRealm) stage() error {
	ctx := context.Background()
	if r.native {
		_, err := r.load(LoadOptions{Watch: WatchOptions{KeepLockout: true}})
		return err
	}
	s, err := NewStaging(ctx, r.live)
	if err != nil {
		return err
	}
	defer s.Close()
	u := r.util
	u.Database = s.Database()
	if err := u.Load(ctx, filepath.Join(r.dir, "new")); err != nil {
		return err
	}
	if err := SyncDatabase(s.Database()); err != nil {
		return err
	}
	_, err = s.Promote(ctx)
	return err
}

// leftovers are the files that a Staging makes, but for its lock.
func (r *stagingRealm) leftovers() []string {
	all, err := filepath.Glob(r.live + ".kpropd*")
	must(r.t, err)
	var left []string
	for _, path := range all {
		if path != r.live+stagingLock {
			left = append(left, filepath.Base(path))
		}
	}
	return left
}

// load replaces the live database by the new one natively.
func (r *stagingRealm) load(o LoadOptions) (*Loaded, error) {
	f, err := os.Open(filepath.Join(r.dir, "new"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	o.Verify.Realm = "KDB.EXAMPLE"
	return LoadDB2(context.Background(), r.live, f, o)
}

// only makes the n-th step, from 1, fail or end in do. It counts the steps, of
// which some come in one order or another.
func only(n int, do func(op, path string) error) (steps *atomic.Int64) {
	steps = new(atomic.Int64)
	osutil.Fault = func(op, path string) error {
		if steps.Add(1) == int64(n) {
			return do(op, path)
		}
		return nil
	}
	return steps
}

// engines runs a test for both ways to make a database.
func engines(t *testing.T, test func(t *testing.T, native bool)) {
	t.Run("kdb5_util", func(t *testing.T) { test(t, false) })
	t.Run("db2", func(t *testing.T) { test(t, true) })
}

func TestStaging(t *testing.T) { engines(t, testStaging) }

func testStaging(t *testing.T, native bool) {
	r := newStagingRealmOf(t, native)
	locks := map[string]uint64{}
	for _, suffix := range []string{db2.LockSuffix, db2.PolicyLockSuffix} {
		locks[suffix] = inode(t, r.live+suffix)
	}
	must(t, r.stage())
	if got := r.text(); got != r.new {
		t.Error("the database is not the new one")
	}
	for suffix, want := range locks {
		if got := inode(t, r.live+suffix); got != want {
			t.Errorf("%s is another file: programs that run lock the former", suffix)
		}
	}
	if left := r.leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	r.run("kadmin.local", "addprinc", "-randkey", "-policy", "latter", "bob")
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Ino
}

// TestStagingFirst: without a live database.
func TestStagingFirst(t *testing.T) { engines(t, testStagingFirst) }

func testStagingFirst(t *testing.T, native bool) {
	r := newStagingRealmOf(t, native)
	for _, suffix := range []string{"", db2.PolicySuffix, db2.PolicyLockSuffix, db2.LockSuffix} {
		must(t, os.Remove(r.live+suffix))
	}
	must(t, r.stage())
	if got := r.text(); got != r.new {
		t.Error("the database is not the new one")
	}
}

// TestStagingFails: a step that fails leaves the old database, or the new one
// if only its durability is in doubt.
func TestStagingFails(t *testing.T) { engines(t, testStagingFails) }

func testStagingFails(t *testing.T, native bool) {
	r := newStagingRealmOf(t, native)
	t.Cleanup(func() { osutil.Fault = nil })
	for _, no := range []unix.Errno{unix.EIO, unix.ENOSPC} {
		for n := 1; ; n++ {
			failed := ""
			count := only(n, func(op, path string) error { failed = op + " " + filepath.Base(path); return no })
			err := r.stage()
			osutil.Fault = nil
			if int(count.Load()) < n {
				const fewest = 15
				if err != nil || n < fewest {
					t.Errorf("%d steps: %v", n-1, err)
				}
				r.reset()
				break
			}
			want := r.new
			if err != nil && !errors.As(err, new(*NotDurableError)) {
				want = r.old
				if !errors.Is(err, no) {
					t.Errorf("%s: %v, want %v", failed, err, no)
				}
			}
			if got := r.text(); got != want {
				t.Errorf("%s failed, error %v: the database is the other one", failed, err)
			}
			must(t, RecoverStaging(context.Background(), r.live))
			if left := r.leftovers(); len(left) > 0 {
				t.Errorf("%s failed: left %v", failed, left)
			}
			r.reset()
		}
	}
}

const stagerEnv = "KDB_TEST_STAGER"

// stageAndDie is the process that TestStagingKilled starts.
func stageAndDie(dir string) {
	n, _ := strconv.Atoi(os.Getenv("KILL_AT"))
	only(n, func(string, string) error {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		time.Sleep(time.Hour) // until it arrives
		return nil
	})
	r := &stagingRealm{dir: dir, native: os.Getenv("NATIVE") == "true", live: filepath.Join(dir, "principal")}
	r.util = Util{Path: os.Getenv("KDB5_UTIL"), Realm: "KDB.EXAMPLE"}
	if err := r.stage(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestStagingKilled: whichever step it is killed before, the database is the
// old or the new one at the latest when the next one has begun, and a promotion
// that has begun is finished.
func TestStagingKilled(t *testing.T) { engines(t, testStagingKilled) }

func testStagingKilled(t *testing.T, native bool) {
	r := newStagingRealmOf(t, native)
	begun := false
	for n := 1; ; n++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(r.util.Env, stagerEnv+"="+r.dir, "KDB5_UTIL="+r.util.Path, "KILL_AT="+strconv.Itoa(n), "NATIVE="+strconv.FormatBool(native))
		out, err := cmd.CombinedOutput()
		if err == nil {
			if n < 20 || !begun {
				t.Errorf("only %d steps; a promotion was broken off: %v", n, begun)
			}
			return
		}
		if cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("step %d: %v\n%s", n, err, out)
		}
		half := exists(r.live+stagedPolicies) && !exists(r.live+stagingSuffix)
		begun = begun || half
		must(t, RecoverStaging(context.Background(), r.live))
		switch got := r.text(); {
		case got != r.old && got != r.new:
			t.Errorf("killed before step %d: the database is torn", n)
		case half && got != r.new:
			t.Errorf("killed before step %d: the promotion was not finished", n)
		}
		if left := r.leftovers(); len(left) > 0 {
			t.Errorf("killed before step %d: left %v", n, left)
		}
		r.reset()
	}
}

// TestStagingAfterAnotherLoad: a promotion that was broken off is not finished
// when a later load, by MIT's program, has replaced the policies.
func TestStagingAfterAnotherLoad(t *testing.T) {
	r := newStagingRealm(t)
	must(t, os.WriteFile(r.live+stagedPolicies, []byte("of an earlier load"), 0o600))
	past := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(r.live+stagedPolicies, past, past))
	must(t, RecoverStaging(context.Background(), r.live))
	if got := r.text(); got != r.old {
		t.Error("the database has changed")
	}
	if left := r.leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestStagingExcludes: one at a time; and a program that holds the database is
// waited for.
func TestStagingExcludes(t *testing.T) {
	r := newStagingRealm(t)
	first, err := NewStaging(context.Background(), r.live)
	must(t, err)
	if _, err := NewStaging(context.Background(), r.live); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v, want ErrLocked", err)
	}
	must(t, RecoverStaging(context.Background(), r.live))
	must(t, first.Close())
	must(t, first.Close())

	for _, suffix := range []string{db2.LockSuffix, db2.PolicyLockSuffix} {
		reader, err := os.Open(r.live + suffix)
		must(t, err)
		must(t, osutil.TryLock(reader, osutil.Shared))
		ctx, cancel := context.WithCancelCause(context.Background())
		s, err := NewStaging(ctx, r.live)
		must(t, err)
		for _, name := range []string{"", db2.PolicySuffix} {
			must(t, os.WriteFile(s.Database()+name, nil, 0o600))
		}
		time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("enough")) })
		if _, err := s.Promote(ctx); err == nil || !strings.Contains(err.Error(), r.live+suffix) || !strings.Contains(err.Error(), "enough") {
			t.Errorf("while %s is locked: %v", suffix, err)
		}
		must(t, s.Close())
		reader.Close()
	}
	if got := r.text(); got != r.old {
		t.Error("the database has changed")
	}
}

// TestStagingWatchesLocked: a program that holds the database from before the load
// is waited for no longer than ctx says, though the first look has no end of its own.
func TestStagingWatchesLocked(t *testing.T) {
	r := newStagingRealm(t)
	writer, err := os.OpenFile(r.live+db2.LockSuffix, os.O_RDWR, 0)
	must(t, err)
	defer writer.Close()
	must(t, osutil.TryLock(writer, osutil.Exclusive))
	s, err := NewStaging(context.Background(), r.live)
	must(t, err)
	s.Watch(context.Background(), WatchOptions{KeepLockout: true})
	for _, name := range []string{"", db2.PolicySuffix} {
		must(t, os.WriteFile(s.Database()+name, nil, 0o600))
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	promoted := make(chan error, 1)
	go func() {
		_, err := s.Promote(ctx)
		promoted <- err
	}()
	select {
	case err := <-promoted:
		if err == nil || !strings.Contains(err.Error(), r.live) || !strings.Contains(err.Error(), "enough") {
			t.Errorf("%v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits though its context has ended")
	}
	must(t, s.Close())
	if left := r.leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestStagingWithoutPolicyLock: what a broken off load -update has left.
func TestStagingWithoutPolicyLock(t *testing.T) {
	r := newStagingRealm(t)
	must(t, os.Remove(r.live+db2.PolicyLockSuffix))
	err := r.stage()
	if err == nil || !strings.Contains(err.Error(), "install -m 600 /dev/null "+r.live+db2.PolicyLockSuffix) {
		t.Errorf("%v", err)
	}
	must(t, os.WriteFile(r.live+db2.PolicyLockSuffix, nil, 0o600))
	if got := r.text(); got != r.old {
		t.Error("the database has changed")
	}
	must(t, r.stage())
}
