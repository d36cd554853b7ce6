package replica

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/profile"
)

// program writes a stand-in for kdb5_util.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	ok(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700))
	return path
}

// TestLoadWithoutProgress: a load that stands still is stopped, and what it has
// started.
func TestLoadWithoutProgress(t *testing.T) {
	s := testServer(t)
	s.o.KDB5Util = program(t, "sleep 1000\n")
	s.o.LoadTimeout = 200 * time.Millisecond
	s.o.Debug = func(string, ...any) {}
	s.realm = profile.Realm{DatabaseName: filepath.Join(t.TempDir(), "principal")}
	err := s.load(t.Context(), "/nonexistent", &dump.Report{})
	if err == nil || !strings.Contains(tellOf(err), "it was stopped after 200ms without progress") {
		t.Errorf("%v", err)
	}
}

// TestWork: the text changes while the process or its child works.
func TestWork(t *testing.T) {
	if work(0) != "" || work(-1) != "" {
		t.Error("there is work of no process")
	}
	for _, script := range []string{"while :; do :; done", "(while :; do :; done); true"} {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		ok(t, cmd.Start())
		first, deadline := work(cmd.Process.Pid), time.Now().Add(30*time.Second)
		for work(cmd.Process.Pid) == first {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no progress is seen", script)
			}
		}
		ok(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
		_ = cmd.Wait()
	}
}

// TestWorkWithoutIO: where input and output are not told, how often the process
// ran is looked at.
func TestWorkWithoutIO(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) { ok(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
	write("stat", "1 (kdb5_util) S 1 1 1 0 -1 4194560 100 0 0 0 7 2 0 0 20 0 1 0 100 1000 10 18446744073709551615\n")
	write("schedstat", "100 10 5\n")
	first := used(dir)
	if first == "" || first != used(dir) {
		t.Errorf("%q, then %q", first, used(dir))
	}
	write("schedstat", "101 10 6\n")
	if used(dir) == first {
		t.Error("it ran, and that is not seen")
	}
	write("io", "rchar: 1\n")
	first = used(dir)
	write("schedstat", "102 10 7\n")
	if used(dir) != first {
		t.Error("where input and output are told, something else counts")
	}
}

func TestReadBack(t *testing.T) {
	s := testServer(t)
	s.o.MITLoader, s.o.ReadBack, s.o.LoadTimeout = true, true, time.Minute
	text := testDump(t, 5)
	report := must(s.verifyAll(t.Context(), bytes.NewReader(text)))(t)
	lines := strings.SplitAfter(string(text), "\n")
	good := filepath.Join(t.TempDir(), "good")
	other := strings.Replace(lines[1], strings.Repeat("00", 30), strings.Repeat("11", 30), 1)
	for _, test := range []struct{ name, text, want string }{
		{"all", string(text), ""},
		{"nothing", "", "0 bytes"},
		{"header", lines[0], `"K/M@KPROP.TEST" is not in it`},
		{"only K/M", lines[0] + lines[1], `@KPROP.TEST" is not in it`},
		{"another key", lines[0] + other + strings.Join(lines[2:], ""), `"K/M@KPROP.TEST" has other keys in it`},
		{"noise", "noise\n", "not a dump"},
	} {
		ok(t, os.WriteFile(good, []byte(test.text), 0o600))
		s.o.KDB5Util = program(t, fmt.Sprintf("cat %s\n", good))
		err := s.readBack(t.Context(), "", report)
		if (err == nil) != (test.want == "") {
			t.Errorf("%s: %v", test.name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %q", test.name, err)
		}
	}
	s.o.KDB5Util = "/nonexistent"
	if err := s.readBack(t.Context(), "", report); err == nil {
		t.Error("without a program")
	}
	s.o.KDB5Util = program(t, "echo >&2 no stash; cat "+good+"; exit 1\n")
	ok(t, os.WriteFile(good, text, 0o600))
	if err := s.readBack(t.Context(), "", report); err != nil {
		t.Errorf("with an exit status of 1: %v", err)
	}
	s.o.ReadBack, s.o.KDB5Util = false, "/nonexistent"
	ok(t, s.readBack(t.Context(), "", report))
}

// TestPatterns: the program gets a pattern that matches the name alone.
func TestPatterns(t *testing.T) {
	s := testServer(t)
	seen := filepath.Join(t.TempDir(), "seen")
	s.o.KDB5Util = program(t, `for a; do printf '%s\n' "$a"; done >`+seen+"\n")
	_, err := s.dumpOnly(t.Context(), "/db", []*dump.Principal{{Name: []byte("a+b.c@R.X")}})
	if err == nil {
		t.Error("an empty dump is taken")
	}
	want := "-r\n" + realm + "\ndump\n-d\n/db\n-\na\\+b\\.c@R\\.X\n"
	if got := string(must(os.ReadFile(seen))(t)); got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
}
