package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/replica"
)

// kept is what kpropd history --json shows.
func (p *poisoned) kept(t *testing.T) []replica.Kept {
	t.Helper()
	stdout, stderr, exit := p.run(t, "history", "--json")
	var list []replica.Kept
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || exit != 0 || stderr != "" {
		t.Fatalf("exit status %d, %v, stdout %q, stderr %q", exit, err, stdout, stderr)
	}
	return list
}

// numbers are the principals of each, and * for the one that is loaded.
func numbers(list []replica.Kept) string {
	var out []string
	for _, k := range list {
		mark := ""
		if k.Loaded {
			mark = "*"
		}
		out = append(out, strconv.Itoa(k.Principals)+mark)
	}
	return strings.Join(out, " ")
}

// TestRollback: what was loaded can be loaded again, and the next propagation
// goes through as ever.
func TestRollback(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t, 100)
	n := p.r.Replica
	texts := map[int][]byte{110: p.good}
	for _, made := range []int{101, 102, 103} {
		text := largeDump(t, p.r, made, 1)
		texts[made+10] = text
		p.loads(t, text)
	}
	want := func(history string) {
		t.Helper()
		if got := numbers(p.kept(t)); got != history {
			t.Errorf("history %q, want %q", got, history)
		}
	}
	want("113* 112 111")
	if stdout, _, _ := p.run(t, "history"); strings.Count(stdout, "\n") != 4 || !strings.Contains(stdout, p.host) {
		t.Errorf("history: %s", stdout)
	}
	_, stderr, exit := p.run(t, "rollback")
	if exit != 1 || !strings.Contains(stderr, "nothing was changed") || !strings.Contains(stderr, "--yes") {
		t.Errorf("without --yes: exit status %d, %s", exit, stderr)
	}
	for _, bad := range [][]string{{"0"}, {"4"}, {"-1"}, {"x"}, {"1", "2"}, {"--no-such"}} {
		if _, stderr, exit := p.run(t, "rollback", append(bad, "--yes")...); exit != 1 || stderr == "" {
			t.Errorf("rollback %v: exit status %d, %q", bad, exit, stderr)
		}
	}
	p.unchanged(t)

	p.back(t, texts[112], "--yes")
	want("113 112* 111")
	p.back(t, texts[111], "-y")
	want("113 112 111*")
	if _, stderr, exit := p.run(t, "rollback", "--yes"); exit != 1 || !strings.Contains(stderr, "no dump is kept that is older") {
		t.Errorf("behind the oldest: exit status %d, %s", exit, stderr)
	}
	p.back(t, texts[113], "--yes", "1")
	p.back(t, texts[111], "--yes", "3")

	// An older database is loaded, so nothing that comes is older than it.
	p.loads(t, texts[113])
	want("113* 112 111")
	p.back(t, texts[112], "--yes", "2")
	p.loads(t, texts[112])
	want("112* 113 111")
	p.tampered(t)
	if _, stderr, exit := p.run(t, "history", "x"); exit != 1 || stderr == "" {
		t.Error("history takes an argument")
	}
	if got := must(os.Stat(n.FromMaster + ".history"))(t); got.Mode() != os.ModeDir|0o700 {
		t.Errorf("mode %v", got.Mode())
	}
}

// back rolls back to a dump with the content.
func (p *poisoned) back(t *testing.T, text []byte, args ...string) {
	t.Helper()
	stdout, stderr, exit := p.run(t, "rollback", args...)
	if exit != 0 || !strings.Contains(stdout, "Load again number ") || !strings.Contains(stdout, "It replaces number ") {
		t.Fatalf("rollback: exit status %d, %s%s", exit, stdout, stderr)
	}
	p.good = text
	p.unchanged(t)
}

// tampered: a kept dump that has changed is not loaded.
func (p *poisoned) tampered(t *testing.T) {
	t.Helper()
	k := p.kept(t)[1]
	good := []byte(content(t, k.Path))
	for name, bad := range map[string][]byte{
		"cut":       good[:len(good)-5],
		"at a line": first(t, p.r, good, 60),
		"changed": rewrite(t, good, func(q *dump.Principal) bool {
			q.Attributes ^= 1
			return true
		}),
		"empty": nil,
	} {
		ok(t, os.WriteFile(k.Path, bad, 0o600))
		_, stderr, exit := p.run(t, "rollback", "--yes", "2")
		if exit != 1 || !strings.Contains(stderr, "nothing was changed") {
			t.Errorf("%s: exit status %d, %s", name, exit, stderr)
		}
		p.unchanged(t)
	}
	ok(t, os.Remove(k.Path))
	if got := len(p.kept(t)); got != 2 {
		t.Errorf("%d are shown, want 2", got)
	}
}

