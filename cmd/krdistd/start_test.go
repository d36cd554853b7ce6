package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// served has a session of its own succeed.
func (w *world) served(d *krbtest.Daemon) {
	w.t.Helper()
	c := w.connect(w.dialer(d), self(w.t))
	c.want(c.install(filepath.Join(w.root, "file"), time.Now().String()), wire.OpAck, "")
	c.end()
}

func newServing(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, krbtest.Options{})
	w.grant(w.host + " " + self(t) + " " + w.root + " -")
	return w
}

func wantStop(t *testing.T, d *krbtest.Daemon) {
	t.Helper()
	ok(t, d.Signal(syscall.SIGTERM))
	if exit := must(d.Wait(testContext(t)))(t); exit != 0 {
		t.Errorf("after SIGTERM: exit status %d, want 0: %s", exit, d.Output())
	}
}

func TestInetd(t *testing.T) {
	t.Parallel()
	krbtest.Require(t, "xinetd")
	w := newServing(t)
	d := must(w.Replica.StartXinetd(ourKrdistd, w.args()...))(t)
	for range 3 {
		w.served(d)
	}
}

func TestSystemdListener(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	notify := filepath.Join(w.Dir, "notify")
	nc := must(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"}))(t)
	defer nc.Close()
	env := []string{"INVOCATION_ID=0", "NOTIFY_SOCKET=" + notify}
	d := must(w.Replica.StartActivated(krbtest.Systemd, env, ourKrdistd, w.args()...))(t)
	deadline, _ := testContext(t).Deadline()
	ok(t, nc.SetReadDeadline(deadline))
	var message [256]byte
	if got := string(message[:must(nc.Read(message[:]))(t)]); got != "READY=1" {
		t.Errorf("systemd was told %q, want READY=1", got)
	}
	w.served(d)
	w.served(d)
	wantStop(t, d)
}

func TestSystemdConnection(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	d := must(w.Replica.StartActivated(krbtest.SystemdAccept, []string{"INVOCATION_ID=0"}, ourKrdistd, w.args("-D")...))(t)
	w.served(d)
	w.served(d)
	eventually(t, "each process has served one connection", func() bool { return strings.Count(d.Output(), "served: <nil>\n") == 2 })
}

func TestInetdWait(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	d := must(w.Replica.StartActivated(krbtest.InetdWait, nil, ourKrdistd, w.args()...))(t)
	w.served(d)
	wantStop(t, d)
}

// ended reports whether there is no such process, or only its zombie.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// TestBackground starts krdistd as a person at a shell does.
func TestBackground(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	pidFile := filepath.Join(w.Replica.Dir, "krdistd.pid")
	port := krbtest.FreePort()
	args := w.args("-P", strconv.Itoa(port), "--pid-file="+pidFile)
	stdout, stderr, exit := w.runOn(ourKrdistd, args...)
	pid, _ := strconv.Atoi(strings.TrimSpace(content(t, pidFile)))
	t.Cleanup(func() {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && exe == ourKrdistd {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	if exit != 0 || stdout != "" || stderr != "" || pid <= 1 {
		t.Fatalf("exit status %d, stdout %q, stderr %q, pid %d; want 0, nothing, nothing and a pid", exit, stdout, stderr, pid)
	}
	for link, want := range map[string]string{"cwd": "/", "fd/0": "/dev/null", "fd/1": "/dev/null", "fd/2": "/dev/null"} {
		if got := must(os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, link)))(t); got != want {
			t.Errorf("%s is %s, want %s", link, got, want)
		}
	}
	d := &krbtest.Daemon{Port: port, Name: "krdistd", Pid: pid}
	w.served(d)
	ok(t, syscall.Kill(pid, syscall.SIGHUP))
	w.served(d)
	for _, mode := range []string{"-d", "-D", "--max-sessions=3"} {
		other := filepath.Join(w.Replica.Dir, "other.pid")
		_, stderr, exit := w.runOn(ourKrdistd, w.args("-P", strconv.Itoa(port), "--pid-file", other, mode)...)
		if exit != 1 || !strings.Contains(stderr, "address already in use (if another program has it, give another with -P)") || exists(other) {
			t.Errorf("a second krdistd %s: exit status %d, stderr %q", mode, exit, stderr)
		}
	}
	ok(t, syscall.Kill(pid, syscall.SIGTERM))
	eventually(t, "krdistd has ended after SIGTERM", func() bool { return ended(pid) })
	if exists(pidFile) {
		t.Error("the pid file is there after the end")
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	const usageLine = "\nUsage: krdistd [-dD] [-a acl_file]"
	for _, test := range []struct {
		args   []string
		stderr []string
	}{
		{[]string{"argument"}, []string{usageLine, `"argument": krdistd takes no arguments`}},
		{[]string{"-Z"}, []string{usageLine, "-Z"}},
		{[]string{"-a", ""}, []string{"-a needs a path"}},
		{[]string{"--max-sessions=0"}, []string{"--max-sessions is not between 1 and 10000"}},
		{[]string{"--handshake-timeout=1h"}, []string{"--handshake-timeout is not between 1s and 10m"}},
		{[]string{"--silence-timeout=0"}, []string{"--silence-timeout is not between 1s and 168h"}},
		{[]string{"-d", "-P", "no-such-service"}, []string{"port no-such-service: ", "give a number, or a name of /etc/services"}},
		{[]string{"-d", "-s", "NOTYPE:x"}, []string{"keytab NOTYPE:x: "}},
	} {
		stdout, stderr, exit := w.runOn(ourKrdistd, test.args...)
		if exit != 1 || stdout != "" {
			t.Errorf("%q: exit status %d, stdout %q; want 1 and nothing", test.args, exit, stdout)
		}
		for _, want := range test.stderr {
			if !strings.Contains(stderr, want) {
				t.Errorf("%q: stderr %q, want in it %q", test.args, stderr, want)
			}
		}
	}
	for option, want := range map[string]string{"--help": "krdistd -S", "--version": "krdistd ", "-V": protocolVersion + "\n"} {
		stdout, stderr, exit := w.runOn(ourKrdistd, option)
		if exit != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit status %d, stdout %q, stderr %q", option, exit, stdout, stderr)
		}
	}
	// As rdistd it does as that does.
	rdistd := filepath.Join(t.TempDir(), "rdistd")
	ok(t, os.Symlink(ourKrdistd, rdistd))
	if stdout, stderr, exit := w.runOn(rdistd); exit != 1 || stdout+stderr != "" {
		t.Errorf("rdistd without -S: exit status %d, %q", exit, stdout+stderr)
	}
	if stdout, stderr, exit := w.runOn(ourKrdistd, "--session", "root"); exit != 2 || stdout != "" || !strings.Contains(stderr, "nothing to be run by hand") {
		t.Errorf("a session by hand: exit status %d, %q, %q", exit, stdout, stderr)
	}
	// A list that cannot be used is told at the start.
	w.grant("nonsense")
	d := w.start()
	ok(t, d.WaitOutput(testContext(t), w.acl+":1:9: an account, roots and commands are missing"))
}

// pipes are a process's standard input and output.
type pipes struct {
	*os.File
	in *os.File
}

func (p pipes) Write(b []byte) (int, error) { return p.in.Write(b) }

// TestStandard is krdistd -S, and rdistd -S, for a remote shell.
func TestStandard(t *testing.T) {
	t.Parallel()
	w := newServing(t)
	rdistd := filepath.Join(t.TempDir(), "rdistd")
	ok(t, os.Symlink(ourKrdistd, rdistd))
	for _, words := range [][]string{{ourKrdistd, "-S"}, {ourKrdistd, "-S", "-D"}, {rdistd, "-S"}} {
		for _, fail := range []bool{false, true} {
			cmd := w.Replica.Command(testContext(t), words[0], words[1:]...)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			in, theirs, err := os.Pipe()
			ok(t, err)
			mine, out, err := os.Pipe()
			ok(t, err)
			cmd.Stdin, cmd.Stdout = in, out
			ok(t, cmd.Start())
			ok(t, in.Close())
			ok(t, out.Close())
			c := newClient(t, pipes{mine, theirs})
			c.want(c.install(filepath.Join(w.root, "file"), "text"), wire.OpAck, "")
			c.want(c.ask(wire.OpSpecial, "echo hello"), wire.OpLog, "hello")
			c.want(c.answer(), wire.OpAck, "")
			if fail {
				c.want(c.ask(wire.OpSpecial, "exit 3"), wire.OpError, "shell returned 768")
			}
			c.end()
			err = cmd.Wait()
			if (err != nil) != fail || cmd.ProcessState.ExitCode() != map[bool]int{true: 1}[fail] || stderr.Len() > 0 {
				t.Errorf("%q, with errors %v: %v, %s", words, fail, err, stderr.String())
			}
			theirs.Close()
			mine.Close()
		}
	}
	// The client goes away.
	cmd := w.Replica.Command(testContext(t), ourKrdistd, "-S")
	cmd.Stdin = strings.NewReader("V6\nt0 " + w.root + "/none/x\nR0 0644 100 0 0 root root x\nhalf")
	var exit *exec.ExitError
	if out, err := cmd.CombinedOutput(); !asExit(err, &exit) || exit.ExitCode() != 1 || !strings.HasPrefix(string(out), "V\n\x05\n") {
		t.Errorf("%v: %q", err, out)
	}
}

func asExit(err error, exit **exec.ExitError) bool {
	var is bool
	*exit, is = err.(*exec.ExitError)
	return is
}
