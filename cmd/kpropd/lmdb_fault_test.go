package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// TestLMDBFaults: whichever step of kpropd on the disk fails, or is a kill -9, the
// database is the old one or, after a good load, the new one, when the next kpropd
// has started, and no copy is left.
func TestLMDBFaults(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "loaded", 8)
	n := l.r.Replica
	setDump(t, l.r, l.dump(t, "changed"))
	for _, test := range []struct{ how, fault string }{
		{loadDeletes, "EIO"}, {loadDeletes, "KILL"}, {loadGood, "KILL"},
	} {
		l.how(t, test.how)
		at := 1
		for ; ; at++ {
			l.place(t, "loaded")
			port := krbtest.FreePort()
			words := append([]string{krbtest.RoleEnv + "=faults", fmt.Sprintf("%s=%d:%s", faultEnv, at, test.fault), must(os.Executable())(t)},
				n.KpropdArgs(port, "-p", l.program)...)
			d := must(n.StartDaemon(port, "env", words...))(t)
			_, stderr, exit := l.r.Kprop("", l.r.KpropArgs(d, "127.0.0.1")...)
			step := injected(d.Output())
			d.Kill()
			if step == "" {
				break
			}
			next := l.start(t)
			wantStop(t, next)
			switch got := l.recording(t); {
			case got != "loaded" && (got != "changed" || test.how != loadGood):
				t.Errorf("%v, step %d (%s): the database is %q; kprop: exit status %d, %s", test, at, step, got, exit, stderr)
			case exit == 0 && got != "changed":
				t.Errorf("%v, step %d (%s): kprop was told of a success", test, at, step)
			}
			// The next propagation replaces it.
			_ = os.Remove(n.FromMaster + ".temp")
			l.has(t, l.recording(t))
		}
		if least := 15; at < least {
			t.Errorf("%v: only %d steps", test, at)
		}
		t.Logf("%v: %d steps", test, at-1)
	}
}
