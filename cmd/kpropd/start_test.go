package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// startRealm has a KDC and a dump with a change for each propagation.
func startRealm(t *testing.T) *krbtest.Realm {
	t.Helper()
	r := newRealm(t, krbtest.Options{})
	r.AddPrincipal("alice", "secret")
	r.StartKDC(t)
	r.Dump()
	return r
}

// changeAndSend propagates a new state of the database and compares.
func changeAndSend(t *testing.T, r *krbtest.Realm, program string, d *krbtest.Daemon, host string) {
	t.Helper()
	r.Kadmin("change_password -randkey alice")
	r.Dump()
	mustSucceed(t, r, program, d, host)
	sameDatabase(t, r)
}

func TestInetd(t *testing.T) {
	t.Parallel()
	krbtest.Require(t, "xinetd")
	r := startRealm(t)
	d := must(r.Replica.StartInetd(ourKpropd))(t)
	for _, p := range kprops() {
		for _, host := range []string{"127.0.0.1", "::1"} {
			changeAndSend(t, r, p.path, d, host)
		}
	}
	eventually(t, "each kpropd of inetd has ended", func() bool { return len(running(t, r.Replica, "kpropd")) == 0 })
}

// serviceArgs are those of a systemd unit: without -d, -D and -P.
func serviceArgs(n *krbtest.Node, extra ...string) []string {
	return append([]string{"-a", n.ACL, "-s", n.Keytab, "-f", n.FromMaster}, extra...)
}

func TestSystemdListener(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	notify := filepath.Join(r.Dir, "notify")
	nc := must(net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"}))(t)
	defer nc.Close()
	env := []string{"INVOCATION_ID=0", "NOTIFY_SOCKET=" + notify}
	d := must(r.Replica.StartActivated(krbtest.Systemd, env, ourKpropd, serviceArgs(r.Replica)...))(t)
	deadline, _ := testContext(t).Deadline()
	ok(t, nc.SetReadDeadline(deadline))
	var message [256]byte
	if got := string(message[:must(nc.Read(message[:]))(t)]); got != "READY=1" {
		t.Errorf("systemd was told %q, want READY=1", got)
	}
	for _, p := range kprops() {
		for _, host := range []string{"127.0.0.1", "::1"} {
			changeAndSend(t, r, p.path, d, host)
		}
	}
	if out := d.Output(); !strings.Contains(out, `"msg":"database loaded","peer":"`) {
		t.Errorf("the journal has no line of the load: %s", out)
	}
	wantStop(t, d)
}

func TestSystemdConnection(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	d := must(r.Replica.StartActivated(krbtest.SystemdAccept, []string{"INVOCATION_ID=0", "JOURNAL_STREAM=0:0"}, ourKpropd, serviceArgs(r.Replica)...))(t)
	for _, p := range kprops() {
		for _, host := range []string{"127.0.0.1", "::1"} {
			changeAndSend(t, r, p.path, d, host)
		}
	}
	eventually(t, "four processes have served one connection each", func() bool {
		return strings.Count(d.Output(), "served: <nil>\n") == 4
	})
	if n := strings.Count(d.Output(), `"msg":"database loaded"`); n != 4 {
		t.Errorf("the journal has %d lines of a load, want 4: %s", n, d.Output())
	}
}

// TestInetdWait: a listening socket as standard input, inetd's "wait" style.
func TestInetdWait(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	d := must(r.Replica.StartActivated(krbtest.InetdWait, nil, ourKpropd, serviceArgs(r.Replica)...))(t)
	for _, p := range kprops() {
		changeAndSend(t, r, p.path, d, "127.0.0.1")
	}
	wantStop(t, d)
}

// wantStop wants SIGTERM to end kpropd in good order.
func wantStop(t *testing.T, d *krbtest.Daemon) {
	t.Helper()
	ok(t, d.Signal(terminate))
	if exit := must(d.Wait(testContext(t)))(t); exit != 0 {
		t.Errorf("after SIGTERM: exit status %d, want 0: %s", exit, d.Output())
	}
}

// TestOnce: -t ends kpropd after one connection, also after one that failed.
func TestOnce(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	d := r.StartKpropd(t, ourKpropd, "-t")
	mustSucceed(t, r, "", d, "127.0.0.1")
	if exit := must(d.Wait(testContext(t)))(t); exit != 0 {
		t.Errorf("exit status %d after a propagation, want 0", exit)
	}
	d = r.StartKpropd(t, ourKpropd, "-t")
	nc := must(net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port))))(t)
	nc.Close()
	if exit := must(d.Wait(testContext(t)))(t); exit != 0 {
		t.Errorf("exit status %d after a connection without a word, want 0", exit)
	}
}

