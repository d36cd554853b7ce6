package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// units are the texts of the units, by their names.
func units(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.service", "*.socket"} {
		paths, err := filepath.Glob(filepath.Join(top, "systemd", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(path)] = string(text)
		}
	}
	if len(all) < 4 {
		t.Fatalf("only %d units", len(all))
	}
	return all
}

// TestServicesAreConfined looks for what no service of ours goes without.
func TestServicesAreConfined(t *testing.T) {
	for name, text := range units(t) {
		if !strings.HasSuffix(name, ".service") {
			continue
		}
		for _, line := range []string{
			"ProtectSystem=strict", "ProtectHome=yes", "PrivateDevices=yes", "NoNewPrivileges=yes", "UMask=0077", "KillMode=mixed",
			"MemoryDenyWriteExecute=yes", "RestrictNamespaces=yes", "SystemCallArchitectures=native",
			"SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM",
		} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s lacks %s", name, line)
			}
		}
		if !regexp.MustCompile(`(?m)^CapabilityBoundingSet=(CAP_NET_BIND_SERVICE)?$`).MatchString(text) {
			t.Errorf("%s has more capabilities than it needs", name)
		}
	}
}

// TestSystemdTakesTheUnits asks systemd itself, where it is installed.
func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd is not installed, so it is not asked")
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var paths []string
	for name, text := range units(t) {
		// The programs need not be installed here.
		text = regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAllString(text, "ExecStart="+program)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(name, "@") {
			path = filepath.Join(dir, strings.Replace(name, "@", "@0", 1))
		}
		paths = append(paths, path)
	}
	cmd := exec.Command(analyze, append([]string{"verify", "--man=no", "--recursive-errors=no"}, paths...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
