package replica

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

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
	l := must(s.startLoading(t.Context(), zap.NewNop()))(t)
	defer l.close()
	err := s.load(t.Context(), "/nonexistent", &dump.Report{}, l)
	if err == nil || !strings.Contains(tellOf(err), "it was stopped after 200ms without progress") {
		t.Errorf("%v", err)
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
