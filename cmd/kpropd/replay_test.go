package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// repeat is the error-code field 34 of a KRB-ERROR, KRB_AP_ERR_REPEAT, and its
// text.
const (
	repeat     = "\xa6\x03\x02\x01\x22"
	repeatText = "Request is a replay\x00"
)

// replayRealm records a propagation by kprop to d, and then propagates a later
// state of the database, so that a replay that works would be seen.
func replayRealm(t *testing.T, r *krbtest.Realm, kprop string, d *krbtest.Daemon) (recorded []byte) {
	t.Helper()
	r.Dump()
	recorded = record(t, r, kprop, d)
	changeAndSend(t, r, kprop, d, "127.0.0.1")
	return recorded
}

// restart stops a kpropd and starts another program on the same port.
func restart(t *testing.T, r *krbtest.Realm, d *krbtest.Daemon, program string) *krbtest.Daemon {
	t.Helper()
	d.Stop()
	return must(r.Replica.StartDaemon(d.Port, program, r.Replica.KpropdArgs(d.Port)...))(t)
}

// removeReplayCache takes kpropd's memory away.
func removeReplayCache(t *testing.T, n *krbtest.Node) {
	t.Helper()
	files := must(filepath.Glob(filepath.Join(n.Dir, "rcache", "krb5_*.rcache2")))(t)
	if len(files) != 1 {
		t.Fatalf("replay caches: %q, want one", files)
	}
	ok(t, os.Remove(files[0]))
}

func wantRepeat(t *testing.T, answer []byte) {
	t.Helper()
	if !strings.Contains(string(answer), repeat) || !strings.Contains(string(answer), repeatText) {
		t.Errorf("the answer to the replay is no KRB_AP_ERR_REPEAT: %q", answer)
	}
}

// TestReplay: what was recorded from a propagation to our kpropd is worthless.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, p := range kprops() {
		t.Run(p.name, func(t *testing.T) {
			r := startRealm(t)
			d := r.StartKpropd(t, ourKpropd)
			recorded := replayRealm(t, r, p.path, d)
			before, kept := dumpOf(t, r.Replica), content(t, r.Replica.FromMaster)
			unchanged := func() {
				t.Helper()
				if dumpOf(t, r.Replica) != before || content(t, r.Replica.FromMaster) != kept {
					t.Fatal("the replay has changed the database or the kept dump")
				}
			}

			wantRepeat(t, replay(t, recorded, d)) // to the same process
			unchanged()
			d = restart(t, r, d, ourKpropd)
			wantRepeat(t, replay(t, recorded, d)) // to another one
			unchanged()
			d = restart(t, r, d, "kpropd")
			wantRepeat(t, replay(t, recorded, d)) // MIT's reads our cache
			unchanged()

			d = restart(t, r, d, ourKpropd)
			removeReplayCache(t, r.Replica)
			answer := string(replay(t, recorded, d)) // believed, but the subkey is new
			if !strings.Contains(answer, "while decoding database size\x00") || strings.Contains(answer, repeat) {
				t.Errorf("without the cache the answer is %q", answer)
			}
			unchanged()
			changeAndSend(t, r, p.path, d, "127.0.0.1")
		})
	}
}

// TestReplayFromMIT: our kpropd knows the connections that MIT's has served.
func TestReplayFromMIT(t *testing.T) {
	t.Parallel()
	r := startRealm(t)
	d := r.StartKpropd(t, "")
	recorded := replayRealm(t, r, "", d)
	before := dumpOf(t, r.Replica)

	d = restart(t, r, d, ourKpropd)
	wantRepeat(t, replay(t, recorded, d))
	removeReplayCache(t, r.Replica)
	if answer := string(replay(t, recorded, d)); !strings.Contains(answer, "while decoding database size\x00") {
		t.Errorf("without the cache the answer is %q", answer)
	}
	if dumpOf(t, r.Replica) != before {
		t.Fatal("the replay has changed the database")
	}

	// What makes the recording a threat: MIT's kpropd without its cache loads
	// the old database again.
	removeReplayCache(t, r.Replica)
	d = restart(t, r, d, "kpropd")
	replay(t, recorded, d)
	if dumpOf(t, r.Replica) == before {
		t.Error("MIT's kpropd has refused the recording: it proves nothing about ours")
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	return string(must(os.ReadFile(path))(t))
}