// TestRollbackWhileLoading: a rollback does not wait for a load, nor get into
// its way.
func TestRollbackWhileLoading(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t, 20)
	older := p.good
	p.loads(t, largeDump(t, p.r, 25, 1))
	program, open := gate(t, p.r.Replica)
	d := p.r.StartKpropd(t, ourKpropd, "-p", program)
	next := largeDump(t, p.r, 26, 1)
	setDump(t, p.r, next)
	wait := begin(t, p.r, "", d)
	ok(t, d.WaitOutput(testContext(t), "Load PID is "))
	if _, stderr, exit := p.run(t, "rollback", "--yes"); exit != 1 || !strings.Contains(stderr, "a propagation to this host is under way") {
		t.Errorf("exit status %d, %s", exit, stderr)
	}
	open()
	if stdout, stderr, exit := wait(); exit != 0 {
		t.Fatalf("kprop: exit status %d\n%s%s", exit, stdout, stderr)
	}
	p.good = next
	p.unchanged(t)
	p.back(t, older, "--yes", "3")
}

func TestVerbUsage(t *testing.T) {
	t.Parallel()
	r := newRealm(t, krbtest.Options{})
	n := r.Replica
	for _, test := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"help"}, 0, "kpropd rollback"},
		{[]string{"history", "--help"}, 0, "kpropd rollback"},
		{[]string{"history", "-f", n.FromMaster}, 0, "no dump is kept yet"},
		{[]string{"history", "--json", "-f", n.FromMaster}, 0, "[]\n"},
		{[]string{"rollback", "-f", n.FromMaster, "--yes"}, 1, "no dump is kept"},
		{[]string{"accept", "-f", n.FromMaster, "abc"}, 1, "neither a digest"},
		{[]string{"accept", "-f", n.FromMaster, "--json"}, 1, "unknown flag"},
		{[]string{"accept", "-f", "/nonexistent/x"}, 1, "no such file or directory"},
		{[]string{"rollback", "a", "b"}, 1, "one argument at most"},
		{[]string{"nonsense"}, 1, "kpropd takes no arguments"},
	} {
		stdout, stderr, exit := runOn(t, n, ourKpropd, test.args...)
		if exit != test.exit || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%v: exit status %d, %q, %q; want %d and %q", test.args, exit, stdout, stderr, test.exit, test.want)
		}
	}
}

// TestConfigFile: the file is strict and holds; options override it.
func TestConfigFile(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t, 100)
	path := filepath.Join(p.r.Replica.Dir, "kpropd.yaml")
	for _, test := range []struct{ text, option, want string }{
		{"max_shrnk: 1%\n", "", path + ":1: max_shrnk: unknown key, did you mean max_shrink?"},
		{"keep: 1\n", "--keep=many", "--keep: \"many\" is not a whole number"},
		{"keep: 1\n", "--idle-timeout=60", "--idle-timeout: \"60\" has no unit"},
	} {
		ok(t, os.WriteFile(path, []byte(test.text), 0o600))
		args := []string{"-D", "--config", path}
		if test.option != "" {
			args = append(args, test.option)
		}
		if _, stderr, exit := runOn(t, p.r.Replica, ourKpropd, args...); exit != 1 || !strings.Contains(stderr, test.want) {
			t.Errorf("%q %s: exit status %d, %s", test.text, test.option, exit, stderr)
		}
	}
	if _, stderr, exit := runOn(t, p.r.Replica, ourKpropd, "-D", "--config", path+"x"); exit != 1 || !strings.Contains(stderr, "there is no such file") {
		t.Errorf("no file: exit status %d, %s", exit, stderr)
	}
	dir := filepath.Join(p.r.Replica.Dir, "older dumps")
	ok(t, os.WriteFile(path, []byte(fmt.Sprintf("max_shrink: 60%%\nkeep: 1\nhistory_dir: %s\n", dir)), 0o600))
	setDump(t, p.r, first(t, p.r, p.good, 50))
	strict := p.r.StartKpropd(t, ourKpropd, "--config", path, "--max-shrink=20%")
	p.refused(t, strict, "it has 60 principals and the database here has 110: 50 (45.5%) fewer, and max_shrink is 20%", "--config "+path)
	d := p.r.StartKpropd(t, ourKpropd, "--config", path)
	mustSucceed(t, p.r, "", d, "127.0.0.1")
	if files := must(filepath.Glob(filepath.Join(dir, "*.dump")))(t); len(files) != 1 {
		t.Errorf("%v", files)
	}
}

// TestHistoryElsewhere: on another file system dumps are copied, and where one
// has no room the load works all the same.
func TestHistoryElsewhere(t *testing.T) {
	t.Parallel()
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	kept := filepath.Join(dir, "kept")
	p := newPoisoned(t, 20, "--history-dir", kept)
	p.args = append(p.args, "--history-dir", kept)
	eventually(t, "the dump is copied", func() bool { return numbers(p.kept(t)) == "30*" })
	small := p.good
	p.loads(t, largeDump(t, p.r, 5000, 1))
	ok(t, p.d.WaitOutput(testContext(t), "the history of dumps could not be kept"))
	if files := must(os.ReadDir(kept))(t); len(files) != 2 {
		t.Errorf("%v", files)
	}
	stdout, stderr, exit := p.run(t, "rollback", "--yes", "1")
	if exit != 0 {
		t.Fatalf("rollback: %s%s", stdout, stderr)
	}
	p.good = small
	p.unchanged(t)
}
