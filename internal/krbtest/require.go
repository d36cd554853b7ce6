package krbtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// requireEnv, set to 1, makes a missing program a failure. The Makefile
// sets it, so that no oracle test is left out unseen.
const requireEnv = "KPROP_REQUIRE_MIT"

// Require makes sure that the programs are installed, in PATH or where MIT's
// packages put daemons. A missing one skips the test, or fails it if
// KPROP_REQUIRE_MIT=1.
func Require(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := LookPath(p); err == nil {
			continue
		} else if os.Getenv(requireEnv) == "1" {
			t.Fatal(err)
		} else {
			t.Skip(err)
		}
	}
}

// LookPath finds a program as Require does and returns its path.
func LookPath(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: make testdeps", program)
}

// RequireRoot skips a test of what only root can do, and says why; with
// KPROP_REQUIRE_MIT=1 it fails instead.
func RequireRoot(t testing.TB, why string) {
	t.Helper()
	switch {
	case os.Geteuid() == 0:
	case os.Getenv(requireEnv) == "1":
		t.Fatalf("%s: run as root", why)
	default:
		t.Skipf("%s: run as root", why)
	}
}
