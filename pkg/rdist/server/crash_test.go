package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/osutil"
)

// crashVariable makes the program of the tests a server that is killed before
// the change of the disk with this number.
const crashVariable = "RDIST_TEST_CRASH_AT"

// serveAndCrash serves standard input. What it may do stands in descriptor 3.
func serveAndCrash(at string) int {
	n, err := strconv.Atoi(at)
	if err != nil {
		return 3
	}
	o := Options{Users: usersOf("hosta", "/")}
	if err := json.NewDecoder(os.NewFile(3, "options")).Decode(&struct{ *Options }{&o}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	osutil.Fault = func(string, string) error {
		if n--; n == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	if err := Serve(context.Background(), duplex{os.Stdin, os.Stdout}, o); err != nil {
		var failed *Failed
		if !errors.As(err, &failed) {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// crashing runs a server of its own with what a client says, and reports whether
// it was killed; at 0 it is killed by none of its steps.
func (s *site) crashing(t testing.TB, client string, at int, after time.Duration) (killed bool) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := s.o
	o.Users = nil
	if err := json.NewEncoder(w).Encode(o); err != nil {
		t.Fatal(err)
	}
	w.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), crashVariable+"="+strconv.Itoa(at))
	cmd.Stdin, cmd.ExtraFiles = strings.NewReader("V6\n"+client), []*os.File{r}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	if err := cmd.Wait(); err != nil {
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v: %s", at, err, errs.String())
		}
		return true
	}
	return false
}

// nothingLeft fails if there is any file of the server's own.
func (s *site) nothingLeft(t testing.TB) {
	t.Helper()
	err := filepath.WalkDir(s.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), "rdist") {
			t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// nextSession is one that does nothing of its own.
func (s *site) nextSession(t testing.TB) string {
	t.Helper()
	got, err := s.talk(t, "T0 "+s.root+"/d\n\x02\n")
	if err != nil {
		t.Error(err)
	}
	return strings.Join(got, "\n")
}

// TestAtomicCrash: a server is killed before each step that changes the disk, and
// so is the one that puts it in order. After the next session everything is
// new, or everything old, and nothing else is there.
func TestAtomicCrash(t *testing.T) {
	for _, end := range []string{"cXatomic commit\n\x02\n", "cXatomic switch\nStrue\ncXatomic commit\n\x02\n", "cXatomic switch\nSfalse\ncXatomic abort\n\x02\n"} {
		s := newUpdateSite(t)
		isNew, told := false, map[string]int{}
		at := 1
		for ; ; at++ {
			s.fill(t)
			before := snapshot(t, s.root)
			client := granted + s.changes() + end
			if !s.crashing(t, client, at, 0) {
				break
			}
			s.crashing(t, "T0 "+s.root+"/d\n\x02\n", 1+rand.IntN(40), 0)
			said := s.nextSession(t)
			for _, word := range []string{"is complete now", "is put back", "temporary files"} {
				if strings.Contains(said, word) {
					told[word]++
				}
			}
			s.nothingLeft(t)
			if after := snapshot(t, s.root); after == before && !isNew {
				continue
			}
			if isNew = true; strings.Contains(end, "abort") {
				t.Errorf("step %d: it is not put back:\n%s\nafter\n%s", at, before, snapshot(t, s.root))
			}
			if s.checkChanged(t); t.Failed() {
				t.Fatalf("step %d of %q: %s", at, end, said)
			}
		}
		t.Logf("%d steps, told: %v", at, told)
		if at < 60 || told["is put back"] == 0 || !strings.Contains(end, "abort") && (told["is complete now"] == 0 || !isNew) {
			t.Errorf("%q: %d steps, told: %v", end, at, told)
		}
	}
}

// TestCrash: without an update all or nothing, each file is old or new, and the
// next session removes the temporary one.
func TestCrash(t *testing.T) {
	s := newSite(t)
	client := "T0 " + s.root + "/d\n" + file("a", "new") + "R10000 0644 3 9 9 root root b\nnew\x05\n" + "K10 0777 3 0 0 root root c\nnew\n\x05\n\x05\n" +
		"k0 " + s.root + "/d/a e\n\x02\n"
	at := 1
	for ; ; at++ {
		must(t, os.RemoveAll(s.root+"/d"))
		for _, name := range []string{"a", "b", "c", "user-rdistABCDEF"} {
			s.write(t, "d/"+name, "old")
		}
		s.write(t, "d/rdistABCDEF", "a user's")
		if !s.crashing(t, client, at, 0) {
			break
		}
		_ = s.nextSession(t)
		for _, name := range []string{"d/rdistABCDEF", "d/user-rdistABCDEF"} {
			must(t, os.Remove(filepath.Join(s.root, name)))
		}
		s.nothingLeft(t)
		for _, name := range []string{"a", "b"} {
			if got, err := os.ReadFile(s.root + "/d/" + name); string(got) != "old" && string(got) != "new" {
				t.Errorf("step %d: %s: %q, %v", at, name, got, err)
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if at < 15 {
		t.Errorf("%d steps", at)
	}
}

// TestAtomicKill: the same at any moment.
func TestAtomicKill(t *testing.T) {
	s := newUpdateSite(t)
	s.fill(t)
	begun := time.Now()
	if s.crashing(t, granted+s.changes()+"cXatomic switch\ncXatomic commit\n\x02\n", 0, 0) {
		t.Fatal("it was killed")
	}
	whole := time.Since(begun)
	for range 30 {
		s.fill(t)
		before := snapshot(t, s.root)
		s.crashing(t, granted+s.changes()+"cXatomic switch\ncXatomic commit\n\x02\n", 0, time.Duration(rand.Int64N(int64(whole))))
		said := s.nextSession(t)
		s.nothingLeft(t)
		if after := snapshot(t, s.root); after != before {
			s.checkChanged(t)
		}
		if t.Failed() {
			t.Fatal(said)
		}
	}
}

// TestCommandCrash: what a command runs ends with a session that is killed, and
// not with one that ends in order.
func TestCommandCrash(t *testing.T) {
	s := newUpdateSite(t)
	pids := filepath.Join(s.outside, "pids")
	const run = "Ssleep 1000 >/dev/null 2>&1 & echo $$ $! >%s; %s\n"
	read := func() (all []int) {
		data, err := os.ReadFile(pids)
		must(t, err)
		for _, word := range strings.Fields(string(data)) {
			n, err := strconv.Atoi(word)
			must(t, err)
			all = append(all, n)
		}
		return all
	}
	if !s.crashing(t, fmt.Sprintf(run, pids, "kill -9 $PPID; wait"), 0, 0) {
		t.Fatal("the server was not killed")
	}
	for _, pid := range read() {
		for begun := time.Now(); isAlive(pid); time.Sleep(time.Millisecond) {
			if time.Since(begun) > 10*time.Second {
				t.Errorf("process %d of a command lives on", pid)
				_ = syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
	}
	if s.crashing(t, fmt.Sprintf(run, pids, "exit 0"), 0, 0) {
		t.Fatal("the server was killed")
	}
	left := read()[1]
	if !isAlive(left) {
		t.Error("what a command has left running was ended by the end of the session")
	}
	_ = syscall.Kill(left, syscall.SIGKILL)
}

// isAlive reports whether a process runs: one that has ended may wait for its
// parent.
func isAlive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
