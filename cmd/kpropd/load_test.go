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

// script writes a stand-in for kdb5_util and returns its path.
func script(t *testing.T, n *krbtest.Node, name, text string) string {
	t.Helper()
	path := filepath.Join(n.Dir, name)
	ok(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700))
	return path
}

// TestLoadFails: what keeps kdb5_util from loading reaches the sender.
func TestLoadFails(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	n := g.r.Replica
	setDump(t, g.r, g.large(t))
	noise := script(t, n, "noise", "echo first line >&2\necho \"$@\" >&2\nexit 3\n")
	killed := script(t, n, "killed", "kill -9 $$\n")
	plain := filepath.Join(n.Dir, "plain")
	ok(t, os.WriteFile(plain, nil, 0o600))
	tests := []struct {
		name, program string
		words         []string
	}{
		{"status", "/bin/false", []string{"/bin/false returned a bad exit status (1)"}},
		{"missing", "/nonexistent", []string{"/nonexistent is not on this host", "kpropd -p"}},
		{"stderr", noise, []string{
			noise + " returned a bad exit status (3): first line; -r " + g.r.Name + " load " + n.FromMaster + ".temp"}},
		{"signal", killed, []string{killed + " load terminated"}},
		{"no program", plain, []string{"while trying to exec " + plain}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := g.r.StartKpropd(t, ourKpropd, "-p", test.program)
			g.refused(t, d, test.words...)
			logged(t, d, test.words...)
			wantStop(t, d)
		})
	}
	g.restored(t)
}

// begin starts a kprop; wait gives its end.
func begin(t *testing.T, r *krbtest.Realm, kprop string, d *krbtest.Daemon) (wait func() (stdout, stderr string, exit int)) {
	t.Helper()
	if kprop == "" {
		kprop = "kprop"
	}
	cmd := r.Primary.Command(testContext(t), kprop, r.KpropArgs(d, "127.0.0.1")...)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	ok(t, cmd.Start())
	return func() (string, string, int) {
		_ = cmd.Wait()
		return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
	}
}

// gate is a stand-in for kdb5_util that does its work only when the returned
// function is called.
func gate(t *testing.T, n *krbtest.Node) (path string, open func()) {
	t.Helper()
	fifo := filepath.Join(n.Dir, "gate")
	ok(t, unix.Mkfifo(fifo, 0o600))
	path = script(t, n, "gated", fmt.Sprintf("read go <%s\nexec %s \"$@\"\n", fifo, must(krbtest.LookPath("kdb5_util"))(t)))
	return path, func() {
		// Waits for the script to read. A test that fails before must not
		// wait here, so the gate is not opened for writing earlier.
		ok(t, os.WriteFile(fifo, []byte("go\n"), 0))
	}
}

// TestStopWhileLoading: SIGTERM lets a load be finished.
func TestStopWhileLoading(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	program, open := gate(t, g.r.Replica)
	d := g.r.StartKpropd(t, ourKpropd, "-p", program)
	g.r.Kadmin("change_password -randkey alice")
	g.r.Dump()
	wait := begin(t, g.r, "", d)
	ok(t, d.WaitOutput(testContext(t), "Load PID is "))
	ok(t, d.Signal(terminate))
	open()
	if exit := must(d.Wait(testContext(t)))(t); exit != 0 {
		t.Errorf("exit status %d, want 0: %s", exit, d.Output())
	}
	if stdout, stderr, exit := wait(); exit != 0 || stderr != "" {
		t.Errorf("kprop: exit status %d, stdout %q, stderr %q; want it to hear of the load", exit, stdout, stderr)
	}
	sameDatabase(t, g.r)
	if got := content(t, g.r.Replica.FromMaster); got != dumpOf(t, g.r.Primary) {
		t.Error("the dump of the new database was not kept")
	}
	g.restored(t)
}

// TestKilledWhileLoading: when kpropd is killed, kdb5_util ends as well.
func TestKilledWhileLoading(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	d := g.r.StartKpropd(t, ourKpropd, "-p", script(t, g.r.Replica, "stuck", "exec sleep 1000\n"))
	g.r.Kadmin("change_password -randkey alice")
	g.r.Dump()
	wait := begin(t, g.r, "", d)
	ok(t, d.WaitOutput(testContext(t), "Load PID is "))
	d.Kill()
	if _, stderr, exit := wait(); exit != 1 {
		t.Errorf("kprop: exit status %d, want 1: %s", exit, stderr)
	}
	eventually(t, "the stand-in for kdb5_util has ended", func() bool { return len(running(t, g.r.Replica, "sleep")) == 0 })
	ok(t, os.Remove(g.r.Replica.FromMaster+".temp"))
	g.unchanged(t)
	g.restored(t)
}

// TestKilledWhileReceiving: kill -9 in the middle of a transfer.
func TestKilledWhileReceiving(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	n := g.r.Replica
	temp := n.FromMaster + ".temp"
	setDump(t, g.r, g.large(t))
	proxy := startCutter(t, g.d.Port, 1200<<10)
	wait := begin(t, g.r, "", &krbtest.Daemon{Port: proxy.port})
	eventually(t, "a part of the dump is on the disk", func() bool {
		st, err := os.Stat(temp)
		return err == nil && st.Size() > 0
	})
	g.d.Kill()
	proxy.cut()
	if _, stderr, exit := wait(); exit != 1 {
		t.Errorf("kprop: exit status %d, want 1: %s", exit, stderr)
	}
	if !exists(temp) {
		t.Error("nothing is left of the transfer: kpropd was not killed in the middle")
	}
	if got := dumpOf(t, n); got != string(g.good) {
		t.Error("the database has changed")
	}
	g.d = must(n.StartDaemon(g.d.Port, ourKpropd, n.KpropdArgs(g.d.Port)...))(t)
	g.restored(t)
	if exists(temp) {
		t.Error("the file of the killed kpropd is left")
	}
}
