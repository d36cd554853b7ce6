package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// runAlone runs a verb as verbs.run does, without the others.
func runAlone(t *testing.T, cmd *cobra.Command, stdin io.Reader, args ...string) printed {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	tellUsage(cmd)
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	err := cmd.Execute()
	var code exitCode
	if err != nil && !errors.As(err, &code) {
		code = (&verbs{stdout: &stdout, stderr: &stderr}).fail(cmd, err)
	}
	return printed{stdout.String(), stderr.String(), int(code)}
}

const dumpHeader = "kdb5_util load_dump version 7\n"

// princLine is a principal without keys.
func princLine(name string, maxLife string) string {
	return "princ\t38\t" + strconv.Itoa(len(name)) + "\t0\t0\t0\t" + name + "\t0\t" + maxLife + "\t0\t0\t0\t0\t0\t0\t-1;\n"
}

// smallDump is a dump with a key in K/M and some more lines.
func smallDump(more ...string) string {
	km := "princ\t38\t5\t0\t1\t0\tK/M@R\t0\t0\t0\t0\t0\t0\t0\t0\t1\t1\t18\t62\t2000" + strings.Repeat("ab", 60) + "\t-1;\n"
	return dumpHeader + km + princLine("krbtgt/R@R", "0") + strings.Join(more, "")
}

func dumpFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDiff(t *testing.T) {
	a := dumpFile(t, smallDump(princLine("x@R", "0"), princLine("y@R", "60")))
	b := dumpFile(t, smallDump(princLine("w\x1b[31m@R", "0"), princLine("y@R", "3600"), "policy\tp\t0\t0\t1\t1\t1\t0\t0\t0\t0\t0\t0\t0\t-\t0\n"))
	const text = `+ w\x1b[31m@R
- x@R
~ y@R  max life 1m -> 1h
+ policy p
principals: 1 added, 1 removed, 1 changed, 2 the same; policies: 1 added, 0 removed, 0 changed, 0 the same
`
	if d := cmp.Diff(printed{text, "", 1}, runAlone(t, newDiffCommand(), nil, a, b), cmp.AllowUnexported(printed{})); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(printed{"principals: 4, all the same; policies: 0, all the same\n", "", 0},
		runAlone(t, newDiffCommand(), nil, a, a), cmp.AllowUnexported(printed{})); d != "" {
		t.Error(d)
	}
}

// TestDiffStdin takes one of the dumps from a pipe, or from a FIFO.
func TestDiffStdin(t *testing.T) {
	a, text := dumpFile(t, smallDump(princLine("x@R", "0"))), smallDump()
	want := printed{"- x@R\nprincipals: 0 added, 1 removed, 0 changed, 2 the same; policies: 0, all the same\n", "", 1}
	if got := runAlone(t, newDiffCommand(), strings.NewReader(text), a, "-"); got != want {
		t.Errorf("%+v", got)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(fifo, []byte(text), 0o600) }()
	if got := runAlone(t, newDiffCommand(), nil, a, fifo); got != want {
		t.Errorf("%+v", got)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// TestDiffMasterKey: that the master key differs stands first.
func TestDiffMasterKey(t *testing.T) {
	a := dumpFile(t, smallDump())
	b := dumpFile(t, strings.Replace(smallDump(princLine("A@R", "0")), "abab", "cdcd", 1))
	got := runAlone(t, newDiffCommand(), nil, a, b)
	if !strings.HasPrefix(got.stdout, "The master key differs") || !strings.Contains(got.stdout, "\n~ K/M@R  keys changed\n+ A@R\n") || got.exit != 1 {
		t.Errorf("%+v", got)
	}
}

// TestDiffRemarks: what makes dumps hard to compare is on standard error.
func TestDiffRemarks(t *testing.T) {
	whole := dumpFile(t, smallDump())
	for _, c := range []struct{ text, want string }{
		{dumpHeader, "the dump holds no principals"},
		{dumpHeader + princLine("x@R", "0"), "the dump lacks the master key entry"},
		{strings.Replace(smallDump(), "version 7", "version 6", 1), "the formats differ (kdb5_util load_dump version 7; kdb5_util load_dump version 6)"},
		{strings.ReplaceAll(smallDump(), "R\t0", "S\t0"), "these are different realms: R, S"},
	} {
		got := runAlone(t, newDiffCommand(), nil, whole, dumpFile(t, c.text))
		if !strings.Contains(got.stderr, c.want) || got.exit == 2 {
			t.Errorf("%+v, want %s", got, c.want)
		}
	}
}

func TestDiffJSON(t *testing.T) {
	a := dumpFile(t, smallDump(princLine("y@R", "60")))
	b := dumpFile(t, smallDump(princLine("y@R", "3600"), "policy\tp\t0\t0\t1\t1\t1\t0\t0\t0\t0\t0\t0\t0\t-\t0\n"))
	got := runAlone(t, newDiffCommand(), nil, a, b, "--json")
	lines := strings.Split(got.stdout, "\n")
	if len(lines) != 4 || got.exit != 1 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []string{
		`{"change":"changed","principal":"y@R","fields":[{"field":"max_life","old":"1m","new":"1h"}]}`,
		`{"change":"added","policy":"p"}`,
	} {
		if lines[i] != want {
			t.Error(lines[i])
		}
	}
	var doc struct{ Summary summaryJSON }
	if err := json.Unmarshal([]byte(lines[2]), &doc); err != nil {
		t.Fatal(err)
	}
	if s := doc.Summary; s.Equal || s.Principals.Changed != 1 || s.Policies.Added != 1 || s.A.Realm != "R" || s.B.File != b || s.B.Principals != 3 {
		t.Errorf("%+v", s)
	}
}

func TestDiffFails(t *testing.T) {
	good, dir := dumpFile(t, smallDump()), t.TempDir()
	bad := dumpFile(t, smallDump("trash\n"))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{good, bad}, "kprop: " + bad + ": dump line 4, column 1: "},
		{[]string{bad, good}, "kprop: " + bad + ": dump line 4, column 1: "},
		{[]string{good, filepath.Join(dir, "none")}, "no such file"},
		{[]string{good, dir}, "is a directory"},
		{[]string{good, "/dev/null"}, "it has 0 bytes"},
		{[]string{good}, "two dumps are to be named, not 1"},
		{[]string{"-", "-"}, "only one of the dumps"},
		{[]string{good, bad, "--colour"}, "unknown flag"},
	} {
		got := runAlone(t, newDiffCommand(), strings.NewReader(""), c.args...)
		if got.exit != 2 || got.stdout != "" || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%v: %+v", c.args, got)
		}
	}
}

// TestDiffLeavesNothing: what came through a pipe leaves no file.
func TestDiffLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	runAlone(t, newDiffCommand(), strings.NewReader(smallDump()), dumpFile(t, smallDump()), "-")
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), "kprop-diff-") || err != nil {
			t.Error(e, err)
		}
	}
}

func TestOnOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"zoë b@R":                "zoë b@R",
		"a\x1b\r\n\x00b":         `a\x1b\x0d\x0a\x00b`,
		"\u202ea\xffb\U000e0001": `\u202ea\xffb\U000e0001`,
		"\uFFFD":                 `\ufffd`,
	} {
		if got := onOneLine(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