// TestOptions: the forms of options that getopt understands.
func TestOptions(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	n := r.Replica
	pidFile := filepath.Join(n.Dir, "pid")
	port := strconv.Itoa(krbtest.FreePort())
	tests := map[string][]string{
		"glued":    {"-P" + port, "-dDS", "-a" + n.ACL, "-s" + n.Keytab, "-f" + n.FromMaster, "--pid-file=" + pidFile},
		"apart":    {"-d", "-P", port, "-a", n.ACL, "-s", n.Keytab, "-f", n.FromMaster, "--pid-file", pidFile},
		"ignored":  {"-D", "-S", "-P", port, "-A", "primary.example.com", "-x", "one=1", "-xtwo=2", "-a", n.ACL, "-s", n.Keytab, "-f", n.FromMaster},
		"database": {"-d", "-P", port, "-F", n.Database, "-p", must(krbtest.LookPath("kdb5_util"))(t), "-r", r.Name, "-s", "FILE:" + n.Keytab, "-a", n.ACL, "-f", n.FromMaster},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			number := must(strconv.Atoi(port))(t)
			d := must(n.StartDaemon(number, ourKpropd, args...))(t)
			ok(t, d.WaitOutput(testContext(t), "ready\n"))
			changeAndSend(t, r, "", d, "127.0.0.1")
			if strings.Contains(strings.Join(args, " "), "pid-file") {
				wantPid(t, pidFile, d.Pid)
			}
			if name == "ignored" {
				wantIgnored(t, d)
			}
			wantStop(t, d)
			if exists(pidFile) {
				t.Error("the pid file is there after the end")
			}
		})
	}
}

func wantIgnored(t *testing.T, d *krbtest.Daemon) {
	t.Helper()
	for _, want := range []string{
		`option -A is accepted but has no effect: this kpropd does not poll for incremental updates","value":"primary.example.com"`,
		`option -x is accepted but has no effect: this kpropd does not poll for incremental updates","value":["one=1","two=2"]`,
	} {
		if !strings.Contains(d.Output(), want) {
			t.Errorf("not in the log: %s\n%s", want, d.Output())
		}
	}
}

func wantPid(t *testing.T, path string, pid int) {
	t.Helper()
	text := string(must(os.ReadFile(path))(t))
	if want := strconv.Itoa(pid) + "\n"; text != want {
		t.Errorf("the pid file has %q, want %q", text, want)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	r := newRealm(t, krbtest.Options{})
	const usageLine = "\nUsage: kpropd [-r realm] [-s keytab] [-d] [-D] [-S] [-f replica_file]\n"
	tests := []struct {
		args   []string
		stderr []string
	}{
		{[]string{"argument"}, []string{usageLine, `"argument"`}},
		{[]string{"-d", "-S", "argument"}, []string{usageLine}},
		{[]string{"-Z"}, []string{usageLine, "-Z"}},
		{[]string{"--no-such-option"}, []string{usageLine, "no-such-option"}},
		{[]string{"-r"}, []string{usageLine, "-r"}},
		{[]string{"-d", "-P", "no-such-service"}, []string{"getaddrinfo: Servname not supported for ai_socktype"}},
		{[]string{"-d", "-P", "65536"}, []string{"65536"}},
		{[]string{"-d", "-s", "NOTYPE:x"}, []string{"kpropd: while setting up: keytab NOTYPE:x: "}},
	}
	for _, test := range tests {
		stdout, stderr, exit := runOn(t, r.Replica, ourKpropd, test.args...)
		if exit != 1 || stdout != "" {
			t.Errorf("%q: exit status %d, stdout %q; want 1 and nothing", test.args, exit, stdout)
		}
		for _, want := range test.stderr {
			if !strings.Contains(stderr, want) {
				t.Errorf("%q: stderr %q, want in it %q", test.args, stderr, want)
			}
		}
	}
	for _, option := range []string{"--help", "--version"} {
		stdout, stderr, exit := runOn(t, r.Replica, ourKpropd, option)
		if exit != 0 || stderr != "" || !strings.Contains(stdout, "kpropd") {
			t.Errorf("%s: exit status %d, stdout %q, stderr %q", option, exit, stdout, stderr)
		}
	}
}
