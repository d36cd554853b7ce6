package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stage is a directory with a tree to distribute, and hosts that are only
// names: a stand-in for a remote shell runs the server on this machine.
type stage struct {
	t             *testing.T
	dir, src, dst string
	shell         string // the remote shell; it logs its arguments in calls
	calls         string
	args          []string // of each run
	env           []string // of each run; nil: this process's
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{t: t, dir: dir, src: filepath.Join(dir, "src"), dst: filepath.Join(dir, "dst"),
		shell: filepath.Join(dir, "kshell"), calls: filepath.Join(dir, "calls")}
	for _, d := range []string{s.src, s.dst} {
		ok(t, os.Mkdir(d, 0o755))
	}
	s.remoteShell(`exec sh -c "$command"`)
	// The rdistd of the hosts is krdistd.
	ok(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	ok(t, os.Symlink(ourKrdistd(), filepath.Join(dir, "bin/rdistd")))
	s.args = []string{"-P", s.shell}
	return s
}

// remoteShell has the stand-in do something else.
func (s *stage) remoteShell(do string) {
	s.t.Helper()
	text := fmt.Sprintf("#!/bin/sh\nprintf '%%s|' \"$@\" >>%s; echo >>%s\nhost=$1 user=$3 command=$4\nPATH=%s/bin:$PATH\n%s\n",
		s.calls, s.calls, s.dir, s.expand(do))
	ok(s.t, os.WriteFile(s.shell, []byte(text), 0o755))
}

// write makes a file below the source, with a time in the past.
func (s *stage) write(name, text string) {
	s.t.Helper()
	name = filepath.Join(s.src, name)
	ok(s.t, os.MkdirAll(filepath.Dir(name), 0o755))
	ok(s.t, os.WriteFile(name, []byte(text), 0o644))
	ok(s.t, os.Chtimes(name, time.Time{}, time.Unix(1000000000+int64(len(text)), 0)))
}

type ran struct {
	exit           int
	stdout, stderr string
}

func (r ran) String() string {
	return fmt.Sprintf("exit status %d, standard output\n%s\nstandard error\n%s", r.exit, r.stdout, r.stderr)
}

func (s *stage) command(ctx context.Context, verb []string, distfile string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, ourKrdist(), slices.Concat(verb, []string{"-f", "-"}, s.args, args)...)
	cmd.Dir = s.dir
	if cmd.Env = s.env; cmd.Env == nil {
		// A journal that all tests share would tell one of another's sessions.
		cmd.Env = append(os.Environ(), "HOME="+s.dir)
	}
	cmd.Stdin = strings.NewReader(s.expand(distfile))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// expand puts the names of the stage in place of SRC and DST, and addresses
// in place of names of hosts, which need no resolver.
func (s *stage) expand(text string) string {
	return strings.NewReplacer("SRC", s.src, "DST", s.dst, "HOST", shortHostName(),
		"hosta", "127.0.0.1", "hostb", "127.0.0.2", "good", "127.0.1.", "bad", "127.0.2.").Replace(text)
}

// run runs krdist with a distfile.
func (s *stage) run(distfile string, args ...string) ran {
	s.t.Helper()
	return s.runVerb(nil, distfile, args...)
}

func (s *stage) runVerb(verb []string, distfile string, args ...string) ran {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := s.command(ctx, verb, distfile, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("run krdist: %v", err)
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want checks a whole run.
func (s *stage) want(got ran, exit int, stdout, stderr string) {
	s.t.Helper()
	want := ran{exit, s.expand(stdout), s.expand(stderr)}
	if got != want {
		s.t.Errorf("got %v\nwant %v", got, want)
	}
}

// called are the command lines of the remote shell so far.
func (s *stage) called() []string {
	text, err := os.ReadFile(s.calls)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// tree describes what is below a directory: type, mode, owner, time, contents,
// and which names are the same file.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	first := map[uint64]string{}
	ok(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %o %d.%d", name, st.Mode, st.Uid, st.Gid)
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %s", to)
		case syscall.S_IFREG:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %d:%x", st.Mtim.Sec, len(text), sha256.Sum256(text))
			if st.Nlink > 1 {
				if first[st.Ino] == "" {
					first[st.Ino] = name
				}
				fmt.Fprintf(&b, " = %s", first[st.Ino])
			}
		}
		b.WriteString("\n")
		return nil
	}))
	return b.String()
}

// same checks that two trees are identical.
func same(t *testing.T, a, b string) {
	t.Helper()
	if x, y := tree(t, a), tree(t, b); x != y {
		t.Errorf("%s is\n%s\n%s is\n%s", a, x, b, y)
	}
}
