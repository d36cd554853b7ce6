package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/status"
)

// dumping is a kprop serve with one replica, which is current.
type dumping struct {
	*service
	r      *krbtest.Realm
	kpropd *krbtest.Daemon
	name   string
}

// startDumping starts it with further lines of configuration. What is between
// the two programs may be put there by between, which gets kpropd's port and
// gives another.
func startDumping(t *testing.T, more string, between func(r *krbtest.Realm, port int) int) *dumping {
	t.Helper()
	r := krbtest.New(t, krbtest.Options{})
	r.AddPrincipal("alice", "password")
	r.StartKDC(t)
	d := &dumping{r: r, kpropd: r.StartKpropd(t, ourKpropd(), "-D")}
	port := d.kpropd.Port
	if between != nil {
		port = between(r, port)
	}
	d.name = fmt.Sprintf("localhost:%d", port)
	d.service = newService(t, r, fmt.Sprintf("replicas: [%s]\nsettle: 10ms\nmin_interval: 0s\nretry: {initial: 100ms, max: 200ms}\n%s", d.name, more))
	d.start()
	d.until("current", inState(d.name, status.Current))
	return d
}

func (d *dumping) connections() int { return strings.Count(d.kpropd.Output(), "Connection from") }

// failing waits for a dump that is no good, and wants the replica to be left
// alone with what it has.
func (d *dumping) failing(want string) {
	d.t.Helper()
	before, err := d.r.Replica.DumpText()
	must(d.t, err)
	connections := d.connections()
	d.until("failing", func(realm status.Realm) bool { return strings.Contains(realm.Error, want) })
	if findings := d.status().Findings; len(findings) == 0 || !strings.Contains(strings.Join(findings[0].Remedy, " "), "df -h") {
		d.t.Errorf("findings %+v", findings)
	}
	if n := d.connections(); n != connections {
		d.t.Errorf("%d connections to the replica meanwhile", n-connections)
	}
	after, err := d.r.Replica.DumpText()
	must(d.t, err)
	if !bytes.Equal(before, after) {
		d.t.Errorf("the replica's dump has %d bytes, had %d", len(after), len(before))
	}
}

// recovers wants the replica to get what the primary has.
func (d *dumping) recovers() {
	d.t.Helper()
	d.until("right again", func(realm status.Realm) bool {
		return realm.Error == "" && replicaOf(realm, d.name).State == status.Current
	})
	want, err := d.r.Primary.DumpText()
	must(d.t, err)
	eventually(d.t, "what the primary has is there", func() error {
		got, err := d.r.Replica.DumpText()
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("the replica's dump has %d bytes, the primary's %d", len(got), len(want))
		}
		return err
	})
}

// The disk fills up during the dump, of which kdb5_util does not tell.
func TestServeDumpOnFullDisk(t *testing.T) {
	for engine, want := range map[string]string{"db2": "no space left on device", "kdb5_util": "is the disk full?"} {
		t.Run(engine, func(t *testing.T) { dumpOnFullDisk(t, engine, want) })
	}
}

func dumpOnFullDisk(t *testing.T, engine, want string) {
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	d := startDumping(t, "engine: "+engine+"\ndump: "+filepath.Join(dir, "dump")+"\n", nil)
	largeRealm(t, d.r, 5000)
	d.failing(want)
	if left, err := filepath.Glob(filepath.Join(dir, "dump-*")); err != nil || len(left) > 0 {
		t.Errorf("left on the disk: %v, %v", left, err)
	}
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT, "size=64m"))
	d.recovers()
}

// A kdb5_util that says it made a good dump, and did not.
func TestServeLyingDump(t *testing.T) {
	for _, c := range []struct{ name, cut, want string }{
		{"cut in a record", `head -c -20`, "the dump ends in the middle of a record"},
		{"cut at a record", `head -n 3`, "the dump lacks the realm's ticket-granting principal"},
		{"header alone", `head -n 1`, "the dump ends in the middle of a record"},
		{"K/M left out", `grep -v 'K/M@'`, "the dump lacks the master key entry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			util, err := krbtest.LookPath("kdb5_util")
			must(t, err)
			dir := t.TempDir()
			lie, program := filepath.Join(dir, "lie"), filepath.Join(dir, "kdb5_util")
			must(t, os.WriteFile(program, []byte(fmt.Sprintf(
				"#!/bin/sh\n%s \"$@\" || exit\n[ -e %s ] || exit 0\neval f=\\$$#\n%s \"$f\" >\"$f.cut\" && mv \"$f.cut\" \"$f\" && printf '\\0' >\"$f.dump_ok\"\n",
				util, lie, c.cut)), 0o700))
			d := startDumping(t, "kdb5_util: "+program+"\n", nil)
			must(t, os.WriteFile(lie, nil, 0o600))
			d.r.AddPrincipal("bob", "password")
			d.failing(c.want)
			must(t, os.Remove(lie))
			d.recovers()
		})
	}
}

// Somebody cuts the dump while it is sent: that transfer fails, and the next
// one brings all.
func TestServeDumpCutWhileSent(t *testing.T) {
	var cut sync.Once
	path := filepath.Join(t.TempDir(), "dump")
	armed := make(chan struct{})
	// No other dump takes its place meanwhile.
	d := startDumping(t, "on_change: false\ndump: "+path+"\n", func(r *krbtest.Realm, port int) int {
		r.Dump()
		s := newStage(t, r)
		s.pausing(port, func() (err error) {
			select {
			case <-armed:
				cut.Do(func() { err = os.Truncate(path, 1<<20) })
			default:
			}
			return err
		})
		var proxy int
		_, err := fmt.Sscan(s.port, &proxy)
		must(t, err)
		return proxy
	})
	close(armed)
	largeRealm(t, d.r, 60000)
	d.verb("now")
	d.until("failed once", func(realm status.Realm) bool { return replicaOf(realm, d.name).Counters.Failed == 1 })
	d.recovers()
	got := d.verb("history", d.name)
	if n := strings.Count(got.stdout, "Premature EOF found for database file!"); n != 1 {
		t.Errorf("the history has that %d times:\n%s", n, got.stdout)
	}
	logs(t, d.kpropd, `"Generic remote error: Premature EOF found for database file!"`)
}
