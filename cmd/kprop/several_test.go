package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// One bad replica harms no other, and what is said of it stands together.
func TestSeveralReplicas(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	s := newStage(t, r)
	s.kpropd(ourKpropd())
	s.host = "localhost nosuchhost.test 127.0.0.1 nosuchhost2.test"
	got := s.run(ourKprop())
	if got.exit != 1 {
		t.Errorf("exit status %d, want 1", got.exit)
	}
	want := []string{"Database propagation to 127.0.0.1: SUCCEEDED", "Database propagation to localhost: SUCCEEDED", ""}
	lines := strings.Split(got.stdout, "\n")
	slices.Sort(lines[:len(lines)-1])
	if !slices.Equal(lines, want) {
		t.Errorf("stdout %q", got.stdout)
	}
	const first = "kprop: Server not found in Kerberos database while getting initial credentials\n\n"
	blocks := strings.SplitAfter(got.stderr, first)
	if len(blocks) != 3 || blocks[0] != first {
		t.Fatalf("stderr has not two blocks that begin with MIT's line:\n%s", got.stderr)
	}
	about := []string{strings.TrimSuffix(blocks[1], first), blocks[2]}
	slices.SortFunc(about, func(a, b string) int { return len(a) - len(b) })
	for i, host := range []string{"nosuchhost.test", "nosuchhost2.test"} {
		checkFindings(t, about[i])
		if !strings.HasPrefix(about[i], "  propagation to "+host+" failed\n") || !strings.Contains(about[i], "host/"+host+"@") {
			t.Errorf("of %s it says\n%s", host, about[i])
		}
	}
	for host, there := range map[string]bool{"localhost": true, "127.0.0.1": true, "nosuchhost.test": false} {
		_, err := os.Stat(s.dump + "." + host + ".last_prop")
		if (err == nil) != there {
			t.Errorf("last_prop of %s: %v", host, err)
		}
	}
}

func TestSeveralReplicasDebug(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	s := newStage(t, r)
	s.writeDump(make([]byte, 70000))
	acknowledging(func(p *peer, size int) { p.send(p.safe(size4(size))) })(s)
	s.options = []string{"-d"}
	s.host = "127.0.0.1 localhost"
	got := s.run(ourKprop())
	if got.exit != 0 || got.stderr != "" {
		t.Errorf("exit status %d, stderr %q", got.exit, got.stderr)
	}
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	for _, host := range []string{"127.0.0.1", "localhost"} {
		var of []string
		for _, line := range lines {
			if strings.Contains(line, host) {
				of = append(of, line)
			}
		}
		var want []string
		for _, n := range []int{32768, 65536, 70000} {
			want = append(want, fmt.Sprintf("%s: %d bytes sent.", host, n))
		}
		want = append(want, "Database propagation to "+host+": SUCCEEDED")
		if !slices.Equal(of, want) {
			t.Errorf("of %s it says %q, want %q", host, of, want)
		}
	}
	if len(lines) != 8 {
		t.Errorf("stdout has more than that:\n%s", got.stdout)
	}
}

// A fault of the dump is that of all.
func TestSeveralReplicasBadDump(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	s := newStage(t, r)
	s.remove(s.dump)
	s.host = "127.0.0.1 localhost"
	got := s.run(ourKprop())
	line := "kprop: No such file or directory while trying to open " + s.dump + "\n"
	if n := strings.Count(got.stderr, line); n != 2 || got.exit != 1 || got.stdout != "" {
		t.Errorf("exit status %d, stdout %q, stderr\n%s", got.exit, got.stdout, got.stderr)
	}
}
