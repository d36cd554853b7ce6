package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
)

// silent opens connections to d that never say anything.
func silent(t *testing.T, d *krbtest.Daemon, n int) {
	t.Helper()
	for range n {
		nc := must(net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port))))(t)
		t.Cleanup(func() { nc.Close() })
	}
}

// TestSilentConnections: who does not authenticate holds nobody up, however many
// they are; a place for a handshake lasts 10 seconds.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	for n, most := range map[int]time.Duration{1: 9 * time.Second, 20: 9 * time.Second, 1000: 9 * time.Second} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			r := startRealm(t)
			d := r.StartKpropd(t, ourKpropd)
			silent(t, d, n)
			start := time.Now()
			mustSucceed(t, r, "", d, "127.0.0.1")
			if took := time.Since(start); took > most {
				t.Errorf("beside %d silent connections a propagation took %v, want at most %v", n, took, most)
			}
			sameDatabase(t, r)
		})
	}
}

// TestTwoAtOnce: propagations at the same time are loaded one after the other.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	program, open := gate(t, r.Replica)
	d := r.StartKpropd(t, ourKpropd, "-p", program)
	large := largeDump(t, r, 2000, 1)
	setDump(t, r, large)
	var waits []func() (string, string, int)
	for _, p := range []side{kprops()[0], kprops()[1], kprops()[0]} {
		waits = append(waits, begin(t, r, p.path, d))
	}
	ctx := testContext(t)
	for i := range waits {
		// All have authenticated before the first is loaded.
		eventually(t, "as many are authenticated and loading as should be", func() bool {
			out := d.Output()
			return strings.Count(out, "authenticated client: ") == len(waits) && strings.Count(out, "Load PID is ") == i+1
		})
		if got := strings.Count(d.Output(), "Full propagation transfer started."); got != i+1 {
			t.Errorf("%d transfers have started while load %d is under way", got, i+1)
		}
		open()
	}
	for i, wait := range waits {
		if stdout, stderr, exit := wait(); exit != 0 {
			t.Errorf("kprop %d: exit status %d\n%s%s", i, exit, stdout, stderr)
		}
	}
	if err := ctx.Err(); err != nil {
		t.Error(err)
	}
	if got := dumpOf(t, r.Replica); got != string(large) {
		t.Error("the replica's dump differs")
	}
}

// TestLockedTemp: another program that receives a dump is waited for.
func TestLockedTemp(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	f := must(os.OpenFile(g.r.Replica.FromMaster+".temp", os.O_RDWR|os.O_CREATE, 0o600))(t)
	defer f.Close()
	ok(t, osutil.TryLock(f, osutil.Exclusive))
	d := g.r.StartKpropd(t, ourKpropd)
	g.r.Kadmin("change_password -randkey alice")
	g.r.Dump()
	wait := begin(t, g.r, "", d)
	ok(t, d.WaitOutput(testContext(t), "authenticated client: "))
	g.d.Stop() // some time in which it must do nothing
	if out := d.Output(); strings.Contains(out, "transfer started") {
		t.Errorf("kpropd did not wait for the lock: %s", out)
	}
	ok(t, osutil.TryLock(f, osutil.Unlock))
	if stdout, stderr, exit := wait(); exit != 0 {
		t.Fatalf("kprop: exit status %d\n%s%s", exit, stdout, stderr)
	}
	sameDatabase(t, g.r)
}

// TestSenderLeaves: a client that closes in the middle of the database.
func TestSenderLeaves(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	setDump(t, g.r, g.large(t))
	for i, p := range kprops() {
		proxy := startCutter(t, g.d.Port, 1200<<10)
		wait := begin(t, g.r, p.path, &krbtest.Daemon{Port: proxy.port})
		eventually(t, "a part of the dump is on the disk", func() bool {
			st, err := os.Stat(g.r.Replica.FromMaster + ".temp")
			return err == nil && st.Size() > 0
		})
		proxy.cut()
		if _, stderr, exit := wait(); exit != 1 {
			t.Errorf("%s: exit status %d, want 1: %s", p.name, exit, stderr)
		}
		eventually(t, "kpropd has noticed it", func() bool {
			return strings.Count(g.d.Output(), "kpropd: Software caused connection abort while reading database block starting at offset ") == i+1 &&
				!exists(g.r.Replica.FromMaster+".temp")
		})
		g.unchanged(t)
	}
	g.restored(t)
}
