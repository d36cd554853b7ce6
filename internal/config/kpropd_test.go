package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/internal/config"
)

const (
	kpropdSample = "../../configs/kpropd.yaml"
	kpropdBad    = "../../testdata/badconfig-kpropd"
	kpropdMan    = "../../docs/man/kpropd.yaml.5"
)

const everyKpropdKey = `max_shrink: 25%
refuse_older: false
check_space: no
read_back: off
engine: kdb5_util
keep_lockout: no
keep: 7
history_dir: /srv/history
confine: no
limits:
  handshake: 20s
  idle: 2m
  load: 1h
  wait: 1m
  unauthenticated: 64
  per_address: 8
`

func everyKpropdValue() *config.Kpropd {
	return &config.Kpropd{
		MaxShrink: 25, Engine: "kdb5_util", Keep: 7, HistoryDir: "/srv/history",
		Limits: config.Limits{
			Handshake: 20 * time.Second, Idle: 2 * time.Minute, Load: time.Hour, Wait: time.Minute,
			Unauthenticated: 64, PerAddress: 8,
		},
	}
}

func TestKpropd(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want *config.Kpropd
	}{
		"empty":    {"", config.DefaultKpropd()},
		"comments": {"# nothing\n---\n", config.DefaultKpropd()},
		"mapping":  {"{}\n", config.DefaultKpropd()},
		"all":      {everyKpropdKey, everyKpropdValue()},
	} {
		got, err := config.ParseKpropd("x", []byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestLoadKpropd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kpropd.yaml")
	if _, err := config.LoadKpropd(path); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "replicas") {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("keep: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.LoadKpropd(path); err != nil || c.Keep != 5 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestKpropdOverride(t *testing.T) {
	c := config.DefaultKpropd()
	for key, value := range map[string]string{
		"max_shrink": "25%", "refuse_older": "false", "check_space": "false", "read_back": "false", "engine": "kdb5_util",
		"keep_lockout": "false", "keep": "7",
		"history_dir": "/srv/history", "confine": "false", "limits.handshake": "20s", "limits.idle": "2m", "limits.load": "1h",
		"limits.wait": "1m", "limits.unauthenticated": "64", "limits.per_address": "8",
	} {
		if err := c.Override("--x", key, value); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if diff := cmp.Diff(everyKpropdValue(), c); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, bad := range [][2]string{
		{"keep", "three"}, {"keep", "1\nmax_shrink: 100%"}, {"max_shrink", "10"}, {"limits.idle", "60"},
		{"history_dir", "a: b"}, {"history_dir", "it's"}, {"keep", ""}, {"limits.idle", "60s, wait: 1h"},
	} {
		before := *c
		err := c.Override("--opt", bad[0], bad[1])
		if err == nil || !strings.HasPrefix(err.Error(), "--opt: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", bad, err)
		}
		if before != *c {
			t.Errorf("%q has changed something", bad)
		}
	}
}

// TestBadKpropdFiles compares every word that is said of the files in
// testdata/badconfig-kpropd; -update writes them.
func TestBadKpropdFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(kpropdBad, "*.yaml"))
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			_, err := config.LoadKpropd(file)
			refusedAs(t, file, err)
		})
	}
}

// uncommented is the sample with every key in force.
func uncommented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(kpropdSample)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	key := regexp.MustCompile(`^#( *[a-z_]+:( .*)?)$`)
	for line := range strings.Lines(string(text)) {
		if found := key.FindStringSubmatch(strings.TrimSuffix(line, "\n")); found != nil {
			b.WriteString(found[1] + "\n")
		}
	}
	return b.String()
}

// TestKpropdSample: the sample says nothing as it is, has every key, and tells
// each default.
func TestKpropdSample(t *testing.T) {
	asItIs, err := config.LoadKpropd(kpropdSample)
	if err != nil {
		t.Fatal(err)
	}
	text := uncommented(t)
	all, err := config.ParseKpropd("sample", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all.HistoryDir = "" // an example
	for name, c := range map[string]*config.Kpropd{"as it is": asItIs, "uncommented": all} {
		if diff := cmp.Diff(config.DefaultKpropd(), c); diff != "" {
			t.Errorf("%s: (-default +got)\n%s", name, diff)
		}
	}
	man, err := os.ReadFile(kpropdMan)
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile(`(?m)^ *[a-z_]+:`)
	for _, key := range keys.FindAllString(everyKpropdKey, -1) {
		if !strings.Contains("\n"+text, "\n"+key) {
			t.Errorf("the sample has no %s", key)
		}
		word := strings.Trim(key, " :")
		if !regexp.MustCompile(`(?m)^\.It Ic ` + word + `( |$)`).Match(man) {
			t.Errorf("the manual page has no %s", word)
		}
	}
	if got, want := len(keys.FindAllString(text, -1)), len(keys.FindAllString(everyKpropdKey, -1)); got != want {
		t.Errorf("the sample has %d keys, want %d", got, want)
	}
}

// FuzzParseKpropd: whatever the text, there is a configuration within its
// ranges, or errors that keep their form.
func FuzzParseKpropd(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(kpropdBad, "*.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, kpropdSample) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(everyKpropdKey))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		c, err := config.ParseKpropd("fuzz.yaml", text)
		if err != nil {
			checkErrors(t, err, "fuzz.yaml")
			return
		}
		l := c.Limits
		if c.MaxShrink < 0 || c.MaxShrink > 100 || c.Keep < 0 || l.Handshake <= 0 || l.Idle <= 0 || l.Load <= 0 || l.Wait <= 0 || l.PerAddress < 1 || l.Unauthenticated < 1 {
			t.Errorf("%+v", c)
		}
	})
}
