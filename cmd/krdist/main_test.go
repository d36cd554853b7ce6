package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// programs is the folder of the programs of this module, built once.
var programs string

func TestMain(m *testing.M) {
	if role := os.Getenv(krbtest.RoleEnv); role != "" {
		fmt.Fprintln(os.Stderr, krbtest.Play(role, os.Args[1:]))
		os.Exit(1)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "krdist-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "../krdist", "../krdistd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	programs = dir
	return m.Run()
}

func ourKrdist() string  { return filepath.Join(programs, "krdist") }
func ourKrdistd() string { return filepath.Join(programs, "krdistd") }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
