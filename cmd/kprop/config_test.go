package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// runConfig runs "kprop config ARGS".
func runConfig(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs strings.Builder
	cmd := newConfigCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	if err := cmd.Execute(); err != nil {
		var status exitCode
		if !errors.As(err, &status) {
			t.Fatalf("kprop config %s: %v", strings.Join(args, " "), err)
		}
		code = int(status)
	}
	return out.String(), errs.String(), code
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kprop.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigCheckGood(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"replicas: [kdc2.example.com, kdc3.example.com]", `2 replicas of the default realm, "@every 5m" and on change`},
		{"realm: EXAMPLE.COM\nreplicas: [{host: kdc2, enabled: false}]\non_change: false\nschedule: '@daily'",
			`1 replica of EXAMPLE.COM (1 disabled), "@daily"`},
		{"realms: [{realm: A, replicas: [a, b]}, {realm: B, replicas: [c], schedule: '@hourly'}]",
			`2 replicas of A, "@every 5m" and on change; 1 replica of B, "@hourly" and on change`},
	} {
		path := writeConfig(t, test.text)
		for _, args := range [][]string{{"check", path}, {"check", "-c", path}, {"check", "--config=" + path}} {
			stdout, stderr, code := runConfig(t, args...)
			if want := path + ": ok, " + test.want + "\n"; stdout != want || stderr != "" || code != 0 {
				t.Errorf("%q, %q, exit %d, want %q", stdout, stderr, code, want)
			}
		}
	}
}

// TestConfigBad expects both verbs to print what is expected of each bad file.
func TestConfigBad(t *testing.T) {
	files, err := filepath.Glob("../../testdata/badconfig/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files: ", err)
	}
	for _, file := range files {
		want, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"check", "show"} {
			stdout, stderr, code := runConfig(t, verb, file)
			got := strings.ReplaceAll(stderr, file, filepath.Base(file))
			if got != string(want) || stdout != "" || code != 1 {
				t.Errorf("%s %s: exit %d, %q, and on stderr:\n%swant:\n%s", verb, file, code, stdout, got, want)
			}
		}
	}
}

func TestConfigShow(t *testing.T) {
	path := writeConfig(t, "replicas: [kdc2.example.com:7540]\nhistory: 20\n")
	stdout, stderr, code := runConfig(t, "show", path)
	if stderr != "" || code != 0 {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	for _, want := range []string{"schedule: \"@every 5m\"\n", "    port: 7540\n", "history: 20\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	again, stderr, code := runConfig(t, "show", writeConfig(t, stdout))
	if _, rest, _ := strings.Cut(again, "\n"); code != 0 || !strings.HasSuffix(stdout, rest) {
		t.Errorf("shown again: exit %d, %s\n%s", code, stderr, again)
	}
}

// TestConfigNoFile: without a file there is a way out.
func TestConfigNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kprop.yaml")
	_, stderr, code := runConfig(t, "check", "-c", path)
	want := path + ": there is no such file; write it, the smallest useful one is the line replicas: [kdc2.example.com, kdc3.example.com]\n"
	if stderr != want || code != 1 {
		t.Errorf("exit %d, %q, want %q", code, stderr, want)
	}
}

func TestConfigWithoutVerb(t *testing.T) {
	cmd := &cobra.Command{Use: "kprop", SilenceErrors: true, SilenceUsage: true}
	cmd.AddCommand(newConfigCommand())
	cmd.SetArgs([]string{"config", "chekc"})
	var usage usageError
	if err := cmd.Execute(); !errors.As(err, &usage) || !strings.Contains(err.Error(), `no "chekc"`) {
		t.Errorf("%v, want a usage error", err)
	}
}
