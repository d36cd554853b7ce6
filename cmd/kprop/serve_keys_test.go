package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/status"
)

// startPlain starts kprop serve by its environment, without options for its places.
func (s *service) startPlain(env ...string) {
	s.t.Helper()
	args := append(env, "KPROP_SOCKET="+s.socket, "KPROP_STATE_DIR="+s.state, ourKprop(), "serve", "-c", s.config)
	d, err := s.node.StartUntil("answering", s.answers, "env", args...)
	must(s.t, err)
	s.daemon = d
}

// get asks the socket for a path.
func (s *service) get(path string) string {
	s.t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		},
	}}
	resp, err := client.Get("http://kprop" + path)
	must(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.t, err)
	if resp.StatusCode != http.StatusOK {
		s.t.Errorf("%s: %s\n%s", path, resp.Status, text)
	}
	return string(text)
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return text
}

// without writes a file anew without the lines in which a word is.
func without(t *testing.T, from, word, to string) {
	t.Helper()
	var kept strings.Builder
	for line := range strings.Lines(string(content(t, from))) {
		if !strings.Contains(line, word) {
			kept.WriteString(line)
		}
	}
	must(t, os.WriteFile(to, []byte(kept.String()), 0o600))
}

// Each key that names a place or a name has an effect, where nothing else would
// do: the environment has no keytab, kdc.conf no database, and the name of the
// replica leads nowhere.
func TestServeKeys(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	r.StartKDC(t)
	kpropd := r.StartKpropd(t, ourKpropd())
	dir := r.Primary.Dir
	file := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(file("other.keytab"), content(t, r.Primary.Keytab), 0o600))
	without(t, r.Primary.KDCConf, "database_name", file("other-kdc.conf"))
	util, err := krbtest.LookPath("kdb5_util")
	must(t, err)
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\nexec %s \"$@\"\n", file("util.log"), util)
	must(t, os.WriteFile(file("util"), []byte(script), 0o700))
	s := newService(t, r, fmt.Sprintf(`
keytab: FILE:%[1]s/other.keytab
database: %[2]s
dump: %[1]s/own.dump
kdb5_util: %[1]s/util
history: 10
replicas:
  - name: first
    host: nowhere.invalid
    address: 127.0.0.1
    port: %[3]d
    principal: host/localhost
    rate_limit: 10MiB
`, dir, r.Primary.Database, kpropd.Port))
	s.startPlain("KRB5_KTNAME=FILE:/nonexistent", "KRB5_KDC_PROFILE="+file("other-kdc.conf"))
	s.until("current", inState("first", status.Current))
	first := replicaOf(s.status(), "first")
	if want := fmt.Sprintf("127.0.0.1:%d", kpropd.Port); first.Host != "nowhere.invalid" || first.Address != want || first.Principal != "host/localhost@"+r.Name {
		t.Errorf("%+v", first)
	}
	for path, mode := range map[string]os.FileMode{file("own.dump"): 0o600, s.socket: 0o600, s.state: 0o700, filepath.Join(s.state, "kprop.db"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want mode %v", path, info, err, mode)
		}
	}
	if _, err := os.Stat(filepath.Join(s.state, "dumps")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dump at the usual place, too: %v", err)
	}
	log := content(t, file("util.log"))
	if want := fmt.Sprintf("-r %s dump -d %s %s\n", r.Name, r.Primary.Database, file("own.dump")); !strings.HasPrefix(string(log), want) {
		t.Errorf("kdb5_util was called with %swant %s", log, want)
	}

	// Of history there is no more than asked for, and what it has is what the
	// metrics count.
	const more = 11
	for range more {
		if got := s.verb("now", "--wait", "--force"); got.exit != 0 {
			t.Fatalf("kprop now: %+v", got)
		}
	}
	got := s.verb("history", "nowhere.invalid", "-n", "100", "--json")
	if lines := strings.Count(got.stdout, "\n"); lines != 10 || got.exit != 0 {
		t.Errorf("%d attempts are remembered: %+v", lines, got)
	}
	metrics := s.get("/metrics")
	for _, want := range []string{
		fmt.Sprintf("kprop_propagations_total{realm=%q,replica=\"first\",result=\"success\"} %d\n", r.Name, more+1),
		fmt.Sprintf("kprop_propagation_sent_bytes_total{realm=%q,replica=\"first\"} %d\n", r.Name, (more+1)*s.status().Database.Bytes),
		fmt.Sprintf("kprop_realm_dumps_total{realm=%q} %d\n", r.Name, more+1),
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if page := s.get("/"); !strings.Contains(page, "<!DOCTYPE html>") || !strings.Contains(page, "first") {
		t.Errorf("the page: %.200s", page)
	}
	if ready, health := s.get("/readyz"), s.get("/healthz"); strings.Count(ready, "ok  ") != 4 || strings.Count(health, "ok  ") != 1 {
		t.Errorf("/readyz:\n%s/healthz:\n%s", ready, health)
	}
}

