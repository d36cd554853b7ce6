package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// systemLog keeps lines with their priority.
type systemLog struct{ strings.Builder }

func (s *systemLog) Info(line string) error   { return s.put("info", line) }
func (s *systemLog) Notice(line string) error { return s.put("notice", line) }
func (s *systemLog) Debug(line string) error  { return s.put("debug", line) }

func (s *systemLog) put(priority, line string) error {
	fmt.Fprintf(s, "%s(%s)\n", priority, line)
	return nil
}

var each = []struct {
	t    Type
	text string
}{
	{Change, "change"}, {Info, "info"}, {Notice, "notice"}, {NError, "nerror"}, {FError, "ferror"},
	{Warning, "warning"}, {Verbose, "verbose"}, {Debug, "debug"},
}

func mustParse(t *testing.T, text string) Options {
	t.Helper()
	o, err := ParseLogOpts(text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestFacilities(t *testing.T) {
	const all = "h: change|h: info|h: notice|%sh: warning|h: verbose|"
	const errs = "h: nerror|h: ferror|"
	const system = "info(h: change)|info(h: info)|notice(h: notice)|info(h: nerror)|info(h: ferror)|info(h: warning)|info(h: verbose)|"
	tests := []struct {
		options                      string
		merged                       bool
		stdout, stderr, file, syslog string
	}{
		{options: "stdout=all", stdout: fmt.Sprintf(all, ""), stderr: errs},
		{options: "stdout=all", merged: true, stdout: fmt.Sprintf(all, errs)},
		{options: "stdout=debug,nerror", stdout: "h: debug|", stderr: "h: nerror|"},
		{options: "file=FILE=all,debug", file: fmt.Sprintf(all, errs) + "h: debug|"},
		{options: "file=FILE=change:file=FILE=notice", file: "h: notice|"},
		{options: "syslog=all,debug", syslog: system + "debug(h: debug)|"},
		{options: "syslog=notice", syslog: "notice(h: notice)|"},
		{options: "notify=all"},
		{options: ""},
	}
	for _, test := range tests {
		file := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(file, []byte("of yesterday\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		var syslog systemLog
		l, err := New(mustParse(t, strings.ReplaceAll(test.options, "FILE", file)),
			Sinks{Stdout: &stdout, Stderr: &stderr, Syslog: &syslog})
		if err != nil {
			t.Fatal(err)
		}
		if test.merged {
			l.MergeErrors()
		}
		for _, m := range each {
			if got := l.Log(m.t, "h", m.text); got != "h: "+m.text {
				t.Errorf("Log returns %q", got)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		logged, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if test.file == "" {
			test.file = "of yesterday|"
		}
		got := fmt.Sprintf("%q %q %q %q", stdout.String(), stderr.String(), logged, syslog.String())
		want := fmt.Sprintf("%q %q %q %q", test.stdout, test.stderr, test.file, test.syslog)
		if want = strings.ReplaceAll(want, "|", `\n`); got != want {
			t.Errorf("%s, merged %v:\ngot  %s\nwant %s", test.options, test.merged, got, want)
		}
	}
}

func TestWants(t *testing.T) {
	l, err := New(mustParse(t, "notify=change,nerror:stdout=info"), Sinks{})
	if err != nil {
		t.Fatal(err)
	}
	if !l.Wants(Notify, Change) || !l.Wants(Notify, NError) || l.Wants(Notify, Info) || !l.Wants(Stdout, Info) || l.Wants(File, Info) {
		t.Error("the wrong facilities want it")
	}
	var zero Logger
	if zero.Log(All, "h", "x") != "h: x" || zero.Wants(Stdout, All) || zero.Close() != nil {
		t.Error("the zero Logger does something")
	}
}

func TestSystem(t *testing.T) {
	var syslog systemLog
	l, err := New(Options{}, Sinks{Syslog: &syslog})
	if err != nil {
		t.Fatal(err)
	}
	l.System(Info, "startup for x\x1b")
	if syslog.String() != "info(startup for x?)\n" {
		t.Errorf("got %s", syslog.String())
	}
}

func TestConfigure(t *testing.T) {
	dir := t.TempDir()
	var opened []string
	open := func(name string) (io.WriteCloser, error) {
		opened = append(opened, name)
		return os.Create(filepath.Join(dir, name))
	}
	l, err := New(mustParse(t, "file=a=all"), Sinks{OpenFile: open})
	if err != nil {
		t.Fatal(err)
	}
	l.Log(Info, "", "one")
	for _, text := range []string{"file=a=info,debug", "file=b=all", "stdout=all"} {
		if err := l.Configure(mustParse(t, text)); err != nil {
			t.Fatal(err)
		}
		l.Log(Debug, "", text)
		l.Log(Info, "", "after "+text)
	}
	a, _ := os.ReadFile(filepath.Join(dir, "a"))
	b, _ := os.ReadFile(filepath.Join(dir, "b"))
	if strings.Join(opened, " ") != "a b" || string(a) != "one\nfile=a=info,debug\nafter file=a=info,debug\n" ||
		string(b) != "after file=b=all\n" {
		t.Errorf("opened %q, a has %q, b has %q", opened, a, b)
	}
	err = l.Configure(mustParse(t, "file=none/x=all"))
	var file *FileError
	if !errors.As(err, &file) || err.Error() != "Cannot open log file for writing: none/x: No such file or directory." {
		t.Errorf("got %v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteError(t *testing.T) {
	var stderr bytes.Buffer
	l, err := New(mustParse(t, "stdout=all"), Sinks{Stdout: broken{}, Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	l.Log(Info, "", "lost")
	l.Log(NError, "", "seen")
	if err := l.Close(); !errors.Is(err, io.ErrClosedPipe) || stderr.String() != "seen\n" {
		t.Errorf("%v %q", err, stderr.String())
	}
}

// TestSideBySide: lines of hosts that are worked on at once do not mix.
func TestSideBySide(t *testing.T) {
	var out bytes.Buffer
	l, err := New(mustParse(t, "stdout=all"), Sinks{Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				l.Log([]Type{Info, NError}[i%2], strings.Repeat(string(rune('a'+i)), 20), "x")
			}
		})
	}
	all.Wait()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for _, line := range lines {
		if line != strings.Repeat(line[:1], 20)+": x" {
			t.Fatalf("a mixed line: %q", line)
		}
	}
	if len(lines) != 800 {
		t.Errorf("%d lines, want 800", len(lines))
	}
}
