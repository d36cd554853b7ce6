package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const mirror = "SRC -> hosta install -oremove DST/src ;\n"

// plant makes a tree with all that there can be in one.
func (s *stage) plant() {
	s.t.Helper()
	s.write("a.txt", "alpha")
	s.write("sub/deep/b.txt", strings.Repeat("beta\n", 20000))
	s.write("sub/prog", "#!/bin/sh\n")
	s.write("empty", "")
	s.write("name with blank;and 'quotes'", "odd")
	ok(s.t, os.Chmod(filepath.Join(s.src, "sub/prog"), 0o755))
	ok(s.t, os.Chmod(filepath.Join(s.src, "a.txt"), 0o600))
	ok(s.t, os.Mkdir(filepath.Join(s.src, "emptydir"), 0o750))
	ok(s.t, os.Link(filepath.Join(s.src, "a.txt"), filepath.Join(s.src, "sub/hard")))
	ok(s.t, os.Symlink("../a.txt", filepath.Join(s.src, "sub/link")))
	ok(s.t, os.Symlink("/nowhere", filepath.Join(s.src, "dangling")))
	s.write("epoch", "1970")
	ok(s.t, os.Chtimes(filepath.Join(s.src, "epoch"), time.Time{}, time.Unix(0, 0)))
}

// TestDistribute: a tree is installed, kept, updated and cleaned.
func TestDistribute(t *testing.T) {
	s := newStage(t)
	s.plant()
	got := s.run(mirror)
	if got.exit != 0 || got.stderr != "" || !strings.Contains(got.stdout, s.expand("hosta: SRC/a.txt: installing\n")) {
		t.Errorf("first: %v", got)
	}
	same(t, s.src, s.dst+"/src")

	const nothing = "hosta: updating host hosta\nhosta: updating of hosta finished\n"
	s.want(s.run(mirror), 0, nothing, "")

	s.write("sub/deep/b.txt", "changed")
	s.want(s.run(mirror), 0, "hosta: updating host hosta\nhosta: SRC/sub/deep/b.txt: updating\nhosta: updating of hosta finished\n", "")
	same(t, s.src, s.dst+"/src")

	ok(t, os.Remove(filepath.Join(s.src, "empty")))
	s.want(s.run(mirror), 0, "hosta: updating host hosta\nhosta: HOST: DST/src/empty: removed\nhosta: updating of hosta finished\n", "")
	ok(t, os.WriteFile(filepath.Join(s.dst, "src/emptydir/extra"), nil, 0o644))
	s.want(s.run(mirror), 0, "hosta: updating host hosta\nhosta: HOST: DST/src/emptydir/extra: removed\nhosta: updating of hosta finished\n", "")
	same(t, s.src, s.dst+"/src")
	s.want(s.run(mirror, "-oquiet"), 0, "", "")
}

// TestRemoteShell: host, -l, user, and the command in one argument.
func TestRemoteShell(t *testing.T) {
	user := must(user.Current())(t).Username
	s := newStage(t)
	s.write("f", "x")
	tests := []struct {
		hosts string
		args  []string
		want  []string
	}{
		{"hosta", nil, []string{"hosta|-l|" + user + "|rdistd -S|"}},
		{"other_1@hosta", nil, []string{"hosta|-l|other_1|rdistd -S|"}},
		{"@hosta", nil, []string{"hosta|-l|" + user + "|rdistd -S|"}},
		{"hosta", []string{"-p", ourKrdistd()}, []string{"hosta|-l|" + user + "|" + ourKrdistd() + " -S|"}},
		{"hosta", []string{"-P", "/nowhere/rsh::" + s.shell}, []string{"hosta|-l|" + user + "|rdistd -S|"}},
		{"other@localhost", nil, []string{"localhost|-l|other|rdistd -S|"}},
		{"(hosta other_1@hosta)", []string{"-F"}, []string{"hosta|-l|" + user + "|rdistd -S|", "hosta|-l|other_1|rdistd -S|"}},
	}
	for _, test := range tests {
		os.Remove(s.calls)
		os.Remove(s.dst + "/f")
		got := s.run("SRC/f -> "+test.hosts+" install DST/f ;", test.args...)
		want := strings.Split(s.expand(strings.Join(test.want, "\n")), "\n")
		if got.exit != 0 || !slices.Equal(s.called(), want) {
			t.Errorf("%s %q: called %q, want %q; %v", test.hosts, test.args, s.called(), want, got)
		}
		if _, err := os.Stat(s.dst + "/f"); err != nil {
			t.Errorf("%s %q: %v", test.hosts, test.args, err)
		}
	}
}

