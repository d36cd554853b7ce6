package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/timetable"
)

// equalSchedules compares what can be seen of schedules.
var equalSchedules = cmp.Comparer(func(a, b *timetable.Schedule) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.String() == b.String() && a.Location().String() == b.Location().String()
})

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("kprop.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func schedule(t *testing.T, spec, zone string) *timetable.Schedule {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := timetable.Parse(spec, loc)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSmallestFile(t *testing.T) {
	want := &config.Config{
		Path:    "kprop.yaml",
		History: 500,
		Hooks:   config.Hooks{Failure: config.Hook{After: 3}, Timeout: 30 * time.Second},
		Realms: []config.Realm{{
			Schedule:    schedule(t, "@every 5m", "UTC"),
			Timezone:    "UTC",
			OnChange:    true,
			Settle:      2 * time.Second,
			MinInterval: 10 * time.Second,
			Refresh:     24 * time.Hour,
			Parallel:    8,
			Engine:      "auto",
			Retry:       config.Retry{Initial: 5 * time.Second, Max: time.Minute, Factor: 2, Jitter: 0.2},
			IdleTimeout: time.Minute,
			Replicas: []config.Replica{
				{Name: "kdc2.example.com", Host: "kdc2.example.com", Enabled: true},
				{Name: "kdc3.example.com", Host: "kdc3.example.com", Enabled: true},
			},
		}},
	}
	if diff := cmp.Diff(want, parse(t, config.Example), equalSchedules); diff != "" {
		t.Error(diff)
	}
}

const everyKey = `
realm: EXAMPLE.COM
schedule: "30 2 * * *"
timezone: Europe/Berlin
jitter: 30s
on_change: no
settle: 0
min_interval: 1m30s
refresh: 0
parallel: 256
retry: {initial: 1s, max: 1d12h, factor: 1.5, jitter: 1}
idle_timeout: 1h
keytab: FILE:/etc/kprop.keytab
dump: /var/tmp/dump
database: /srv/krb5/principal
engine: db2
kdb5_util: /opt/krb5/sbin/kdb5_util
files: /etc/kprop/distfile
files_port: 1755
listen: {address: "[2001:db8::1]:8754", tls_cert: /etc/kprop/c, tls_key: /etc/kprop/k, token_file: /etc/kprop/t}
hooks:
  failure: {command: [/bin/a, -n, 5, "two\nlines \e", "true", ""], after: 7}
  recovery: {command: [/bin/b]}
  success: {command: ["/bin/c-d"]}
  heartbeat: https://monitor.example.com:8443
  timeout: 5s
history: 100000
replicas:
  - kdc2.example.com:7540
  - 2001:db8::5
  - "[2001:db8::6]:7540"
  - kdc3.example.com:krb5_prop
  - name: fourth
    host: kdc4
    address: fe80::1%eth0
    port: 1754
    principal: host/kdc4.example.com
    schedule: "@hourly"
    enabled: off
    rate_limit: 1.5MB
`

func TestEveryKey(t *testing.T) {
	want := &config.Config{
		Path:    "kprop.yaml",
		History: 100000,
		Listen: &config.Listen{Address: "[2001:db8::1]:8754", TLSCert: "/etc/kprop/c", TLSKey: "/etc/kprop/k",
			TokenFile: "/etc/kprop/t"},
		Hooks: config.Hooks{
			Failure:   config.Hook{Command: []string{"/bin/a", "-n", "5", "two\nlines \x1b", "true", ""}, After: 7},
			Recovery:  config.Hook{Command: []string{"/bin/b"}},
			Success:   config.Hook{Command: []string{"/bin/c-d"}},
			Heartbeat: "https://monitor.example.com:8443",
			Timeout:   5 * time.Second,
		},
		Realms: []config.Realm{{
			Name:        "EXAMPLE.COM",
			Schedule:    schedule(t, "30 2 * * *", "Europe/Berlin"),
			Timezone:    "Europe/Berlin",
			Jitter:      30 * time.Second,
			MinInterval: 90 * time.Second,
			Parallel:    256,
			Retry:       config.Retry{Initial: time.Second, Max: 36 * time.Hour, Factor: 1.5, Jitter: 1},
			IdleTimeout: time.Hour,
			Keytab:      "FILE:/etc/kprop.keytab",
			Dump:        "/var/tmp/dump",
			Database:    "/srv/krb5/principal",
			Engine:      "db2",
			KDB5Util:    "/opt/krb5/sbin/kdb5_util",
			Files:       "/etc/kprop/distfile",
			FilesPort:   "1755",
			Replicas: []config.Replica{
				{Name: "kdc2.example.com:7540", Host: "kdc2.example.com", Port: "7540", Enabled: true},
				{Name: "2001:db8::5", Host: "2001:db8::5", Enabled: true},
				{Name: "[2001:db8::6]:7540", Host: "2001:db8::6", Port: "7540", Enabled: true},
				{Name: "kdc3.example.com", Host: "kdc3.example.com", Port: "krb5_prop", Enabled: true},
				{Name: "fourth", Host: "kdc4", Address: "fe80::1%eth0", Port: "1754", Principal: "host/kdc4.example.com",
					Schedule: schedule(t, "@hourly", "Europe/Berlin"), RateLimit: 1500000},
			},
		}},
	}
	if diff := cmp.Diff(want, parse(t, everyKey), equalSchedules); diff != "" {
		t.Error(diff)
	}
}

