package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
)

// TestServeKilled kills kprop serve 50 times at random moments of its first
// half second, when it does most, with changes of the database in between.
func TestServeKilled(t *testing.T) {
	const rounds = 50
	r := krbtest.New(t, krbtest.Options{Hosts: []string{"localhost"}})
	r.StartKDC(t)
	kpropd := r.StartKpropd(t, ourKpropd())
	name := fmt.Sprintf("localhost:%d", kpropd.Port)
	s := newService(t, r, fmt.Sprintf("replicas: [%s]\nsettle: 10ms\nmin_interval: 0s\nretry: {initial: 100ms, max: 200ms}\n", name))
	contents, interrupted := 1, 0
	for i := range rounds {
		s.start()
		moment := time.After(rand.N(500 * time.Millisecond))
		if i%3 == 0 {
			r.AddPrincipal(fmt.Sprintf("user%d", i), "password")
			contents++
		}
		<-moment
		if err := killAlone(s.daemon.Pid); err != nil {
			t.Fatal(err)
		}
		if _, err := s.daemon.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the end of all that it started", func() error { return noOrphans(s.state) })
		if s.pending(r.Name, name) {
			interrupted++
		}
	}
	s.start()
	s.until("current", inState(name, status.Current))
	loads := strings.Count(kpropd.Output(), "database loaded")
	t.Logf("%d contents, %d attempts whose end nobody saw, %d loads", contents, interrupted, loads)
	if loads > contents+interrupted {
		t.Errorf("%d loads of %d contents, %d interrupted: something was sent twice needlessly", loads, contents, interrupted)
	}
	s.daemon.Stop()
	left, err := filepath.Glob(filepath.Join(s.state, "dumps", "*"))
	must(t, err)
	for _, path := range left {
		if !strings.HasSuffix(path, ".dump") && !strings.HasSuffix(path, ".dump_ok") && !strings.HasSuffix(path, ".last_prop") {
			t.Errorf("%s is left", path)
		}
	}
}

// pending reads the state that a killed service has left, and tells whether an
// attempt was under way.
func (s *service) pending(realm, name string) bool {
	s.t.Helper()
	store, err := record.Open(filepath.Join(s.state, "kprop.db"), record.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	if store.Damaged() != "" {
		s.t.Fatalf("the state was damaged: %s", store.Damaged())
	}
	got, err := store.Replica(realm, name)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := store.History(realm, name, 0); err != nil {
		s.t.Fatal(err)
	}
	return got.Pending != nil
}

// killAlone kills one process, and not its group: what it started must end by
// itself.
func killAlone(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// noOrphans looks for a process that has the directory in its command line.
func noOrphans(dir string) error {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, path := range lines {
		// A process may end while one looks.
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), dir) {
			return fmt.Errorf("%s still runs: %q", filepath.Dir(path), text)
		}
	}
	return nil
}