// TestLocalhost: the server of this host and user runs without a remote shell,
// on either way to others; krdistd where there is no rdistd.
func TestLocalhost(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	for _, test := range []struct {
		name string
		args []string
		path string
	}{
		{"rdistd", s.args, s.dir + "/bin"},
		{"without a remote shell", nil, s.dir + "/bin"},
		{"krdistd beside krdist", s.args, "/nowhere"},
		{"named", []string{"-P", s.shell, "-p", ourKrdistd()}, "/nowhere"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("PATH", test.path)
			os.Remove(s.dst + "/f")
			s.args = test.args
			s.want(s.run("SRC/f -> localhost install DST/f ;"), 0,
				"localhost: updating host localhost\nlocalhost: SRC/f: installing\nlocalhost: updating of localhost finished\n", "")
			if _, err := os.Stat(s.calls); err == nil {
				t.Errorf("the remote shell was called: %q", s.called())
			}
		})
	}
}

// TestSpecialCommands: they run where the files go, in the home directory.
func TestSpecialCommands(t *testing.T) {
	s := newStage(t)
	s.write("it's;a $name", "x")
	s.write("b", "y")
	const distfile = "SRC -> hosta install DST/src ;\n" +
		"special \"pwd; echo $FILE; echo $REMFILE; echo $BASEFILE\" ;\n" +
		"cmdspecial \"echo all $FILES\" ;\n"
	home := must(user.Current())(t).HomeDir
	got := s.run(distfile)
	s.want(got, 0, "hosta: updating host hosta\nhosta: SRC: installing\nhosta: HOST: DST/src: mkdir\n"+
		"hosta: SRC/b: installing\nhosta: special \"pwd; echo $FILE; echo $REMFILE; echo $BASEFILE\"\n"+
		"hosta: "+home+"\nhosta: SRC/b\nhosta: DST/src/b\nhosta: b\n"+
		"hosta: SRC/it's;a $name: installing\nhosta: special \"pwd; echo $FILE; echo $REMFILE; echo $BASEFILE\"\n"+
		"hosta: "+home+"\nhosta: SRC/it's;a $name\nhosta: DST/src/it's;a $name\nhosta: it's;a $name\n"+
		"hosta: cmdspecial \"echo all $FILES\"\nhosta: all DST/src/it's;a $name:DST/src/b\n"+
		"hosta: updating of hosta finished\n", "")
}

// TestExitStatus: 0 only if all is as wanted.
func TestExitStatus(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	tests := []struct {
		name, distfile string
		args           []string
		want           int
		text           string // somewhere on standard output
	}{
		{"verify finds it missing", "SRC/f -> hosta install DST/f ;", []string{"-overify"}, 1, "hosta: SRC/f: need to install\n"},
		{"installed", "SRC/f -> hosta install DST/f ;", nil, 0, "hosta: SRC/f: installing\n"},
		{"verify finds it", "SRC/f -> hosta install DST/f ;", []string{"-v"}, 0, "updating of hosta finished"},
		{"no such source", "SRC/none -> hosta install DST/f ;", nil, 1, "hosta: LOCAL ERROR: SRC/none: lstat failed: No such file or directory\n"},
		{"the server's error", "SRC/f -> hosta install DST/other ; special \"exit 3\" ;", nil, 1, "REMOTE ERROR: shell returned 768\n"},
		{"too little space", "SRC/f -> hosta install DST/third ;", []string{"-a", "9000000000000000"}, 1, "REMOTE ERROR"},
		{"too few files", "SRC/f -> hosta install DST/third ;", []string{"-A", "9000000000000000"}, 1, "REMOTE ERROR"},
		{"bad login", "SRC/f -> a/b@hosta install DST/f ;", nil, 1, "Invalid user name"},
		{"no server", "SRC/f -> hosta install DST/f ;", []string{"-p", "/nowhere/rdistd"}, 1, `Unexpected input from server: "".`},
	}
	for _, test := range tests {
		if got := s.run(test.distfile, test.args...); got.exit != test.want || !strings.Contains(got.stdout, s.expand(test.text)) {
			t.Errorf("%s: want exit status %d and %q, got %v", test.name, test.want, s.expand(test.text), got)
		}
	}
}

