package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

// programs is the folder of the programs of this module, built once.
var programs string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// programsEnv passes the folder to a test that runs itself in a process of its
// own.
const programsEnv = "KPROP_TEST_PROGRAMS"

func testMain(m *testing.M) int {
	if programs = os.Getenv(programsEnv); programs != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "kprop-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "../kprop", "../kpropd", "../krdistd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

func ourKprop() string  { return filepath.Join(programs, "kprop") }
func ourKpropd() string { return filepath.Join(programs, "kpropd") }

// printed is what a program left behind.
type printed struct {
	stdout, stderr string
	exit           int
}

const patience = time.Minute

// run runs a kprop on the primary with argv[0] "kprop", so that MIT's and ours
// call themselves the same.
func (s *stage) run(program string) printed {
	s.t.Helper()
	if program == "" {
		program = "kprop"
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := s.realm.Primary.Command(ctx, program, s.argsFor(program)...)
	cmd.Args[0] = "kprop"
	cmd.Env = append(cmd.Env, s.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("run %s: %v", program, err)
	}
	if ctx.Err() != nil {
		s.t.Fatalf("%s did not end within %v: %s%s", program, patience, stdout.String(), stderr.String())
	}
	return printed{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// newRealm makes a realm with a running KDC and a dump.
func newRealm(t *testing.T, o krbtest.Options) *krbtest.Realm {
	t.Helper()
	r := krbtest.New(t, o)
	r.StartKDC(t)
	r.Dump()
	return r
}
