package floors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rules of the house. Floors count in tens, so that a sub-room such as
// pkg/kdb/db2 fits between two.
func rules() *Rules {
	return &Rules{
		Module: "github.com/kprop/kprop",
		Floors: map[string]int{
			"cmd/*": 50,

			"pkg/replica": 40,

			// Floor 4 of the house, in the order in which its rooms build
			// upon each other.
			"pkg/rdist/option":   40,
			"pkg/rdist/delta":    40,
			"pkg/rdist/message":  41,
			"pkg/rdist/distfile": 42,
			"pkg/rdist/wire":     43,
			"pkg/rdist/acl":      43,
			"pkg/rdist/server":   44,
			"pkg/rdist/client":   45,
			"pkg/rdist/daemon":   45,
			// It sends files by the client, beside the database.
			"pkg/schedule": 46,

			"pkg/check": 30,

			"pkg/transport": 20,
			"pkg/kdb":       20,
			"pkg/kdb/db2":   15,
			"pkg/kdb/lmdb":  15,

			"pkg/dump":         10,
			"pkg/profile":      10,
			"internal/enctype": 10,
			"internal/rcache":  10,
			"internal/keytab":  10,
			"internal/ccache":  11,

			"internal/control":    20,
			"internal/config":     10,
			"internal/record":     10,
			"internal/metrics":    10,
			"internal/statuspage": 10,

			"internal/atomicfile": 0,
			"internal/osutil":     0,
			"internal/confine":    0,
			"internal/principal":  0,
			"internal/buildinfo":  0,
			"internal/account":    0,
			"internal/child":      0,
			"internal/crowd":      0,
			"internal/launch":     0,
			"internal/daemonlog":  0,
			"internal/status":     0,
			"internal/timetable":  0,
		},
		TestOnly: []string{"internal/krbtest", "internal/floors"},
		Exclusive: map[string][]string{
			"go.uber.org/zap": loggers(),
			"log":             loggers(),
			"testing":         {},
			// These exit, or print usage: a matter of the command line.
			"github.com/spf13/cobra": {"cmd/*"},
			"github.com/spf13/pflag": {"cmd/*"},
			"flag":                   {"cmd/*"},
			// It believes what the authenticator claims.
			"github.com/jcmturner/gokrb5/v8/service": {},
		},
		Single: []string{
			"github.com/robfig/cron/v3",
			"gopkg.in/yaml.v3",
			"go.etcd.io/bbolt",
			"github.com/fsnotify/fsnotify",
			"github.com/landlock-lsm/go-landlock",
			"github.com/prometheus/client_golang",
		},
		Forbidden: map[string]string{
			"C":                           "the programs are static, cgo is off",
			"github.com/stretchr/testify": "tests use the standard testing package alone",
		},
		MaxLines: 500,
	}
}

// loggers may log; all others return errors.
func loggers() []string {
	return []string{"cmd/*", "internal/daemonlog", "pkg/schedule", "pkg/replica", "pkg/rdist/daemon"}
}

func TestTree(t *testing.T) {
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range rules().Check(packages) {
		t.Error(broken)
	}
	var paths []string
	for _, p := range packages {
		paths = append(paths, p.Path)
	}
	if all := strings.Join(paths, " "); !strings.Contains(all, "internal/floors") || !strings.Contains(all, "internal/osutil") {
		t.Errorf("not all packages were read, only: %s", all)
	}
}