// TestTimeout: -t bounds the wait for a server that says nothing.
func TestTimeout(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	s.remoteShell("exec cat >/dev/null")
	got := s.run("SRC/f -> hosta install DST/f ;", "-t", "1")
	if got.exit != 1 || !strings.Contains(got.stdout, s.expand("hosta: LOCAL ERROR: Response time out\n")) {
		t.Errorf("%v", got)
	}
}

// TestSequential: with -F the errors go to standard error, and the hosts come in
// order.
func TestSequential(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	s.want(s.run("(SRC/f SRC/none) -> (hostb hosta) install -oquiet DST ;", "-F"), 1,
		"hostb: updating host hostb\nhosta: updating host hosta\n",
		"hostb: LOCAL ERROR: SRC/none: lstat failed: No such file or directory\n"+
			"hosta: LOCAL ERROR: SRC/none: lstat failed: No such file or directory\n"+
			"2 of 2 hosts not as wanted:\n  hostb: 1 error\n  hosta: 1 error\n")
}

// TestSideBySide: the lines of each host stand together.
func TestSideBySide(t *testing.T) {
	s := newStage(t)
	for i := range 40 {
		s.write(fmt.Sprintf("dir/f%02d", i), "x")
	}
	var hosts []string
	var distfile string
	for i := range 9 {
		hosts = append(hosts, fmt.Sprintf("127.0.3.%d", i+1))
		distfile += "SRC/dir -> " + hosts[i] + " install DST/" + hosts[i] + " ;\n"
	}
	got := s.run(distfile, "-M", "9")
	if got.exit != 0 || got.stderr != "" {
		t.Fatal(got)
	}
	var order []string
	for line := range strings.Lines(got.stdout) {
		host, _, _ := strings.Cut(line, ":")
		if len(order) == 0 || order[len(order)-1] != host {
			order = append(order, host)
		}
	}
	slices.Sort(order)
	if !slices.Equal(order, hosts) {
		t.Errorf("groups %q:\n%s", order, got.stdout)
	}
	for _, host := range hosts {
		same(t, s.src+"/dir", s.dst+"/"+host)
	}
}

// TestSummary names the hosts that failed.
func TestSummary(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	s.remoteShell(`case $host in 127.0.2.*) echo "no way in" >&2; exit 1;; esac; exec sh -c "$command"`)
	got := s.run("SRC/f -> (good1 bad1 good2 bad2) install DST/f ;")
	want := s.expand("2 of 4 hosts not as wanted:\n  bad1: Unexpected input from server: \"\".\n  bad2: Unexpected input from server: \"\".\n")
	if got.exit != 1 || !strings.HasSuffix(got.stderr, want) {
		t.Errorf("%v, want at its end\n%s", got, want)
	}
}

// TestJSON: the result for programs is all that standard output has.
func TestJSON(t *testing.T) {
	s := newStage(t)
	s.write("f", "12345")
	s.write("g", "x")
	got := s.run("one: SRC -> hosta install DST/src ;\ntwo: SRC/none -> hostb install DST ;", "--json")
	var result jsonResult
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
		t.Fatalf("%v: %v", err, got)
	}
	if got.exit != 1 || result.Version != 1 || result.AsWanted || len(result.Hosts) != 2 {
		t.Fatalf("%v", got)
	}
	a, b := result.Hosts[0], result.Hosts[1]
	wantA := jsonEntry{Label: "one", File: "standard input", Line: 1, AsWanted: true, Installed: 3, Bytes: 6}
	if a.Host != "127.0.0.1" || !a.AsWanted || len(a.Entries) != 1 || a.Entries[0] != wantA {
		t.Errorf("hosta: %+v, want %+v", a, wantA)
	}
	wantB := jsonEntry{Label: "two", File: "standard input", Line: 2, LocalErrors: 1}
	if b.Host != "127.0.0.2" || b.AsWanted || len(b.Entries) != 1 || b.Entries[0] != wantB {
		t.Errorf("hostb: %+v, want %+v", b, wantB)
	}
	if !strings.Contains(got.stderr, s.expand("hosta: SRC/f: installing\n")) {
		t.Errorf("the messages are not on standard error: %v", got)
	}
}

