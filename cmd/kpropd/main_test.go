package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

// Paths of the programs under test. An empty path means MIT's.
var ourKprop, ourKpropd string

func TestMain(m *testing.M) {
	if role := os.Getenv(krbtest.RoleEnv); role != "" {
		fmt.Fprintln(os.Stderr, play(role, os.Args[1:]))
		os.Exit(1)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kprop-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ourKprop, ourKpropd = filepath.Join(dir, "kprop"), filepath.Join(dir, "kpropd")
	defer printTally(os.Stderr)
	return m.Run()
}

// build makes both programs as they are shipped, or with the race detector if
// the tests have it.
func build(dir string) error {
	args, cgo := []string{"build", "-trimpath"}, "0"
	if raceDetector {
		args, cgo = append(args, "-race"), "1"
	}
	cmd := exec.Command("go", append(args, "-o", dir, "../kprop", ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

// A program that can be ours or MIT's.
type side struct{ name, path string }

func kprops() []side  { return []side{{"kprop", ourKprop}, {"MIT-kprop", ""}} }
func kpropds() []side { return []side{{"kpropd", ourKpropd}, {"MIT-kpropd", ""}} }

// limit bounds every wait of a test.
const limit = time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until done holds. It is for what other processes do without
// telling; everything else is waited for by its output or its end.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// newRealm makes a realm in which no program may crash or race.
func newRealm(t *testing.T, o krbtest.Options) *krbtest.Realm {
	t.Helper()
	r := krbtest.New(t, o)
	t.Cleanup(func() {
		for _, path := range must(filepath.Glob(filepath.Join(r.Replica.Dir, "*.out")))(t) {
			text := string(must(os.ReadFile(path))(t))
			for _, bad := range []string{"DATA RACE", "panic", "goroutine "} {
				if strings.Contains(text, bad) {
					t.Errorf("%s has %q:\n%s", filepath.Base(path), bad, text)
				}
			}
		}
	})
	return r
}

// mustSucceed propagates the dump file with one line of output.
func mustSucceed(t *testing.T, r *krbtest.Realm, program string, d *krbtest.Daemon, host string) {
	t.Helper()
	stdout, stderr, exit := r.Kprop(program, r.KpropArgs(d, host)...)
	want := "Database propagation to " + host + ": SUCCEEDED\n"
	if stdout != want || stderr != "" || exit != 0 {
		t.Fatalf("kprop: exit status %d, stdout %q, stderr %q; want 0 and %q\n%s", exit, stdout, stderr, want, d.Output())
	}
}

// must ends the test if err is not nil, and else gives v.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dumpOf(t *testing.T, n *krbtest.Node) string {
	t.Helper()
	return string(must(n.DumpText())(t))
}

// sameDatabase compares dumps of the two nodes byte for byte.
func sameDatabase(t *testing.T, r *krbtest.Realm) {
	t.Helper()
	if want, got := dumpOf(t, r.Primary), dumpOf(t, r.Replica); want != got {
		t.Fatalf("the replica's dump differs: %d bytes, the primary's has %d", len(got), len(want))
	}
}

// setDump makes content the file that kprop sends.
func setDump(t *testing.T, r *krbtest.Realm, content []byte) {
	t.Helper()
	ok(t, os.WriteFile(r.Primary.DumpFile, content, 0o600))
	ok(t, os.WriteFile(r.Primary.DumpFile+".dump_ok", []byte{0}, 0o600))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// runOn runs a program on the node to its end.
func runOn(t *testing.T, n *krbtest.Node, program string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	cmd := n.Command(testContext(t), program, args...)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatalf("run %s: %v", program, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}
