package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

// TestFileLimit: the dump may not grow beyond what a limit of the process
// allows, as a unit with LimitFSIZE or a quota has it.
func TestFileLimit(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	setDump(t, g.r, g.large(t))
	port := krbtest.FreePort()
	words := append([]string{krbtest.RoleEnv + "=file-limit", must(os.Executable())(t), ourKpropd}, g.r.Replica.KpropdArgs(port)...)
	d := must(g.r.Replica.StartDaemon(port, "env", words...))(t)
	g.refused(t, d, "File too large while writing database block starting at offset ")
	logged(t, d, "kpropd: "+"File too large while writing database block starting at offset ")
	setDump(t, g.r, g.good)
	mustSucceed(t, g.r, "", d, "127.0.0.1")
	g.restored(t)
}

// smallDisk mounts a file system of one megabyte for the time of the test. It
// reports whether this process is allowed to.
func smallDisk(t *testing.T) (dir string, mounted bool) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("kprop-test", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Logf("no small file system for this user: %v; TestFileLimit is what is left", err)
		return "", false
	}
	t.Cleanup(func() { ok(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir, true
}

// TestFullDiskReceiving: no room for the dump.
func TestFullDiskReceiving(t *testing.T) {
	t.Parallel()
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	g := newGuard(t)
	// A file system may fill up while the dump is on its way.
	d := g.r.StartKpropd(t, ourKpropd, "--check-space=false", "-f", filepath.Join(dir, "from_master"))
	mustSucceed(t, g.r, "", d, "127.0.0.1")
	setDump(t, g.r, g.large(t))
	g.refused(t, d, "No space left on device while writing database block starting at offset ")
	logged(t, d, "kpropd: "+"No space left on device while writing database block starting at offset ")
	for name, want := range map[string]bool{"from_master": true, "from_master.temp": false} {
		if exists(filepath.Join(dir, name)) != want {
			t.Errorf("%s is there: %v, want %v", name, !want, want)
		}
	}
	if got := content(t, filepath.Join(dir, "from_master")); got != string(g.good) {
		t.Error("the kept dump has changed")
	}
	changeAndSend(t, g.r, "", d, "127.0.0.1")
}

// TestFullDiskLoading: room for the dump, but none for the database.
func TestFullDiskLoading(t *testing.T) {
	t.Parallel()
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	g := newGuard(t)
	database := filepath.Join(dir, "principal")
	dump := func() string {
		t.Helper()
		stdout, stderr, exit := runOn(t, g.r.Replica, "kdb5_util", "-d", database, "dump")
		if exit != 0 {
			t.Fatalf("kdb5_util dump: exit status %d: %s", exit, stderr)
		}
		return stdout
	}
	d := g.r.StartKpropd(t, ourKpropd, "--check-space=false", "-F", database)
	mustSucceed(t, g.r, "", d, "127.0.0.1")
	setDump(t, g.r, g.large(t))
	// The second attempt finds what kdb5_util has left of the first.
	for i, p := range kprops() {
		stdout, stderr, exit := g.r.Kprop(p.path, g.r.KpropArgs(d, "127.0.0.1")...)
		if exit != 1 || stdout != "" || !strings.HasPrefix(stderr, "Generic remote error: ") {
			t.Errorf("%s: exit status %d, stdout %q, stderr %q; want a refusal", p.name, exit, stdout, stderr)
		}
		if i == 0 && !strings.Contains(strings.ToLower(stderr), "no space left on device") {
			t.Errorf("%s: stderr %q, want the reason", p.name, stderr)
		}
		if got := dump(); got != string(g.good) {
			t.Fatalf("the database has changed: its dump has %d bytes, had %d", len(got), len(g.good))
		}
	}
	g.unchanged(t)
	setDump(t, g.r, g.good)
	mustSucceed(t, g.r, "", d, "127.0.0.1")
}

// TestNoRoom: what has no room is refused before its first block, with numbers.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	g := newGuard(t)
	ok(t, os.Mkdir(filepath.Join(dir, "both"), 0o700))
	large := g.large(t)
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"dump", []string{"-f", filepath.Join(dir, "from_master")}, fmt.Sprintf("the dump needs %d bytes in %s, where ", len(large), dir)},
		{"database", []string{"-F", filepath.Join(dir, "principal")},
			fmt.Sprintf("the database made of the dump of %d bytes needs %d bytes in %s, where ", len(large), len(large)/10*7, dir)},
		{"both", []string{"-f", filepath.Join(dir, "both", "from_master"), "-F", filepath.Join(dir, "both", "principal")},
			fmt.Sprintf("the dump of %d bytes and the database made of it need %d bytes in %s, where ", len(large), len(large)+len(large)/10*7, filepath.Join(dir, "both"))},
	} {
		d := g.r.StartKpropd(t, ourKpropd, test.args...)
		setDump(t, g.r, g.good)
		mustSucceed(t, g.r, "", d, "127.0.0.1")
		setDump(t, g.r, large)
		words := []string{"the propagation was refused and nothing was changed: ", test.want, " are free: make room there"}
		g.refused(t, d, words...)
		logged(t, d, words...)
		if strings.Count(d.Output(), "transfer started") != 1 {
			t.Errorf("%s: a transfer was started", test.name)
		}
		setDump(t, g.r, g.good)
		mustSucceed(t, g.r, "", d, "127.0.0.1")
		wantStop(t, d)
	}
	g.restored(t)
}