// TestLogging: -l here, -L on the other side, and -D.
func TestLogging(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	here, there := s.dir+"/here.log", s.dir+"/there.log"
	s.want(s.run("SRC/f -> hosta install DST/f ;", "-l", "stdout=change:file="+here+"=all", "-L", "file="+there+"=all"), 0,
		"hosta: SRC/f: installing\n", "")
	if text, want := content(t, here), s.expand("hosta: updating host hosta\nhosta: SRC/f: installing\nhosta: updating of hosta finished\n"); text != want {
		t.Errorf("%s has %q, want %q", here, text, want)
	}
	if text := content(t, there); !strings.Contains(text, s.dst+"/f") {
		t.Errorf("%s has %q", there, text)
	}
	if got := s.run("SRC/f -> hosta install DST/f ;", "-D"); got.exit != 0 || !strings.HasPrefix(got.stdout, protocolVersion+"\n") {
		t.Errorf("-D: %v", got)
	}
}

// TestRunningProgram: a program can be replaced while it runs.
func TestRunningProgram(t *testing.T) {
	s := newStage(t)
	ok(t, os.WriteFile(s.dst+"/prog", must(os.ReadFile("/bin/sleep"))(t), 0o755))
	running := exec.Command(s.dst+"/prog", "600")
	ok(t, running.Start())
	defer func() {
		ok(t, running.Process.Kill())
		_ = running.Wait() // it was killed
	}()
	s.write("prog", "#!/bin/sh\necho new\n")
	ok(t, os.Chmod(s.src+"/prog", 0o755))
	s.want(s.run("SRC/prog -> hosta install DST/prog ;"), 0,
		"hosta: updating host hosta\nhosta: SRC/prog: updating\nhosta: updating of hosta finished\n", "")
	if out, err := exec.Command(s.dst + "/prog").Output(); string(out) != "new\n" {
		t.Errorf("%q %v", out, err)
	}
}

// TestSignal: the first signal gives the hosts up, tells so, and ends the
// remote shells.
func TestSignal(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	s.remoteShell("echo $$ >DST/pid.new; mv DST/pid.new DST/pid; exec cat >/dev/null")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := s.command(ctx, nil, "SRC/f -> hosta install DST/f ;")
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	ok(t, cmd.Start())
	for {
		if _, err := os.Stat(s.dst + "/pid"); err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the remote shell was not started")
		}
		time.Sleep(10 * time.Millisecond)
	}
	ok(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait() // its status is looked at
	if want := s.expand("hosta: LOCAL ERROR: Interrupted: "); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stdout.String(), want) {
		t.Errorf("%v, printed %q, want %q", cmd.ProcessState, stdout.String(), want)
	}
	shell := must(strconv.Atoi(strings.TrimSpace(content(t, s.dst+"/pid"))))(t)
	if err := syscall.Kill(shell, 0); err != syscall.ESRCH {
		t.Errorf("the remote shell is still there: %v", err)
	}
}

// TestTempDir: what is to be mailed is collected below $TMPDIR.
func TestTempDir(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	s.env = append(os.Environ(), "TMPDIR=/nowhere")
	got := s.run("SRC/f -> hosta install DST/f ; notify somebody ;")
	if want := s.expand("hosta: LOCAL ERROR: notify: the messages cannot be collected: open /nowhere/rdist"); got.exit != 1 || !strings.Contains(got.stdout, want) {
		t.Errorf("%v, want %q", got, want)
	}
}

// TestLinkListedTwice: a name that is listed twice counts for two, as the
// manual page warns, and those behind it are linked.
func TestLinkListedTwice(t *testing.T) {
	s := newStage(t)
	s.write("a", "x")
	ok(t, os.Link(s.src+"/a", s.src+"/b"))
	ok(t, os.Link(s.src+"/a", s.src+"/c"))
	got := s.run("(SRC/a SRC/b SRC/b SRC/c) -> hosta install DST ;")
	if want := s.expand("Warning: 1 extra links\n"); got.exit != 0 || !strings.Contains(got.stdout, want) {
		t.Errorf("%v, want %q", got, want)
	}
	first := must(os.Stat(s.dst + "/a"))(t)
	for _, name := range []string{"/b", "/c"} {
		if !os.SameFile(first, must(os.Stat(s.dst+name))(t)) {
			t.Errorf("%s is a file of its own", name)
		}
	}
}

func content(t *testing.T, name string) string {
	t.Helper()
	return string(must(os.ReadFile(name))(t))
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
