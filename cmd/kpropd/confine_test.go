package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// startConfined starts kpropd on a realm's replica. It tells whether it is
// confined, which depends on the kernel.
func startConfined(t *testing.T, r *krbtest.Realm, env []string, extra ...string) (d *krbtest.Daemon, confined bool) {
	t.Helper()
	port := krbtest.FreePort()
	words := append(append(env, ourKpropd), r.Replica.KpropdArgs(port, extra...)...)
	d = must(r.Replica.StartDaemon(port, "env", words...))(t)
	ok(t, d.WaitOutput(testContext(t), "ready\n"))
	out := d.Output()
	confined = strings.Contains(out, "confined by Landlock\t{\"version\"")
	if strings.Contains(strings.Join(extra, " "), "--confine=false") {
		if strings.Contains(out, "Landlock") {
			t.Errorf("not asked to be confined, and says: %s", out)
		}
		return d, confined
	}
	if !confined {
		if !strings.Contains(out, "not confined by Landlock: ") {
			t.Errorf("neither confined nor not: %s", out)
		}
		t.Logf("what is denied cannot be seen here: %s", out)
	}
	return d, confined
}

// TestConfined: kpropd and its kdb5_util cannot leave their places, by links
// that somebody has put into them. Without the confinement they would.
func TestConfined(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		plant func(t *testing.T, n *krbtest.Node, outside string)
		want  string // of kprop
	}{
		{"kpropd reads", func(t *testing.T, n *krbtest.Node, outside string) {
			ok(t, os.WriteFile(outside+"/acl", []byte(content(t, n.ACL)), 0o600))
			replaceByLink(t, n.ACL, outside+"/acl")
		}, "the access list " + "ACL" + " cannot be read: Permission denied"},
		{"kpropd writes", func(t *testing.T, n *krbtest.Node, outside string) {
			replaceByLink(t, n.Dir+"/replays", outside+"/replays")
		}, "replay cache"},
		{"kdb5_util writes", func(t *testing.T, n *krbtest.Node, outside string) {
			ok(t, os.WriteFile(outside+"/ok", nil, 0o600))
			replaceByLink(t, n.Database+".ok", outside+"/ok")
		}, "returned a bad exit status (1): "},
	} {
		for _, off := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, off %v", test.name, off), func(t *testing.T) {
				t.Parallel()
				r := startRealm(t)
				n := r.Replica
				// Where the update log is kept, kdb5_util itself opens the live
				// database.
				conf := strings.Replace(content(t, n.KDCConf), "\t\tdatabase_name", "\t\tiprop_enable = true\n\t\tdatabase_name", 1)
				ok(t, os.WriteFile(n.KDCConf, []byte(conf), 0o644))
				// Elsewhere than the realm, which is in what may be written.
				outside := t.TempDir()
				args := []string{"-r", r.Name}
				if off {
					args = append(args, "--confine=false")
				}
				d, confined := startConfined(t, r, []string{"KRB5RCACHENAME=file2:" + n.Dir + "/replays"}, args...)
				mustSucceed(t, r, "", d, "127.0.0.1")
				before := dumpOf(t, n)
				test.plant(t, n, outside)
				r.Kadmin("change_password -randkey alice")
				r.Dump()
				if !confined {
					mustSucceed(t, r, ourKprop, d, "127.0.0.1")
					return
				}
				stdout, stderr, exit := r.Kprop(ourKprop, r.KpropArgs(d, "127.0.0.1")...)
				want := strings.ReplaceAll(test.want, "ACL", n.ACL)
				if exit != 1 || !strings.Contains(stderr+d.Output(), want) {
					t.Errorf("exit status %d, %s%s; want %q\n%s", exit, stdout, stderr, want, d.Output())
				}
				if exists(outside + "/replays") {
					t.Error("a file was made outside")
				}
				if dumpOf(t, n) != before {
					t.Error("the database has changed")
				}
			})
		}
	}
}