func TestRealmsInherit(t *testing.T) {
	c := parse(t, `
schedule: "0 3 * * *"
parallel: 2
retry: {initial: 20s}
keytab: /etc/kprop.keytab
realms:
  - realm: EXAMPLE.COM
    replicas: [kdc2]
  - realm: EXAMPLE.ORG
    replicas: [kdc2, {host: kdc3, schedule: "@daily"}]
    timezone: Asia/Tokyo
    parallel: 3
    retry: {max: 30s}
`)
	first, second := c.Realms[0], c.Realms[1]
	if first.Parallel != 2 || second.Parallel != 3 {
		t.Errorf("parallel %d and %d, want 2 and 3", first.Parallel, second.Parallel)
	}
	if second.Keytab != "/etc/kprop.keytab" {
		t.Errorf("keytab %q", second.Keytab)
	}
	want := config.Retry{Initial: 20 * time.Second, Max: 30 * time.Second, Factor: 2, Jitter: 0.2}
	if second.Retry != want {
		t.Errorf("retry %+v, want %+v", second.Retry, want)
	}
	if first.Retry.Max != time.Minute {
		t.Errorf("retry of the first realm %+v", first.Retry)
	}
	for i, s := range []*timetable.Schedule{first.Schedule, second.Schedule, second.Replicas[1].Schedule} {
		if got, want := s.Location().String(), []string{"UTC", "Asia/Tokyo", "Asia/Tokyo"}[i]; got != want {
			t.Errorf("schedule %d is in %s, want %s", i, got, want)
		}
	}
}

// TestErrorText holds the form of the text, and all that a caller can ask for.
func TestErrorText(t *testing.T) {
	_, err := config.Parse("/etc/kprop/kprop.yaml",
		[]byte("replicas:\n  - kdc2\n  - kdc3\n  - host: kdc4\n\n    # slow\n    rate_limit: fast\nhistory: 1\n"))
	want := `/etc/kprop/kprop.yaml:7: replicas[2].rate_limit: "fast" is not a rate ` +
		`(allowed: bytes a second such as 500kB, 20MB, 10MiB; 0 for no limit)` + "\n" +
		`/etc/kprop/kprop.yaml:8: history: 1 is out of range (allowed: a whole number from 10 to 100000)`
	if err == nil || err.Error() != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	var e *config.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T", err)
	}
	if e.Line != 7 || e.Column != 17 || e.Key != "replicas[2].rate_limit" {
		t.Errorf("%+v", e)
	}
}

func TestManyProblems(t *testing.T) {
	_, err := config.Parse("x", []byte("replicas:\n"+strings.Repeat("- a b\n", 5000)))
	errs := each(err)
	if len(errs) != 51 {
		t.Fatalf("%d errors, want 51", len(errs))
	}
	if want := "x: 4950 more problems are not shown"; errs[50].Error() != want {
		t.Errorf("%q, want %q", errs[50], want)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good", config.Example, 0o640)
	c, err := config.Load(good)
	if err != nil || c.Path != good {
		t.Fatalf("%v, %v", c, err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{filepath.Join(dir, "absent"), "there is no such file; write it, the smallest useful one is the line " + config.Example},
		{dir, "is not a regular file"},
		{pipe, "is not a regular file"},
		{loop, "cannot be opened: too many levels of symbolic links"},
		{write("large", strings.Repeat("#", config.MaxSize+1), 0o600), "has more than 1 MiB"},
		{write("open", config.Example, 0o602), "everybody may write to it, and what it says is done as root: chmod o-w " + filepath.Join(dir, "open")},
	} {
		_, err := config.Load(test.path)
		if want := test.path + ": " + test.want; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if _, err := config.Load(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	if _, err := config.Load(write("full", config.Example+"\n"+strings.Repeat("#", config.MaxSize-len(config.Example)-1), 0o600)); err != nil {
		t.Errorf("a file of 1 MiB: %v", err)
	}
}

// TestSecrets looks for a secret in what is printed of a good and of bad files.
func TestSecrets(t *testing.T) {
	const secret = "s3cr3t"
	for _, heartbeat := range []string{
		"https://user:s3cr3t@monitor.example.com/",
		"https://monitor.example.com/ping/s3cr3t/start",
		"https://monitor.example.com/?key=s3cr3t",
		"https://monitor.example.com/#s3cr3t",
		"https://user:s3cr3t@%zz/",
		"ftp://user:s3cr3t@monitor.example.com/",
		"https://monitor.example.com:s3cr3t/",
		"https://monitor.example.com/ s3cr3t",
		"s3cr3t",
		"https:s3cr3t",
		"http://%73s3cr3t",
	} {
		c, err := config.Parse("x", fmt.Appendf(nil, "replicas: [a]\nhooks: {heartbeat: %q}\n", heartbeat))
		var b strings.Builder
		if err == nil {
			if err := c.Show(&b); err != nil {
				t.Fatal(err)
			}
		} else {
			b.WriteString(err.Error())
		}
		if strings.Contains(b.String(), secret) {
			t.Errorf("%s is told in\n%s", heartbeat, &b)
		}
	}
	_, err := config.Parse("x", []byte("replicas: [a]\nhooks: {success: {command: [/bin/x, \"s3cr3t\\0\"]}}\n"))
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("of an argument with a NUL character is said: %v", err)
	}
}
