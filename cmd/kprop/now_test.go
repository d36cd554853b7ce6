package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

// story is a run that goes on by one chapter each time it is asked for.
func story(chapters ...*status.Run) func() *status.Run {
	var at atomic.Int64
	return func() *status.Run {
		n := int(at.Add(1)) - 1
		return chapters[min(n, len(chapters)-1)]
	}
}

func oneRun(f func() *status.Run) map[uint64]func() *status.Run {
	return map[uint64]func() *status.Run{7: f}
}

// chapter is a run with replicas.
func chapter(phase string, replicas ...status.RunReplica) *status.Run {
	return &status.Run{ID: 7, Realm: "EXAMPLE.COM", Phase: phase, Replicas: replicas}
}

func TestNow(t *testing.T) {
	f := &fakeDaemon{runs: oneRun(story(chapter("dump")))}
	if got := f.ask(t, "now"); got != (printed{stdout: "run 7 started; to watch: kprop status --watch\n"}) {
		t.Errorf("%+v", got)
	}
	f.runs[9] = f.runs[7]
	if got := f.ask(t, "now", "--force", "--realm", "R", "kdc2", "kdc3"); got != (printed{stdout: "runs 7, 9 started; to watch: kprop status --watch\n"}) {
		t.Errorf("%+v", got)
	}
	if asked := strings.Join(f.asked, "; "); asked != `now "" [] false; now "R" ["kdc2" "kdc3"] true` {
		t.Errorf("the daemon was asked %s", asked)
	}
	f.runs = nil
	if got := f.ask(t, "now", "--wait"); got != (printed{stdout: "nothing to do\n"}) {
		t.Errorf("%+v", got)
	}
	f.err = fmt.Errorf("kdc9: %w", control.ErrUnknown)
	if got := f.ask(t, "now", "kdc9"); got.exit != 2 || !strings.HasPrefix(got.stderr, "kprop: kdc9: ") {
		t.Errorf("%+v", got)
	}
}

func TestNowWait(t *testing.T) {
	good, bad := &status.Attempt{OK: true}, &status.Attempt{
		Error:    "kprop: Connection refused while connecting to server\n",
		Findings: []status.Finding{{Problem: "nothing listens on port 754 of b", Remedy: []string{"on b:  systemctl enable --now kpropd.socket"}}},
	}
	sending := status.RunReplica{Name: "a", Transfer: &status.Transfer{Stage: "send", Sent: 1, Size: 2}}
	for _, c := range []struct {
		name string
		run  func() *status.Run
		want printed
	}{
		{"good", story(chapter("dump"), chapter("send", sending), chapter("done", status.RunReplica{Name: "a", Result: good})),
			printed{stdout: "Database propagation to a: SUCCEEDED\n"}},
		{"unchanged", story(chapter("done", status.RunReplica{Name: "a", Skipped: "unchanged"})),
			printed{stdout: "a: unchanged, nothing to send\n"}},
		{"paused", story(chapter("done", status.RunReplica{Name: "a", Skipped: "paused"})),
			printed{stdout: "a: paused, nothing is sent; to change that: kprop resume a\n"}},
		{"busy", story(chapter("done", status.RunReplica{Name: "a", Skipped: "busy"})),
			printed{stdout: "a: another propagation to it is under way; what that lacks is sent right after it\n", exit: 1}},
		{"odd", story(chapter("done", status.RunReplica{Name: "a\x1b", Skipped: "tired\x1b"}, status.RunReplica{Name: "b"})),
			printed{stdout: "a?: not sent: tired?\nb: not sent\n", exit: 1}},
		{"one of two fails", story(
			chapter("send", sending, status.RunReplica{Name: "b", Result: bad}),
			chapter("done", status.RunReplica{Name: "a", Result: good}, status.RunReplica{Name: "b", Result: bad})),
			printed{"Database propagation to a: SUCCEEDED\n", `kprop: Connection refused while connecting to server
  propagation to b failed
  nothing listens on port 754 of b
      on b:  systemctl enable --now kpropd.socket
`, 1}},
		{"two fail for the same reason", story(chapter("done",
			status.RunReplica{Name: "b", Result: bad}, status.RunReplica{Name: "c", Result: bad})),
			printed{"", `kprop: Connection refused while connecting to server
  propagation to b failed
  nothing listens on port 754 of b
      on b:  systemctl enable --now kpropd.socket
kprop: Connection refused while connecting to server
  propagation to c failed
  cause and mend as above, for b
`, 1}},
		{"warning", story(chapter("done", status.RunReplica{Name: "a", Result: &status.Attempt{OK: true, Warning: "odd"}})),
			printed{stdout: "Database propagation to a: SUCCEEDED\n", stderr: "  odd\n"}},
		{"failure without a text", story(chapter("done", status.RunReplica{Name: "a", Result: &status.Attempt{}})),
			printed{stderr: "kprop: the propagation to a failed\n", exit: 1}},
		{"no dump", story(chapter("dump"), &status.Run{ID: 7, Realm: "EXAMPLE.COM", Phase: "done", Error: "kdb5_util: no\x1b",
			Findings: bad.Findings, Replicas: []status.RunReplica{{Name: "a"}}}),
			printed{stderr: "kprop: kdb5_util: no?\n  nothing listens on port 754 of b\n      on b:  systemctl enable --now kpropd.socket\n", exit: 1}},
		{"forgotten", func() *status.Run { return nil }, printed{stderr: "kprop: what became of run 7 is not known: ", exit: 2}},
	} {
		f := &fakeDaemon{runs: oneRun(c.run)}
		if c.name == "forgotten" {
			f.forget = true
		}
		got := f.ask(t, "now", "--wait")
		if c.name == "forgotten" && strings.HasPrefix(got.stderr, c.want.stderr) {
			got.stderr = c.want.stderr
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Two realms may have a replica of the same name.
func TestNowWaitOfTwoRealms(t *testing.T) {
	done := func(id uint64, realm string) func() *status.Run {
		return story(&status.Run{ID: id, Realm: realm, Phase: "done", Replicas: []status.RunReplica{{Name: "a", Result: &status.Attempt{OK: true}}}})
	}
	f := &fakeDaemon{runs: map[uint64]func() *status.Run{7: done(7, "ONE"), 8: done(8, "TWO")}}
	want := "Database propagation to a (ONE): SUCCEEDED\nDatabase propagation to a (TWO): SUCCEEDED\n"
	if got := f.ask(t, "now", "--wait"); got != (printed{stdout: want}) {
		t.Errorf("%+v", got)
	}
}
