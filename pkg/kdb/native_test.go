package kdb

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

const vectors = "../../testdata/kdb/"

// nativeFixture copies the recorded database into a directory of its own, and
// puts an old dump there.
func nativeFixture(t *testing.T) (n *Native, file string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"principal", "principal.kadm5", "principal.ok", "principal.kadm5.lock"} {
		b, err := os.ReadFile(vectors + name)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	file = filepath.Join(dir, "dump")
	must(t, os.WriteFile(file, []byte("old"), 0o600))
	must(t, os.WriteFile(file+okSuffix, []byte{0}, 0o600))
	return &Native{Library: "db2", Database: filepath.Join(dir, "principal")}, file
}

// state tells whether the dump is "old" or "new", with "unfinished" if its mark is
// empty, and what else is beside it.
func dumpState(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	want, err := os.ReadFile(vectors + "dump.v7")
	must(t, err)
	state := "torn"
	switch {
	case string(text) == "old":
		state = "old"
	case bytes.Equal(text, want):
		state = "new"
	}
	st, err := os.Stat(file + okSuffix)
	must(t, err)
	if st.Size() == 0 {
		state += " unfinished"
	}
	temps, err := filepath.Glob(file + "-*")
	must(t, err)
	for range temps {
		state += " temporary"
	}
	return state
}

func TestNativeDump(t *testing.T) {
	n, file := nativeFixture(t)
	must(t, os.WriteFile(file+"-aB3xYz", []byte("left by one that was killed"), 0o600))
	defer unix.Umask(unix.Umask(0))
	d, err := n.Dump(context.Background(), file)
	must(t, err)
	if got := dumpState(t, file); got != "new" || d.Report.Principals != 45 || d.Report.Policies != 5 || d.Verdict != nil {
		t.Errorf("the dump is %s, %v, %v", got, d.Report, d.Verdict)
	}
	open, err := OpenDump(file)
	must(t, err)
	open.Close()
	for _, path := range []string{file, file + okSuffix} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", path, st.Mode(), err)
		}
	}
	var text bytes.Buffer
	_, err = n.Write(context.Background(), &text)
	must(t, err)
	if want, _ := os.ReadFile(file); !bytes.Equal(text.Bytes(), want) {
		t.Error("Write gives something else")
	}
}

// TestNativeDumpFails: at each step. The former dump stays until there is a
// complete one, and no copy of the keys is left.
func TestNativeDumpFails(t *testing.T) {
	defer func() { osutil.Fault = nil }()
	broken := errors.New("broken")
	for n := 1; ; n++ {
		native, file := nativeFixture(t)
		failed := ""
		steps := only(n, func(op, path string) error {
			failed = op + " " + strings.TrimPrefix(path, filepath.Dir(file)+"/")
			return broken
		})
		_, err := native.Dump(context.Background(), file)
		osutil.Fault = nil
		if int(steps.Load()) < n {
			if err != nil || n < 6 {
				t.Errorf("%d steps: %v", n-1, err)
			}
			return
		}
		got := dumpState(t, file)
		if !errors.Is(err, broken) || got != "old unfinished" && got != "new unfinished" && (got != "old" || n > 1) {
			t.Errorf("after a failed %s: %s, %v", failed, got, err)
		}
	}
}

// TestNativeDumpPanics: a fault of the reader is an error, which leaves the former
// dump, the service that asked for another, and kdb5_util's chance to make it.
func TestNativeDumpPanics(t *testing.T) {
	n, file := nativeFixture(t)
	osutil.Fault = func(op, path string) error {
		if path == n.Database {
			panic("a fault")
		}
		return nil
	}
	defer func() { osutil.Fault = nil }()
	_, err := n.Dump(context.Background(), file)
	if !errors.As(err, new(*db2.PanicError)) || !strings.Contains(err.Error(), n.Database+": panic: a fault (") || !strings.Contains(err.Error(), "kdb5_util dump") {
		t.Errorf("dump with a panic: %v", err)
	}
	if got := dumpState(t, file); got != "old unfinished" {
		t.Errorf("after a panic: %s", got)
	}
}