func replaceByLink(t *testing.T, path, to string) {
	t.Helper()
	ok(t, os.RemoveAll(path))
	ok(t, os.Symlink(to, path))
}

// TestConfinedThreads: no thread of kpropd is left out.
func TestConfinedThreads(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	d, confined := startConfined(t, r, nil)
	mustSucceed(t, r, "", d, "127.0.0.1")
	if !confined {
		return
	}
	pids := running(t, r.Replica, "kpropd")
	if len(pids) != 1 {
		t.Fatalf("%d processes, want 1", len(pids))
	}
	threads := must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pids[0])))(t)
	if len(threads) < 2 {
		t.Errorf("%d threads", len(threads))
	}
	for _, path := range threads {
		// Landlock itself does not show there; it is set right before.
		if text, err := os.ReadFile(path); err == nil && !strings.Contains(string(text), "NoNewPrivs:\t1\n") {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// TestConfinedPlaces: each thing in a directory of its own, and what may change
// while kpropd runs does change.
func TestConfinedPlaces(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	n := r.Replica
	dir := func(name string) string {
		path := filepath.Join(t.TempDir(), name)
		ok(t, os.Mkdir(path, 0o700))
		return path
	}
	move := func(path *string, to string) {
		ok(t, os.Rename(*path, filepath.Join(to, filepath.Base(*path))))
		*path = filepath.Join(to, filepath.Base(*path))
	}
	move(&n.ACL, dir("acl"))
	move(&n.Keytab, dir("keytab"))
	n.FromMaster = dir("dump") + "/from_master"
	history, replays, included := dir("history")+"/kept", dir("replays"), dir("included")
	ok(t, os.WriteFile(n.Krb5Conf, []byte("includedir "+included+"\n"+content(t, n.Krb5Conf)), 0o644))
	pidFile := dir("pid") + "/kpropd.pid"

	d, confined := startConfined(t, r, []string{"KRB5RCACHEDIR=" + replays}, "--history-dir", history, "--pid-file", pidFile)
	for _, p := range kprops() {
		changeAndSend(t, r, p.path, d, "127.0.0.1")
	}
	if st := must(os.Stat(n.FromMaster))(t); st.Sys().(*syscall.Stat_t).Nlink != 2 {
		t.Error("the history has a copy instead of a link")
	}
	for _, path := range []string{n.ACL, n.Keytab} {
		ok(t, os.WriteFile(path+".new", []byte(content(t, path)), 0o600))
		ok(t, os.Rename(path+".new", path))
	}
	ok(t, os.WriteFile(included+"/more.conf", []byte("[libdefaults]\n\tforwardable = true\n"), 0o600))
	ok(t, os.RemoveAll(history))
	ok(t, os.RemoveAll(replays+"/krb5_0.rcache2"))
	changeAndSend(t, r, "", d, "127.0.0.1")
	if strings.Contains(d.Output(), "could not be kept") {
		t.Errorf("confined: %v\n%s", confined, d.Output())
	}
	if !exists(pidFile) {
		t.Error("there is no pid file")
	}
	wantStop(t, d)
	if exists(pidFile) {
		t.Error("the pid file is there after the end")
	}
}

// TestNotConfined: a loader of the user's own may need anything.
func TestNotConfined(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	outside := t.TempDir()
	program := filepath.Join(outside, "loader")
	ok(t, os.WriteFile(program, []byte("#!/bin/sh\necho loaded >"+outside+"/log\nexec "+must(krbtest.LookPath("kdb5_util"))(t)+" \"$@\"\n"), 0o700))
	d, confined := startConfined(t, r, nil, "-p", program)
	changeAndSend(t, r, "", d, "127.0.0.1")
	if confined || content(t, outside+"/log") != "loaded\n" {
		t.Errorf("confined: %v", confined)
	}
	if want := "not confined by Landlock: what the program of the option -p needs is not known"; strings.Count(d.Output(), want) != 1 {
		t.Errorf("not said once: %s", d.Output())
	}
}
