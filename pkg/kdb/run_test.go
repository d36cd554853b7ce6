package kdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/child"
)

// script makes an executable that stands for kdb5_util.
func script(t *testing.T, body string) *Util {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "fake_util")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
	return &Util{Path: path, Realm: "R", Env: []string{"PATH=/usr/bin:/bin", "DIR=" + dir}}
}

// waiting adds to a script's environment a FIFO, which the script opens as
// descriptor 9. The reader gets what it says there, and the end of file once
// nothing that the script started lives any more.
func waiting(t *testing.T, u *Util) *bufio.Reader {
	t.Helper()
	path := filepath.Join(filepath.Dir(u.Path), "fifo")
	must(t, unix.Mkfifo(path, 0o600))
	u.Env = append(u.Env, "FIFO="+path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	// A reader of its own, opened while the FIFO has a writer, so that the
	// open does not block and only the script's end gives end of file.
	r, err := os.OpenFile(path, os.O_RDONLY, 0)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return bufio.NewReader(&closeAfterFirst{r: r, writer: f})
}

// closeAfterFirst closes the helping writer once the script has its own.
type closeAfterFirst struct {
	r      io.Reader
	writer io.Closer
}

func (c *closeAfterFirst) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 && c.writer != nil {
		c.writer.Close()
		c.writer = nil
	}
	return n, err
}

