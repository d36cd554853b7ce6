package child

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestWork: the text changes while the process or its child works.
func TestWork(t *testing.T) {
	if work(0) != "" || work(-1) != "" {
		t.Error("there is work of no process")
	}
	for _, script := range []string{"while :; do :; done", "(while :; do :; done); true"} {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		must(t, cmd.Start())
		first, deadline := work(cmd.Process.Pid), time.Now().Add(30*time.Second)
		for work(cmd.Process.Pid) == first {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no progress is seen", script)
			}
		}
		must(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
		_ = cmd.Wait()
	}
}

// TestWorkWithoutIO: where input and output are not told, how often the process
// ran is looked at.
func TestWorkWithoutIO(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) { must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