// TestNativeDumpIsDurable: the dump before it gets its name, and the name before
// .dump_ok says that it is complete.
func TestNativeDumpIsDurable(t *testing.T) {
	native, file := nativeFixture(t)
	var steps []string
	osutil.Fault = func(op, path string) error {
		if op != "fsync" && op != "rename" {
			return nil
		}
		name := filepath.Base(path)
		if strings.HasPrefix(name, filepath.Base(file)+"-") {
			name = "temporary"
		}
		steps = append(steps, op+" "+name)
		if path == filepath.Dir(file) && dumpState(t, file) != "new unfinished" {
			t.Errorf("before the name is durable: %s", dumpState(t, file))
		}
		return nil
	}
	_, err := native.Dump(context.Background(), file)
	osutil.Fault = nil
	must(t, err)
	want := []string{"fsync temporary", "rename " + filepath.Base(file), "fsync " + filepath.Base(filepath.Dir(file))}
	if !slices.Equal(steps, want) {
		t.Errorf("%q, want %q", steps, want)
	}
}

// TestNativeDumpOfDamaged: no dump is better than one with a hole, and the error
// tells where.
func TestNativeDumpOfDamaged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(n *Native)
		want   []string
	}{
		{"record", func(n *Native) { patch(t, n.Database, "\x0d\x00bob@KDB.TEST", "\x0d\x00bub@KDB.TEST") }, []string{": page ", `record "bob@KDB.TEST"`, "kprop dbcheck"}},
		{"no database", func(n *Native) { must(t, os.WriteFile(n.Database, bytes.Repeat([]byte("x"), 8192), 0o600)) }, []string{n("principal"), "not a DB2 database file", "kprop dbcheck"}},
		{"policy", func(n *Native) { patch(t, n.Database+db2.PolicySuffix, "\x12\x34\x5d\x01", "\x12\x34\x5d\x09") }, []string{"principal.kadm5", "record", "version", "kprop dbcheck"}},
		{"link", func(n *Native) { breakLink(t, n.Database) }, []string{": page ", "in the tree page", "kprop dbcheck"}},
		{"empty", func(n *Native) { must(t, os.WriteFile(n.Database, nil, 0o600)) }, []string{"is not that of a realm"}},
		{"missing", func(n *Native) { must(t, os.Remove(n.Database)) }, []string{"principal: no such file"}},
		{"policies missing", func(n *Native) { must(t, os.Remove(n.Database+db2.PolicySuffix)) }, []string{"principal.kadm5: no such file"}},
		{"lock missing", func(n *Native) { must(t, os.Remove(n.Database+db2.PolicyLockSuffix)) }, []string{"load -update", "install -m 600 /dev/null"}},
		{"LDAP", func(n *Native) { n.Library = "kldap" }, []string{"replicate the directory server"}},
		{"other", func(n *Native) { n.Library = "mine" }, []string{"db_library = mine is not known", "kdb5_util dump"}},
	} {
		native, file := nativeFixture(t)
		tt.damage(native)
		_, err := native.Dump(context.Background(), file)
		if err == nil {
			t.Errorf("%s: there was a dump", tt.name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in: %v", tt.name, want, err)
			}
		}
		if got := dumpState(t, file); got != "old unfinished" {
			t.Errorf("%s: the dump is %s", tt.name, got)
		}
	}
}

func n(name string) string { return "/" + name + ":" }

// patch replaces a text in a file, wherever it is.
func patch(t *testing.T, path, old, with string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Contains(b, []byte(old)) || len(old) != len(with) {
		t.Fatalf("%q is not in %s", old, path)
	}
	must(t, os.WriteFile(path, bytes.ReplaceAll(b, []byte(old), []byte(with)), 0o600))
}

