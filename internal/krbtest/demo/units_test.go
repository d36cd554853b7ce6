package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
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
		lines := []string{"ProtectHome=yes", "SystemCallFilter=~@privileged @resources"}
		rights := `(CAP_NET_BIND_SERVICE)?`
		if becomesOthers(name) {
			lines = []string{"ProtectHome=read-only", "SystemCallFilter=~@resources", "RestrictSUIDSGID=yes"}
			rights = `CAP_SETUID CAP_SETGID CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_DAC_OVERRIDE CAP_KILL( CAP_NET_BIND_SERVICE)?`
		}
		for _, line := range append(lines,
			"ProtectSystem=strict", "PrivateDevices=yes", "NoNewPrivileges=yes", "UMask=0077", "KillMode=mixed",
			"MemoryDenyWriteExecute=yes", "RestrictNamespaces=yes", "SystemCallArchitectures=native",
			"SystemCallFilter=@system-service", "SystemCallErrorNumber=EPERM", "PrivateMounts=yes",
		) {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s lacks %s", name, line)
			}
		}
		if !regexp.MustCompile(`(?m)^CapabilityBoundingSet=` + rights + `$`).MatchString(text) {
			t.Errorf("%s has more capabilities than it needs", name)
		}
		// What systemd.exec(5) calls @system-service lacks these.
		if !strings.HasPrefix(name, "kprop.") && !strings.Contains(text, "\nSystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self\n") {
			t.Errorf("%s keeps the program from confining itself", name)
		}
		for _, line := range []string{"#LoadCredential=krb5.keytab:/etc/krb5.keytab", "#Environment=KRB5_KTNAME=FILE:%d/krb5.keytab"} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s does not show %s", name, line)
			}
		}
	}
}

// becomesOthers reports whether a service is one that becomes other users and
// writes their files.
func becomesOthers(name string) bool { return strings.HasPrefix(name, "krdistd") }

// mostExposure is what systemd may find wrong with a service, in tenths: of 0,
// the best, to 100.
func mostExposure(name string) int {
	if becomesOthers(name) {
		return 30
	}
	return 20
}

// TestServicesAreHardlyExposed asks systemd what it thinks of the confinement.
func TestServicesAreHardlyExposed(t *testing.T) {
	krbtest.Require(t, "systemd-analyze")
	for name := range units(t) {
		if !strings.HasSuffix(name, ".service") {
			continue
		}
		cmd := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", fmt.Sprintf("--threshold=%d", mostExposure(name)), filepath.Join(top, "systemd", name))
		out, err := cmd.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if t.Log(lines[len(lines)-1]); err != nil {
			t.Errorf("%s: %v: more than %.1f\n%s", name, err, float64(mostExposure(name))/10, out)
		}
	}
}

// TestSystemdTakesTheUnits asks systemd itself, also about the lines that the
// units only show.
func TestSystemdTakesTheUnits(t *testing.T) {
	krbtest.Require(t, "systemd-analyze")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var paths []string
	for name, text := range units(t) {
		text = regexp.MustCompile(`(?m)^#([A-Z][A-Za-z]+=)`).ReplaceAllString(text, "$1")
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
	cmd := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, paths...)...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
