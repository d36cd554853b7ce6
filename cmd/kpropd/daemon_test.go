package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

// startInBackground starts kpropd as a person at a shell does, without -d and
// -D, and returns the number of the process in the background.
func startInBackground(t *testing.T, n *krbtest.Node, port int, pidFile string) (pid int) {
	t.Helper()
	stdout, stderr, exit := runOn(t, n, ourKpropd, serviceArgs(n, "-P", strconv.Itoa(port), "--pid-file="+pidFile)...)
	if text, err := os.ReadFile(pidFile); err == nil {
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	t.Cleanup(func() {
		if pid > 1 && listensOn(t, pid, port) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	if exit != 0 || stdout != "" || stderr != "" || pid <= 1 {
		t.Fatalf("exit status %d, stdout %q, stderr %q, pid %d; want 0, nothing, nothing and a pid", exit, stdout, stderr, pid)
	}
	return pid
}

func TestDaemon(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	pidFile := filepath.Join(r.Replica.Dir, "kpropd.pid")
	port := krbtest.FreePort()
	pid := startInBackground(t, r.Replica, port, pidFile)

	// The command has returned, so it must serve by now.
	if !listensOn(t, pid, port) {
		t.Error("the process of the pid file does not listen")
	}
	wantDetached(t, pid)
	d := &krbtest.Daemon{Port: port, Name: "kpropd", Pid: pid}
	for _, p := range kprops() {
		for _, host := range []string{"127.0.0.1", "::1"} {
			changeAndSend(t, r, p.path, d, host)
		}
	}
	ok(t, syscall.Kill(pid, hangUp))
	changeAndSend(t, r, "", d, "127.0.0.1")
	wantPortTaken(t, r.Replica, port)
	wantPid(t, pidFile, pid)

	ok(t, syscall.Kill(pid, terminate))
	eventually(t, "kpropd has ended after SIGTERM", func() bool { return ended(pid) })
	if exists(pidFile) {
		t.Error("the pid file is there after the end")
	}
	// What it has left must not keep another one from starting.
	again := startInBackground(t, r.Replica, port, pidFile)
	ok(t, syscall.Kill(again, terminate))
	eventually(t, "kpropd has ended after SIGTERM", func() bool { return ended(again) })
}

// wantDetached wants the process to hold on to nothing of its starter.
func wantDetached(t *testing.T, pid int) {
	t.Helper()
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("session %d, %v; want one of its own, %d", sid, err, pid)
	}
	for link, want := range map[string]string{"cwd": "/", "fd/0": "/dev/null", "fd/1": "/dev/null", "fd/2": "/dev/null"} {
		if got := must(os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, link)))(t); got != want {
			t.Errorf("%s is %s, want %s", link, got, want)
		}
	}
}

// wantPortTaken starts more on the same port, in the background and in the
// foreground; their pid files must not be left either.
func wantPortTaken(t *testing.T, n *krbtest.Node, port int) {
	t.Helper()
	for _, mode := range []string{"-S", "-D", "-d"} {
		other := filepath.Join(n.Dir, "other.pid")
		_, stderr, exit := runOn(t, n, ourKpropd, serviceArgs(n, "-P", strconv.Itoa(port), "--pid-file", other, mode)...)
		if exit != 1 || !strings.Contains(stderr, "Address already in use while binding listener socket") {
			t.Errorf("a second kpropd %s: exit status %d, stderr %q", mode, exit, stderr)
		}
		if exists(other) {
			t.Errorf("kpropd %s has left a pid file", mode)
		}
	}
}