// Two realms of one krb5.conf and kdc.conf, each with its own keytab, go to two
// kpropd on one host; one that is taken out is gone with its dump.
func TestServeSeveralRealms(t *testing.T) {
	a := krbtest.New(t, krbtest.Options{Realm: "A.TEST"})
	b := krbtest.New(t, krbtest.Options{Realm: "B.TEST"})
	var names, entries []string
	for _, r := range []*krbtest.Realm{a, b} {
		r.StartKDC(t)
		name := fmt.Sprintf("localhost:%d", r.StartKpropd(t, ourKpropd()).Port)
		names = append(names, name)
		entries = append(entries, fmt.Sprintf("  - {realm: %s, keytab: %q, replicas: [%q]}\n", r.Name, r.Primary.Keytab, name))
	}
	s := newService(t, a, "timezone: Europe/Berlin\nrealms:\n"+strings.Join(entries, ""))
	both := filepath.Join(a.Primary.Dir, "both-kdc.conf")
	must(t, os.WriteFile(both, append(content(t, a.Primary.KDCConf), content(t, b.Primary.KDCConf)...), 0o600))
	s.startPlain("KRB5_CONFIG="+a.Primary.Krb5Conf+":"+b.Primary.Krb5Conf, "KRB5_KDC_PROFILE="+both)
	eventually(t, "status", func() error {
		if got := s.verb("status"); got.exit != 0 || strings.Count(got.stdout, "  current ") != 2 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	for i, r := range []*krbtest.Realm{a, b} {
		if _, err := r.Replica.StartKDC(); err != nil {
			t.Fatal(err)
		}
		if got := s.verb("history", "--realm", r.Name); strings.Count(got.stdout, names[i]) != 1 || strings.Count(got.stdout, "localhost") != 1 {
			t.Errorf("history of %s: %+v", r.Name, got)
		}
	}
	if got := s.verb("history", "localhost"); strings.Count(got.stdout, "  ok  ") != 2 {
		t.Errorf("history of the host: %+v", got)
	}
	// A change of one realm is at its replica, without a dump of the other.
	b.AddPrincipal("bob", "password")
	eventually(t, "kinit bob", func() error { return b.Replica.Kinit("bob", "password") })
	if dumps := s.status().Dumps; dumps != 1 {
		t.Errorf("%d dumps of the other realm", dumps)
	}
	dump := filepath.Join(s.state, "dumps", b.Name+".dump")
	if _, err := os.Stat(dump); err != nil {
		t.Error(err)
	}
	s.configure("realms:\n" + entries[0])
	if got := s.verb("reload"); got.exit != 0 || strings.Contains(got.stdout, b.Name) {
		t.Errorf("reload: %+v", got)
	}
	eventually(t, "removal of the dump", func() error {
		if _, err := os.Stat(dump); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s is there: %w", dump, err)
		}
		return nil
	})
}
