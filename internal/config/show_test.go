package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kprop/kprop/internal/config"
)

func show(t *testing.T, c *config.Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sameAgain parses what is shown of a configuration and expects it back. Of
// its heartbeat only the part that is shown can come back.
func sameAgain(t *testing.T, c *config.Config) {
	t.Helper()
	text := show(t, c)
	again, err := config.Parse(c.Path, []byte(text))
	if err != nil {
		t.Fatalf("what is shown is refused: %v\n%s", err, text)
	}
	options := cmp.Options{equalSchedules, cmpopts.EquateEmpty()}
	if strings.Contains(text, "***") {
		options = append(options, cmpopts.IgnoreFields(config.Hooks{}, "Heartbeat"))
	}
	if diff := cmp.Diff(c, again, options); diff != "" {
		t.Fatalf("%s\n%s", diff, text)
	}
	if twice := show(t, again); twice != text {
		t.Errorf("shown again, it is other text: %s", cmp.Diff(text, twice))
	}
}

func TestShowParses(t *testing.T) {
	for name, text := range map[string]string{
		"smallest":    config.Example,
		"every key":   everyKey,
		"one of many": "realms: [{realm: A, replicas: [a]}]",
		"two realms":  "realms:\n- {realm: A, replicas: [a, 'b:1'], timezone: Local}\n- {realm: 'NO', replicas: [no, 'on', 'true']}\n",
		"loopback":    "replicas: [a]\nlisten: localhost:http\n",
		"secret":      "replicas: [a]\nhooks: {heartbeat: 'http://u@h:1/p/q?r#s', success: {command: [/x, '# ', ': ', '- ', \"'\", \"\\u2028\", ' ']}}\n",
		"odd words":   "realm: 'null'\nreplicas: [{host: '1.2.3.4', name: '0x1'}, {host: y, name: '1e5', principal: \"a@b\"}]\nkeytab: '/a: #\"'\n",
		"durations":   "replicas: [a]\njitter: 1ms\nrefresh: 366d\nmin_interval: 1.5h\n",
		"rates":       "replicas: [{host: a, rate_limit: 33000}, {host: b, rate_limit: 32769}, {host: c, rate_limit: 1MiB}, {host: d, rate_limit: 100GB}]\n",
	} {
		t.Run(name, func(t *testing.T) { sameAgain(t, parse(t, text)) })
	}
}

func TestShownText(t *testing.T) {
	const want = `# The configuration of kprop.yaml, with every default.
# realm: not set; the default_realm of krb5.conf
schedule: "@every 5m"
timezone: UTC
jitter: 0
on_change: true
settle: 2s
min_interval: 10s
refresh: 24h
parallel: 8
retry:
  initial: 5s
  max: 1m
  factor: 2
  jitter: 0.2
idle_timeout: 1m
# keytab: not set; the default keytab
# dump: not set; in the state directory
# database: not set; that of kdc.conf
engine: auto
# kdb5_util: not set; it is searched for
# files: not set; only the database is kept current
# files_port: not set; krdist, or 755
replicas:
  - name: "kdc2.example.com:7540"
    host: kdc2.example.com
    # address: not set; host is connected to
    port: 7540
    # principal: not set; host/ and the canonical name of the host
    # schedule: not set; that of the realm
    enabled: true
    rate_limit: 0
# listen: not set; only the unix socket
hooks:
  # failure: not set
  # recovery: not set
  # success: not set
  # The heartbeat's secret is not shown: *** stands for it.
  heartbeat: "https://monitor.example.com/***"
  timeout: 30s
history: 500
`
	c := parse(t, "replicas: [kdc2.example.com:7540]\nhooks: {heartbeat: https://monitor.example.com/ping/1234}\n")
	if diff := cmp.Diff(want, show(t, c)); diff != "" {
		t.Error(diff)
	}
}

type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestShowFails(t *testing.T) {
	if err := parse(t, config.Example).Show(fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("%v, want %v", err, errFull)
	}
}
