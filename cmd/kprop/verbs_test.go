package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

// startFake makes a daemon of a fake: the real server on a socket.
func startFake(t *testing.T, f *fakeDaemon) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "kprop-") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	l, err := control.ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- control.Serve(ctx, l, control.New(control.Options{Service: f}).Socket()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return socket
}

// ask runs a verb in this process against a fake.
func (f *fakeDaemon) ask(t *testing.T, args ...string) printed {
	t.Helper()
	if f.document == nil {
		f.document = func() *status.Document { return sampleDocument(sampleNow) }
	}
	return runIn(t, append(args, "--socket", startFake(t, f))...)
}

func runIn(t *testing.T, args ...string) printed {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run("kprop", args, &stdout, &stderr)
	return printed{stdout.String(), stderr.String(), code}
}

// What is not a verb as the first argument is MIT's command line, which fails
// here for want of a realm.
func TestVerbIsFirstArgument(t *testing.T) {
	t.Setenv("KRB5_CONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KPROP_SOCKET", filepath.Join(t.TempDir(), "none"))
	const ofMIT = "kprop: Configuration file does not specify default realm while getting default realm\n"
	for _, c := range []struct {
		args []string
		verb bool
	}{
		{[]string{"status"}, true},
		{[]string{"history", "-n", "3"}, true},
		{[]string{"-d", "status"}, false},
		{[]string{"-f", "x", "status"}, false},
		{[]string{"-f", "now", "status"}, false},
		{[]string{"--", "status"}, false},
		{[]string{"Status"}, false},
		{[]string{"stat"}, false},
		{[]string{"./status"}, false},
		{[]string{"status.example.com"}, false},
		{[]string{"kdc2.example.com", "status"}, false},
		{[]string{""}, false},
	} {
		got := runIn(t, c.args...)
		if verb := strings.HasPrefix(got.stderr, "kprop: kprop serve does not run here (there is no "); verb != c.verb || verb && got.exit != 2 {
			t.Errorf("%q is taken for a verb: %v, want %v: exit status %d, %s", c.args, verb, c.verb, got.exit, got.stderr)
		}
		if !c.verb && (!strings.HasPrefix(got.stderr, ofMIT) || got.exit != 1) {
			t.Errorf("%q: exit status %d, %s", c.args, got.exit, got.stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	whole := runIn(t, "--help")
	if whole.exit != 0 || whole.stderr != "" || !strings.HasPrefix(whole.stdout, "Usage: kprop [-r realm]") {
		t.Errorf("--help: %+v", whole)
	}
	if got := runIn(t, "help"); got != whole {
		t.Errorf("help: %+v, want that of --help", got)
	}
	for _, c := range (&verbs{}).root().Commands() {
		name := c.Name()
		if name == "completion" {
			continue
		}
		if !isVerb(name) {
			t.Errorf("%s is no verb", name)
		}
		if !strings.Contains(whole.stdout, "\n  "+fmt.Sprintf("%-12s", name)) {
			t.Errorf("--help does not name %s", name)
		}
		got := runIn(t, "help", name)
		if got.exit != 0 || !strings.HasPrefix(got.stdout, "Usage: kprop "+name) {
			t.Errorf("help %s: %+v", name, got)
		}
		for line := range strings.Lines(got.stdout) {
			if len(line) > 81 {
				t.Errorf("help %s has a line of %d columns: %s", name, len(line), line)
			}
		}
		if name == "help" {
			continue
		}
		if other := runIn(t, name, "--help"); other != got {
			t.Errorf("%s --help: %+v, want that of help %s", name, other, name)
		}
	}
	if got := runIn(t, "version"); got.exit != 0 || got.stdout != runIn(t, "--version").stdout || got.stdout == "" {
		t.Errorf("version: %+v", got)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"status --bad", "kprop: unknown flag: --bad\n  usage: kprop status [REPLICA...]"},
		{"status --watch=1ms", "kprop: --watch takes an interval of at least 100ms, not 1ms\n"},
		{"status --watch=x", `kprop: invalid argument "x" for "--watch" flag: `},
		{"status --watch 5s", "kprop: the interval stands behind =: --watch=5s\n"},
		{"status --json --check", "kprop: --json and --check exclude each other\n"},
		{"status --check --watch", "kprop: --check and --watch exclude each other\n"},
		{"status --color=blue", `kprop: --color is auto, always or never, not "blue"` + "\n"},
		{"history a b", `kprop: "b" is one argument too many` + "\n"},
		{"history -n 0", "kprop: -n takes a number of at least 1, not 0\n"},
		{"pause", "kprop: name the replicas to pause\n  usage: kprop pause REPLICA...\n"},
		{"resume", "kprop: name the replicas to resume\n"},
		{"reload now", `kprop: "now" is one argument too many` + "\n"},
		{"version 2", `kprop: "2" is one argument too many` + "\n"},
		{"help nosuch", `kprop: there is no verb "nosuch"; kprop help lists them` + "\n"},
	} {
		got := runIn(t, strings.Fields(c.args)...)
		if got.exit != 2 || got.stdout != "" || !strings.HasPrefix(got.stderr, c.want) || !strings.Contains(got.stderr, "\n  usage: kprop ") {
			t.Errorf("%s: %+v, want exit status 2 and %q", c.args, got, c.want)
		}
	}
}

func TestCompletion(t *testing.T) {
	f := &fakeDaemon{}
	for _, c := range []struct{ words, want string }{
		{"status kdc2", "kdc2.example.com\nkdc2.example.com:1754\n:4\n"},
		{"status kdc2.example.com kdc2", "kdc2.example.com:1754\n:4\n"},
		{"now --realm T", "TEST.EXAMPLE.COM\n:4\n"},
		{"status --color a", "auto\nalways\nnever\n:4\n"},
		{"pau", "pause\tsend no more to a replica\n:4\n"},
		{"help his", "history\n:4\n"},
	} {
		t.Setenv("KPROP_SOCKET", startFakeDocument(t, f))
		got := runIn(t, append([]string{"__complete"}, strings.Fields(c.words)...)...)
		if got.stdout != c.want || got.exit != 0 {
			t.Errorf("%s: %+v, want %q", c.words, got, c.want)
		}
	}
	t.Setenv("KPROP_SOCKET", "/nonexistent/socket")
	if got := runIn(t, "__complete", "status", ""); got.stdout != ":4\n" || got.exit != 0 {
		t.Errorf("without a daemon: %+v", got)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := runIn(t, "completion", shell); got.exit != 0 || !strings.Contains(got.stdout, "__complete") {
			t.Errorf("completion %s: exit status %d, %s", shell, got.exit, got.stderr)
		}
	}
}

func startFakeDocument(t *testing.T, f *fakeDaemon) string {
	f.set(func() *status.Document { return sampleDocument(sampleNow) })
	return startFake(t, f)
}

func TestPauseAndResume(t *testing.T) {
	f := &fakeDaemon{}
	got := f.ask(t, "pause", "kdc2", "kdc3\x1b[2J")
	want := "kdc2: paused; nothing is sent to it until: kprop resume kdc2\nkdc3?[2J: paused; nothing is sent to it until: kprop resume kdc3?[2J\n"
	if got != (printed{stdout: want}) {
		t.Errorf("%+v, want %q", got, want)
	}
	if got := f.ask(t, "resume", "kdc2"); got != (printed{stdout: "kdc2: resumed\n"}) {
		t.Errorf("%+v", got)
	}
	if asked := strings.Join(f.asked, "; "); asked != `paused ["kdc2" "kdc3\x1b[2J"] true; paused ["kdc2"] false` {
		t.Errorf("the daemon was asked %s", asked)
	}
	f.err = fmt.Errorf("replica %q: %w", "kdc9", control.ErrUnknown)
	if got := f.ask(t, "pause", "kdc9"); got.exit != 2 || got.stdout != "" || !strings.HasPrefix(got.stderr, `kprop: replica "kdc9": `) {
		t.Errorf("%+v", got)
	}
}

func TestReload(t *testing.T) {
	f := &fakeDaemon{}
	const want = `/etc/kprop/kprop.yaml is in force
  EXAMPLE.COM: @every 5m (UTC) and on each change, to kdc2.example.com, kdc3.example.com, kdc4.example.com, kdc5.example.com, kdc6.example.com (paused), kdc7.example.com (disabled), kdc8.frankfurt.prod.example.com
  TEST.EXAMPLE.COM: 30 2 * * * (UTC), to kdc2.example.com:1754
`
	if got := f.ask(t, "reload"); got != (printed{stdout: want}) {
		t.Errorf("%+v, want\n%s", got, want)
	}
	f.err = errors.New("/etc/kprop/kprop.yaml:3: replicas: twice kdc2\n/etc/kprop/kprop.yaml:9: no key colour")
	got := f.ask(t, "reload")
	if got.exit != 1 || got.stdout != "" || !strings.HasPrefix(got.stderr, "kprop: the new configuration was refused, the former one stays in force:\n  /etc") {
		t.Errorf("%+v", got)
	}
}

func TestHistory(t *testing.T) {
	f := &fakeDaemon{history: sampleHistory(sampleNow)}
	got := f.ask(t, "history", "-n", "2", "--json", "kdc2", "--realm", "EXAMPLE.COM")
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	if got.exit != 0 || len(lines) != 2 || !strings.HasPrefix(lines[0], `{"id":9,`) || !strings.HasPrefix(lines[1], `{"id":8,`) {
		t.Errorf("%+v", got)
	}
	if f.asked[0] != `history "EXAMPLE.COM" "kdc2" 2` {
		t.Errorf("the daemon was asked %s", f.asked)
	}
	f.history = nil
	if got := f.ask(t, "history"); got != (printed{stderr: "nothing has been recorded yet\n"}) {
		t.Errorf("%+v", got)
	}
}

// A mistyped verb is taken for a host, as MIT's kprop would; where that fails, the
// verb is named.
func TestMistypedVerb(t *testing.T) {
	for host, want := range map[string]string{
		"statsu": "status", "stat": "status", "relod": "reload", "histroy": "history",
		"kdc2": "", "status.example.com": "", "": "", "-x": "", "localhost": "",
	} {
		var b strings.Builder
		suggestVerb(&b, host)
		if want != "" {
			want = "  did you mean: kprop " + want + "\n"
		}
		if b.String() != want {
			t.Errorf("%q: %q, want %q", host, b.String(), want)
		}
	}
}
