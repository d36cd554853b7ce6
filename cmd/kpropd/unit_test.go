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

// asInUnit are words in front of a command that take from it the rights of root
// that the units take; without them it has none from the start.
func asInUnit(t *testing.T) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	return []string{must(krbtest.LookPath("setpriv"))(t), "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"}
}

// TestKeytabAsCredential: the keytab is as systemd's LoadCredential= leaves it,
// a file of mode 0400 in a directory of mode 0500 on a file system that cannot be
// written, and kpropd and kdb5_util have no right of root, as in the units.
func TestKeytabAsCredential(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	n := r.Replica
	dir := t.TempDir()
	keytab := filepath.Join(dir, "krb5.keytab")
	ok(t, os.Rename(n.Keytab, keytab))
	ok(t, os.Chmod(keytab, 0o400))
	ok(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Logf("this user cannot mount it read-only: %v", err)
	} else {
		t.Cleanup(func() { ok(t, unix.Unmount(dir, unix.MNT_DETACH)) })
		ok(t, unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	}
	for name, how := range map[string]struct {
		env  string
		args []string
	}{
		"-s":          {"A=b", []string{"-s", "FILE:" + keytab}},
		"KRB5_KTNAME": {"KRB5_KTNAME=FILE:" + keytab, nil},
	} {
		t.Run(name, func(t *testing.T) {
			port := krbtest.FreePort()
			words := append([]string{how.env}, asInUnit(t)...)
			words = append(words, ourKpropd, "-d", "-P", fmt.Sprint(port), "-a", n.ACL, "-f", n.FromMaster)
			d := must(n.StartDaemon(port, "env", append(words, how.args...)...))(t)
			ok(t, d.WaitOutput(testContext(t), "ready\n"))
			pids := running(t, n, "kpropd")
			if len(pids) != 1 {
				t.Fatalf("%d processes, want 1", len(pids))
			}
			if status := content(t, fmt.Sprintf("/proc/%d/status", pids[0])); !strings.Contains(status, "CapEff:\t0000000000000000\n") {
				t.Errorf("kpropd has rights of root: %s", status)
			}
			for _, p := range kprops() {
				changeAndSend(t, r, p.path, d, "127.0.0.1")
			}
			wantStop(t, d)
		})
	}
}
