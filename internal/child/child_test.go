package child

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func shell(script string, args ...string) *Program {
	return &Program{Path: "/bin/sh", Args: append([]string{"-c", script, "sh"}, args...)}
}

func TestExit(t *testing.T) {
	for _, c := range []struct {
		name string
		p    *Program
		want Exit
	}{
		{"good", shell("echo out; echo err >&2"), Exit{OK: true, Stderr: "err\n"}},
		{"bad", shell("exit 3"), Exit{ExitCode: 3}},
		{"signal", shell("kill -TERM $$"), Exit{ExitCode: -1, Signal: unix.SIGTERM}},
		{"control characters", shell(`printf 'a\033[1mb\r\n' >&2`), Exit{OK: true, Stderr: "a[1mb\n"}},
	} {
		got := c.p.Run(context.Background())
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if e := (&Program{Path: "/nonexistent/program"}).Run(context.Background()); e.OK || e.ExitCode != -1 || !errors.Is(e.Err, os.ErrNotExist) {
		t.Errorf("absent program: %+v", e)
	}
}

// A program gets the whole of its input, and need not read it.
func TestStdin(t *testing.T) {
	in := []byte(strings.Repeat("0123456789abcde\n", 1<<16))
	out := filepath.Join(t.TempDir(), "out")
	p := shell(`cat > "$1"`, out)
	p.Stdin = in
	if e := p.Run(context.Background()); !e.OK {
		t.Fatalf("%+v", e)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != string(in) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(in))
	}
	p = shell("exec <&-; exit 0")
	p.Stdin = in
	if e := p.Run(context.Background()); !e.OK {
		t.Errorf("a program that does not read: %+v", e)
	}
}

func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	p := shell("exec sleep 1000")
	reason := errors.New("enough")
	p.Started = func(int) { cancel(reason) }
	if e := p.Run(ctx); e.OK || e.Signal != unix.SIGTERM || !errors.Is(e.Err, reason) {
		t.Errorf("%+v", e)
	}
	if e := p.Run(ctx); e.OK || e.Err == nil {
		t.Errorf("after the end: %+v", e)
	}
}