func TestLoadArguments(t *testing.T) {
	for _, c := range []struct {
		u    Util
		file string
		want string
	}{
		{Util{}, "/d/f", "-r R load /d/f"},
		{Util{Database: "/db"}, "/d/f", "-r R load -d /db /d/f"},
		{Util{Database: "/db", Args: []string{"-sf", "/s"}}, "-x", "-r R -sf /s load -d /db ./-x"},
	} {
		u := script(t, `printf '%s\n' "$@" > "$DIR/out"; read x && exit 9; exit 0`)
		u.Database, u.Args = c.u.Database, c.u.Args
		must(t, u.Load(context.Background(), c.file))
		if got := strings.Join(strings.Fields(content(t, filepath.Dir(u.Path)+"/out")), " "); got != c.want {
			t.Errorf("arguments %q, want %q", got, c.want)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	u := script(t, `echo "a(3): cannot read key data" >&2; printf 'kdb5_util: \033[31mfailed\007\n' >&2; exit 3`)
	err := u.Load(context.Background(), "f")
	var ue *UtilError
	if !errors.As(err, &ue) || ue.ExitCode != 3 || ue.Signal != nil {
		t.Fatal(err)
	}
	want := u.Path + " returned a bad exit status (3): a(3): cannot read key data; kdb5_util: [31mfailed"
	if err.Error() != want || ue.MITText() != u.Path+" returned a bad exit status (3)" {
		t.Errorf("%q, want %q", err, want)
	}

	u = script(t, `kill -9 $$`)
	if err = u.Load(context.Background(), "f"); !errors.As(err, &ue) || ue.Signal != unix.SIGKILL || ue.MITText() != u.Path+" load terminated" {
		t.Errorf("killed: %v", err)
	}

	u = &Util{Path: filepath.Join(t.TempDir(), "absent"), Realm: "R"}
	err = u.Load(context.Background(), "f")
	if want := "No such file or directory while trying to exec " + u.Path; mitText(err) != want || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestStderrIsBounded(t *testing.T) {
	u := script(t, `i=0; while [ $i -lt 3000 ]; do echo "line $i 0123456789012345678901234567890123456789"; i=$((i+1)); done >&2; exit 1`)
	var ue *UtilError
	if err := u.Load(context.Background(), "f"); !errors.As(err, &ue) {
		t.Fatal(err)
	}
	if len(ue.Stderr) > child.MaxStderr || len(ue.Stderr) < child.MaxStderr-100 || !strings.Contains(ue.Stderr, "line 2999 ") || strings.Contains(ue.Stderr, "line 1 ") {
		t.Errorf("%d bytes kept, ending in %.60q", len(ue.Stderr), ue.Stderr[len(ue.Stderr)-60:])
	}
}

// Cancelling ends the program and what it started, if need be by force.
func TestCancelKillsGroup(t *testing.T) {
	for name, ignore := range map[string]string{"by SIGTERM": "", "by SIGKILL": "trap '' TERM\n"} {
		u := script(t, ignore+"exec 9>\"$FIFO\"\nsleep 1000 &\necho ready >&9\nwhile :; do wait; done")
		u.Grace = 20 * time.Millisecond
		if ignore == "" {
			u.Grace = time.Hour
		}
		r := waiting(t, u)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- u.Load(ctx, "f") }()
		if line, err := r.ReadString('\n'); line != "ready\n" {
			t.Fatal(line, err)
		}
		cancel()
		err := <-done
		var ue *UtilError
		if !errors.As(err, &ue) || ue.Signal == nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
			t.Errorf("%s: %q, %v", name, rest, err)
		}
	}
}

// What a program leaves in the background neither survives nor delays it.
func TestBackgroundChildIsKilled(t *testing.T) {
	u := script(t, "exec 9>\"$FIFO\"\nsleep 1000 &\necho ready >&9\nexit 0")
	r := waiting(t, u)
	must(t, u.Load(context.Background(), "f"))
	if out, err := io.ReadAll(r); err != nil || string(out) != "ready\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestCancelledBeforeStart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	u := script(t, `: > "$DIR/ran"`)
	if err := u.Load(ctx, "f"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := content(t, filepath.Dir(u.Path)+"/ran"); got != "absent" {
		t.Error("the program was started")
	}
}

// No descriptor without close-on-exec, as from inetd, reaches the program.
func TestNoInheritedFiles(t *testing.T) {
	var fds [2]int
	must(t, unix.Pipe(fds[:]))
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	u := script(t, fmt.Sprintf("if [ -e /proc/$$/fd/%d ] || [ -e /proc/$$/fd/%d ]; then exit 1; fi", fds[0], fds[1]))
	must(t, u.Load(context.Background(), "f"))
}

const loaderEnv = "KDB_TEST_LOADER"

func TestMain(m *testing.M) {
	if path := os.Getenv(loaderEnv); path != "" {
		_ = (&Util{Path: path, Realm: "R"}).Load(context.Background(), "f")
		os.Exit(0)
	}
	if dir := os.Getenv(stagerEnv); dir != "" {
		stageAndDie(dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// If this process is killed, the program dies with it.
func TestProgramDiesWithUs(t *testing.T) {
	u := script(t, "exec 9>\"$FIFO\"\necho ready >&9\nexec sleep 1000")
	r := waiting(t, u)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(u.Env, loaderEnv+"="+u.Path)
	must(t, cmd.Start())
	if line, err := r.ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// Dump does not believe the exit status.
func TestDumpIsChecked(t *testing.T) {
	const head = `f=$(eval echo \$$#); t="$f-abcdef"; `
	const princ = `printf 'kdb5_util load_dump version 7\nprinc\t38\t-1;\n'`
	for name, c := range map[string]struct{ body, want string }{
		"good":           {head + princ + ` > $t; mv $t $f; printf '\0' > $f.dump_ok`, ""},
		"policy last":    {head + `printf 'x;\npolicy\tp\t1\n' > $t; mv $t $f; printf '\0' > $f.dump_ok`, ""},
		"no LF":          {head + `printf 'x\nprinc\t38\t-1;' > $t; mv $t $f; printf '\0' > $f.dump_ok`, "middle of a record"},
		"cut":            {head + `printf 'x\nprinc\t38\n' > $t; mv $t $f; printf '\0' > $f.dump_ok`, "middle of a record"},
		"empty":          {head + `: > $t; mv $t $f; printf '\0' > $f.dump_ok`, "middle of a record"},
		"disk full":      {head + princ + ` > $t; mv $t $f; : > $f.dump_ok`, "not complete"},
		"no mark":        {head + princ + ` > $t; mv $t $f; rm -f $f.dump_ok`, "no mark"},
		"nothing":        {`:`, "no new dump"},
		"no mark, wrong": {head + `rm $f`, "no dump"},
		"exit 1, old":    {`exit 1`, "exit status (1)"},
		"exit 1, new":    {head + princ + ` > $t; mv $t $f; printf '\0' > $f.dump_ok; echo no stash >&2; exit 1`, "complete nevertheless: no stash"},
	} {
		u := script(t, c.body)
		file := filepath.Join(t.TempDir(), "dump")
		mustWrite(t, file, "former;\n")
		mustWrite(t, file+".dump_ok", "\x00")
		err := u.Dump(context.Background(), file)
		var ue *UtilError
		switch {
		case c.want == "":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &ue) || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		case ue.DumpComplete != (name == "exit 1, new"):
			t.Errorf("%s: DumpComplete is %t", name, ue.DumpComplete)
		}
	}
}

// A killed dump leaves no temporary file with keys behind.
func TestAbandonedDumpIsRemoved(t *testing.T) {
	u := script(t, `exec 9>"$FIFO"; f=$(eval echo \$$#); : > $f.dump_ok; echo keys > $f-aB3xyz; echo ready >&9; exec sleep 1000`)
	file := filepath.Join(t.TempDir(), "dump")
	mustWrite(t, file+"-other7", "of another time")
	setTime(t, file+"-other7", time.Now().Add(-time.Hour))
	mustWrite(t, file+"-notes.txt", "not a temporary file")
	r := waiting(t, u)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Dump(ctx, file) }()
	if line, err := r.ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if content(t, file+"-aB3xyz") != "absent" || content(t, file+"-other7") == "absent" || content(t, file+"-notes.txt") == "absent" {
		t.Error("wrong files were removed or left")
	}
	RemoveAbandoned(file)
	if content(t, file+"-other7") != "absent" || content(t, file+"-notes.txt") == "absent" {
		t.Error("wrong files were removed or left of another time")
	}
}
