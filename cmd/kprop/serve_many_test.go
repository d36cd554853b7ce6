package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/status"
)

// TestServeManyReplicas sends to 50 replicas, one kpropd each, eight at a time,
// and then with 20 of them standing still.
func TestServeManyReplicas(t *testing.T) {
	const count, stalled = 50, 20
	r := krbtest.New(t, krbtest.Options{Hosts: []string{"localhost"}})
	r.StartKDC(t)
	var (
		kpropds []*krbtest.Daemon
		names   []string
	)
	for i := range count {
		d, err := newReplica(t, r, fmt.Sprintf("r%02d", i)).StartKpropd(ourKpropd())
		must(t, err)
		kpropds = append(kpropds, d)
		names = append(names, fmt.Sprintf("localhost:%d", d.Port))
	}
	s := newService(t, r, fmt.Sprintf("replicas: [%s]\nparallel: 8\nidle_timeout: 15s\nmin_interval: 0s\n", strings.Join(names, ", ")))
	begun := time.Now()
	s.start()
	s.until("current", allIn(names, status.Current))
	normal := time.Since(begun)
	if realm := s.status(); realm.Dumps != 1 {
		t.Errorf("%d dumps for one run", realm.Dumps)
	}
	if got := s.verb("now", "--wait", "--force"); got.exit != 0 || strings.Count(got.stdout, "SUCCEEDED") != count {
		t.Errorf("kprop now: %+v", got)
	}

	// Those that stand still come first, where they could do most harm.
	for _, d := range kpropds[:stalled] {
		must(t, d.Signal(syscall.SIGSTOP))
	}
	r.AddPrincipal("bob", "password")
	s.until("changed", func(realm status.Realm) bool { return realm.Database.Serial == 2 })
	held := s.until("current but for the stalled", allIn(names[stalled:], status.Current))
	for _, name := range names[:stalled] {
		if got := replicaOf(s.status(), name); got.State != status.Running || got.Failures != 0 {
			t.Errorf("%s is %s when the others are done: did they wait for it?", name, got.State)
		}
	}
	for _, d := range kpropds[:stalled] {
		must(t, d.Signal(syscall.SIGCONT))
	}
	s.until("current after all", allIn(names, status.Current))
	t.Logf("%d replicas current %v after the start; with %d stalled the other %d need %v; memory at most %s",
		count, normal, stalled, count-stalled, held, peakMemory(t, s.daemon.Pid))
}

func allIn(names []string, state status.State) func(status.Realm) bool {
	return func(realm status.Realm) bool {
		for _, name := range names {
			if replicaOf(realm, name).State != state {
				return false
			}
		}
		return true
	}
}

// peakMemory is the most memory that a process has had, which must stay below a
// bound that serve does not come near with so many replicas.
func peakMemory(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil || kib > 256<<10 {
				t.Errorf("memory: %s", line)
			}
			return fmt.Sprintf("%d MiB", kib>>10)
		}
	}
	t.Error("the memory is not known")
	return ""
}