func TestCheck(t *testing.T) {
	const m = "github.com/kprop/kprop/"
	tests := []struct {
		name     string
		packages []Package
		want     string // part of the only finding; empty: none
	}{
		{"downwards", []Package{{Path: "pkg/kdb", Imports: []string{"fmt", m + "pkg/dump", m + "internal/osutil"}}}, ""},
		{"upwards", []Package{{Path: "pkg/dump", Imports: []string{m + "pkg/kdb"}}},
			"pkg/dump (floor 10) imports pkg/kdb (floor 20)"},
		{"same floor", []Package{{Path: "pkg/transport", Imports: []string{m + "pkg/kdb"}}},
			"pkg/transport (floor 20) imports pkg/kdb (floor 20)"},
		{"room to sub-room", []Package{{Path: "pkg/kdb", Imports: []string{m + "pkg/kdb/db2"}}}, ""},
		{"sub-room to room", []Package{{Path: "pkg/kdb/db2", Imports: []string{m + "pkg/kdb"}}},
			"pkg/kdb/db2 (floor 15) imports pkg/kdb (floor 20)"},
		{"a test may look up", []Package{{Path: "pkg/dump", TestImports: []string{m + "pkg/kdb", m + "internal/krbtest", "testing"}}}, ""},
		{"any command", []Package{{Path: "cmd/kprop", Imports: []string{m + "pkg/schedule", "go.uber.org/zap"}}}, ""},
		{"command to command", []Package{{Path: "cmd/kprop", Imports: []string{m + "cmd/kpropd"}}},
			"cmd/kprop (floor 50) imports cmd/kpropd (floor 50)"},
		{"unknown package", []Package{{Path: "pkg/misc"}}, "pkg/misc has no floor"},
		{"below a known one", []Package{{Path: "pkg/dump/text"}}, "pkg/dump/text has no floor"},
		{"same beginning", []Package{{Path: "internal/krbtests"}}, "internal/krbtests has no floor"},
		{"krbtest in a program", []Package{{Path: "cmd/kprop", Imports: []string{m + "internal/krbtest"}}},
			"cmd/kprop imports internal/krbtest, which is for tests only"},
		{"krbtest in the demo", []Package{{Path: "internal/krbtest/demo", Imports: []string{m + "internal/krbtest", m + "pkg/replica"}}}, ""},
		{"a library logs", []Package{{Path: "pkg/kdb", Imports: []string{"go.uber.org/zap/zapcore"}}},
			"pkg/kdb imports go.uber.org/zap/zapcore"},
		{"a library logs plainly", []Package{{Path: "pkg/kdb", Imports: []string{"log/slog"}}}, "pkg/kdb imports log/slog"},
		{"a daemon logs", []Package{{Path: "pkg/replica", Imports: []string{"go.uber.org/zap"}}}, ""},
		{"the command line in a library", []Package{{Path: "pkg/check", Imports: []string{"github.com/spf13/pflag"}}},
			"pkg/check imports github.com/spf13/pflag, which only cmd/* may"},
		{"a library that tests", []Package{{Path: "pkg/check", Imports: []string{"testing"}}},
			"pkg/check imports testing, which only tests may"},
		{"cgo", []Package{{Path: "pkg/check", Imports: []string{"C"}}}, "pkg/check imports C: "},
		{"assertions", []Package{{Path: "pkg/check", TestImports: []string{"github.com/stretchr/testify/require"}}},
			"pkg/check imports github.com/stretchr/testify/require: "},
		{"one reads yaml", []Package{{Path: "pkg/schedule", Imports: []string{"gopkg.in/yaml.v3"}}, {Path: "pkg/replica"}}, ""},
		{"two read yaml", []Package{
			{Path: "pkg/schedule", Imports: []string{"gopkg.in/yaml.v3"}},
			{Path: "pkg/replica", Imports: []string{"gopkg.in/yaml.v3"}},
		}, "gopkg.in/yaml.v3 is imported by pkg/schedule, pkg/replica"},
		{"long enough", []Package{{Path: "pkg/kdb", Lines: map[string]int{"pkg/kdb/load.go": 500}}}, ""},
		{"too long", []Package{{Path: "pkg/kdb", Lines: map[string]int{"pkg/kdb/load.go": 501}}}, "pkg/kdb/load.go has 501 lines"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := rules().Check(test.packages)
			switch {
			case test.want == "" && len(found) > 0:
				t.Errorf("found %q, want nothing", found)
			case test.want != "" && (len(found) != 1 || !strings.Contains(found[0], test.want)):
				t.Errorf("found %q, want only %q", found, test.want)
			}
		})
	}
}

func TestLoadSeparatesTests(t *testing.T) {
	root := t.TempDir()
	files := map[string]string{
		"a/a.go":            "package a\n\nimport (\n\t\"fmt\"\n\t_ \"os\"\n)\n\nthis need not compile\n",
		"a/b.go":            "//go:build windows\n\npackage a\n\nimport \"fmt\"\n",
		"a/a_test.go":       "package a_test\n\nimport \"testing\"\n",
		"a/testdata/x.go":   "not Go",
		".hidden/hidden.go": "not Go",
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) != 1 {
		t.Fatalf("%d packages, want 1: %+v", len(packages), packages)
	}
	p := packages[0]
	got := strings.Join(p.Imports, ",") + " " + strings.Join(p.TestImports, ",")
	if p.Path != "a" || got != "fmt,os testing" {
		t.Errorf("package %s imports %s, want package a with fmt,os testing", p.Path, got)
	}
	if p.Lines["a/a.go"] != 8 || p.Lines["a/b.go"] != 5 || len(p.Lines) != 2 {
		t.Errorf("lines: %v", p.Lines)
	}
}