// breakLink makes the links leave out a leaf, in both directions.
func breakLink(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	const size, prev, next, flags, leaf = 4096, 4, 8, 12, 2
	u32 := func(page uint32, at int) *[4]byte { return (*[4]byte)(b[int(page)*size+at:]) }
	get := func(page uint32, at int) uint32 { v := u32(page, at); return uint32(v[0]) | uint32(v[1])<<8 }
	for page := uint32(2); int(page) < len(b)/size; page++ {
		before, after := get(page, prev), get(page, next)
		if get(page, flags) != leaf || before == 0 || after == 0 || get(before, next) != page || get(after, prev) != page {
			continue
		}
		*u32(before, next), *u32(after, prev) = *u32(page, next), *u32(page, prev)
		must(t, os.WriteFile(path, b, 0o600))
		return
	}
	t.Fatal("there are no three leaves")
}

// TestNativeDumpVerdict: what kdb5_util dumps too is dumped, and the verdict tells
// that nobody should load it.
func TestNativeDumpVerdict(t *testing.T) {
	native, file := nativeFixture(t)
	native.Verify.Realm = "OTHER.TEST"
	if _, err := native.Dump(context.Background(), file); !errors.Is(err, dump.ErrWrongRealm) {
		t.Errorf("of another realm: %v", err)
	}
	native, file = nativeFixture(t)
	patch(t, native.Database, "krbtgt/KDB.TEST@KDB.TEST\x00", "krbtgt/KDB.TESS@KDB.TEST\x00")
	d, err := native.Dump(context.Background(), file)
	if err != nil || !errors.Is(d.Verdict, dump.ErrNoKrbtgt) {
		t.Errorf("without krbtgt: %v, %v", d, err)
	}
}

// TestNativeDumpWaits: for programs that write the database, or that dump to the
// same file.
func TestNativeDumpWaits(t *testing.T) {
	for _, suffix := range []string{"principal" + db2.LockSuffix, "principal" + db2.PolicyLockSuffix, "dump" + okSuffix} {
		native, file := nativeFixture(t)
		held, err := os.OpenFile(filepath.Join(filepath.Dir(file), suffix), os.O_RDWR, 0)
		must(t, err)
		must(t, osutil.TryLock(held, osutil.Exclusive))
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(30*time.Millisecond, func() { cancel(errors.New("enough")) })
		_, err = native.Dump(ctx, file)
		if err == nil || !strings.Contains(err.Error(), suffix) || !strings.Contains(err.Error(), "enough") {
			t.Errorf("%s: %v", suffix, err)
		}
		done := make(chan error)
		go func() {
			_, err := native.Dump(context.Background(), file)
			done <- err
		}()
		held.Close()
		must(t, <-done)
		if got := dumpState(t, file); got != "new" {
			t.Errorf("%s: the dump is %s", suffix, got)
		}
	}
}

// TestNativeDumpUnprivileged: who may only read everything can dump elsewhere.
func TestNativeDumpUnprivileged(t *testing.T) {
	native, _ := nativeFixture(t)
	dir := filepath.Dir(native.Database)
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		must(t, os.Chmod(filepath.Join(dir, e.Name()), 0o444))
	}
	must(t, os.Chmod(dir, 0o555))
	defer os.Chmod(dir, 0o700)
	elsewhere := filepath.Join(t.TempDir(), "dump")
	must(t, os.WriteFile(elsewhere, nil, 0o600))
	if os.Geteuid() == 0 {
		const nobody = 65534
		must(t, os.Chown(elsewhere, nobody, nobody))
		must(t, os.Chown(filepath.Dir(elsewhere), nobody, nobody))
		must(t, os.Chmod(filepath.Dir(dir), 0o711))
		runtime.LockOSThread() // whose rights these are
		defer runtime.UnlockOSThread()
		_, err := unix.SetfsuidRetUid(nobody)
		must(t, err)
		defer unix.SetfsuidRetUid(0)
	}
	if _, err := os.ReadFile(native.Database); err != nil {
		t.Fatal(err)
	}
	if _, err := os.OpenFile(native.Database+db2.LockSuffix, os.O_RDWR, 0); !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("the database is writable: %v", err)
	}
	_, err = native.Dump(context.Background(), elsewhere)
	must(t, err)
	if got := dumpState(t, elsewhere); got != "new" {
		t.Errorf("the dump is %s", got)
	}
}
