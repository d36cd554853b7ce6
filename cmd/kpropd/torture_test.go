package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

// The torture: faults are injected while a krb5kdc serves the replica's
// database and is asked all the time. "go test" makes a part of them, "make
// torture" all.
var torture = flag.Bool("torture", false, "inject all faults, not only some of each kind")

// many is how many faults of a kind are injected.
func many(all, some int) int {
	if *torture {
		return all
	}
	return some
}

// tally counts over all tests.
var tally struct {
	faults, torn, queries, unanswered atomic.Int64
	kinds                             sync.Map // name of a kind to *atomic.Int64
}

func count(kind string) {
	tally.faults.Add(1)
	n, _ := tally.kinds.LoadOrStore(kind, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// printTally is for the end of all tests.
func printTally(w io.Writer) {
	if tally.faults.Load() == 0 {
		return
	}
	var kinds []string
	tally.kinds.Range(func(kind, n any) bool {
		kinds = append(kinds, fmt.Sprintf("  %6d  %s\n", n.(*atomic.Int64).Load(), kind))
		return true
	})
	slices.SortFunc(kinds, func(a, b string) int { return strings.Compare(a[10:], b[10:]) })
	fmt.Fprintf(w, "torture: %d faults\n%s  databases torn: %d\n  KDC queries during the faults: %d, failed: %d\n",
		tally.faults.Load(), strings.Join(kinds, ""), tally.torn.Load(), tally.queries.Load(), tally.unanswered.Load())
}

// victim is a replica that suffers faults: a propagation takes its database
// from one of two texts to the other.
type victim struct {
	*poisoned
	texts [2][]byte
	live  int      // the text that is loaded
	kpd   []string // arguments of kpropd
	names []string // of the files that are there between propagations
	since int      // bytes of kpropd's output before the fault
	ends  int      // connections that have ended before the fault
	done  int      // faults
	alone bool     // the test sees to the next good propagation
}

// newVictim starts everything. The limits of kpropd are short, since a fault
// may leave both sides waiting.
func newVictim(t *testing.T, principals int) *victim {
	t.Helper()
	return newVictimOf(t, "auto", principals)
}

// newVictimOf has an engine of its own.
func newVictimOf(t *testing.T, engine string, principals int) *victim {
	t.Helper()
	v := &victim{kpd: []string{"--handshake-timeout=3s", "--idle-timeout=3s", "--engine=" + engine}}
	v.poisoned = newPoisoned(t, principals, v.kpd...)
	v.begin(t, principals)
	return v
}

func (v *victim) begin(t *testing.T, principals int) {
	t.Helper()
	v.texts = [2][]byte{v.good, largeDump(t, v.r, principals, 2)}
	v.names = v.files(t)
	v.note()
}

// next is the text that a propagation brings.
func (v *victim) next() []byte { return v.texts[1-v.live] }

// note remembers where kpropd's output ends.
func (v *victim) note() {
	out := v.d.Output()
	v.since, v.ends = len(out), strings.Count(out, connectionEnd)
}

const connectionEnd = "Database load process for full propagation completed."

// files are the names on the replica, without those that differ each time.
func (v *victim) files(t *testing.T) []string {
	t.Helper()
	n := v.r.Replica
	var names []string
	for _, dir := range []string{n.Dir, filepath.Dir(n.Database)} {
		for _, e := range must(os.ReadDir(dir))(t) {
			if filepath.Ext(e.Name()) != ".out" && !strings.HasPrefix(e.Name(), "ccache") && !slices.Contains(names, e.Name()) {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return names
}

// settled waits until kpropd is through with the connection, and gives what it
// said of it.
func (v *victim) settled(t *testing.T) string {
	t.Helper()
	eventually(t, "kpropd is through with the connection", func() bool {
		return strings.Count(v.d.Output(), connectionEnd) > v.ends
	})
	return v.d.Output()[v.since:]
}

// outcome of a propagation with a fault.
type outcome struct {
	kind, what string
	sender     string // which kprop
	stderr     string
	exit       int
	said       string // by kpropd, since the fault
	// late says that the new database may be live though the sender was not
	// told: the fault came when all was delivered.
	late bool
}

// judge wants the database whole, nothing left behind, and a reason on both
// sides; and now and then the next good propagation to work.
func (v *victim) judge(t *testing.T, o outcome) {
	t.Helper()
	count(o.kind)
	v.done++
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s, %s, from %s: %s\nexit status %d, stderr %q\nkpropd: %s", o.kind, o.what, o.sender,
			fmt.Sprintf(format, args...), o.exit, o.stderr, o.said)
	}
	switch got := dumpOf(t, v.r.Replica); {
	case got == string(v.next()):
		if o.exit != 0 && !o.late {
			fail("the new database is live, but the sender was told that it is not")
		}
		v.live = 1 - v.live
	case got != string(v.texts[v.live]):
		tally.torn.Add(1)
		fail("the database is torn: its dump has %d bytes", len(got))
	case o.exit == 0:
		fail("the sender was told of success, but the old database is live")
	}
	if o.exit != 0 {
		reasons(o, fail)
	}
	if names := v.files(t); !slices.Equal(names, v.names) {
		fail("files are there that were not before: %v, before: %v", names, v.names)
	}
	if v.done%10 == 0 && !v.alone {
		v.recovers(t)
	}
	v.note()
}

// reasons wants one on each side, the same if kpropd could tell it.
func reasons(o outcome, fail func(string, ...any)) {
	if strings.TrimSpace(o.stderr) == "" {
		fail("kprop gives no reason")
	}
	if !o.late && !strings.Contains(o.said, "\tERROR\t") && !strings.Contains(o.said, "\tWARN\t") {
		fail("kpropd logs no reason")
	}
	first, _, _ := strings.Cut(o.stderr, "\n")
	if told, ok := strings.CutPrefix(first, "Generic remote error: "); ok {
		const most = 60 // a log quotes some characters
		if told = told[:min(most, len(told))]; !strings.ContainsAny(told, `"\`) && !strings.Contains(o.said, told) {
			fail("kpropd logs another reason")
		}
	}
}

// recovers wants the next good propagation to work.
func (v *victim) recovers(t *testing.T) {
	t.Helper()
	setDump(t, v.r, v.next())
	mustSucceed(t, v.r, kprops()[v.done%2].path, v.d, "127.0.0.1")
	v.live = 1 - v.live
	if got := dumpOf(t, v.r.Replica); got != string(v.texts[v.live]) {
		t.Fatal("after a fault a good propagation brings another database")
	}
	v.note()
}

// send propagates the next text by way of the port.
func (v *victim) send(t *testing.T, p side, port int) (o outcome) {
	t.Helper()
	setDump(t, v.r, v.next())
	_, stderr, exit := v.r.Kprop(p.path, blindly(p.path, v.r.KpropArgs(&krbtest.Daemon{Port: port}, "127.0.0.1"))...)
	return outcome{sender: p.name, stderr: stderr, exit: exit}
}

// TestTortureConnection: the connection is cut, and bits of it are flipped.
func TestTortureConnection(t *testing.T) {
	t.Parallel()
	for _, p := range kprops() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, 600)
			x := startTamperer(t, v.d.Port)
			up, down, frames := x.measure(t, v, p)
			for i := range frames {
				v.tamper(t, x, p, "connection cut at a message boundary", cutFrames(i, i%2 == 0))
			}
			for i := range many(300, 12) {
				n := rand.Int64N(up)
				v.tamper(t, x, p, "connection cut at a random offset", cutBytes(n, i%2 == 0))
			}
			for range many(250, 12) {
				v.tamper(t, x, p, "bit flipped on the way to kpropd", flip(rand.Int64N(up), uint(rand.IntN(8)), toServer))
			}
			for range many(20, 1) {
				v.tamper(t, x, p, "sender that stalls for ever", stall(rand.Int64N(up)))
			}
			for range many(60, 5) {
				v.tamper(t, x, p, "answer cut or flipped", flip(rand.Int64N(down), uint(rand.IntN(8)), toClient))
				v.tamper(t, x, p, "answer cut or flipped", cutAnswer(rand.Int64N(down)))
			}
		})
	}
}

func (v *victim) tamper(t *testing.T, x *tamperer, p side, kind string, how manner) {
	t.Helper()
	x.set(how)
	o := v.send(t, p, x.port)
	x.idle(t)
	o.said = v.settled(t)
	o.kind, o.what, o.late = kind, how.what, how.late
	v.judge(t, o)
}

// TestTortureDisk: each step of kpropd on the disk fails in turn.
func TestTortureDisk(t *testing.T) {
	t.Parallel()
	onEngines(t, tortureDisk, "auto", "db2", "kdb5_util")
}

// onEngines runs a test with each of them.
func onEngines(t *testing.T, test func(t *testing.T, engine string), engines ...string) {
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(t, engine)
		})
	}
}

func tortureDisk(t *testing.T, engine string) {
	v := newVictimOf(t, engine, 1200)
	port := v.d.Port
	for _, errno := range []string{"EIO", "ENOSPC"} {
		step := 1
		for ; ; step += many(1, 1+rand.IntN(8)) {
			v.restart(t, port, fmt.Sprintf("%d:%s", step, errno))
			o := v.send(t, kprops()[step%2], port)
			o.said = v.settled(t)
			failed := injected(o.said)
			if failed == "" { // there are no more steps
				v.live = 1 - v.live
				break
			}
			o.kind, o.what = "EIO or ENOSPC in a step of kpropd", failed
			// The first load in this file system is durable when its
			// directory is; without that the sender must not hear of success.
			o.late = strings.HasPrefix(failed, "fsync ")
			v.restart(t, port, "")
			v.judge(t, o)
		}
		if step < 20 {
			t.Errorf("only %d steps on the disk", step)
		}
	}
}

// restart replaces kpropd by one with faults, if any, on the same port.
func (v *victim) restart(t *testing.T, port int, faults string) {
	t.Helper()
	v.d.Kill()
	n := v.r.Replica
	words := n.KpropdArgs(port, v.kpd...)
	program := ourKpropd
	if faults != "" {
		words = append([]string{krbtest.RoleEnv + "=faults", faultEnv + "=" + faults, must(os.Executable())(t)}, words...)
		program = "env"
	}
	v.d = must(n.StartDaemon(port, program, words...))(t)
	v.note()
}

// TestTortureFullDisk: the file system of dump and database is full at some
// point, be it while kpropd writes or kdb5_util.
func TestTortureFullDisk(t *testing.T) {
	t.Parallel()
	v, grow := newFullDisk(t)
	if v == nil {
		return
	}
	for i := range many(120, 8) {
		grow(rand.IntN(300))
		o := v.send(t, kprops()[i%2], v.d.Port)
		o.said = v.settled(t)
		o.kind = "file system full"
		grow(4000)
		v.judge(t, o)
	}
}

// TestTortureKill: kpropd is killed at random moments, and before each of its
// steps on the disk, and kdb5_util at random moments of the load.
func TestTortureKill(t *testing.T) {
	t.Parallel()
	onEngines(t, tortureKill, "db2", "kdb5_util")
}

func tortureKill(t *testing.T, engine string) {
	v := newVictimOf(t, engine, 400)
	port := v.d.Port
	start := time.Now()
	v.recovers(t)
	whole := time.Since(start)
	for i := range many(300, 12) {
		setDump(t, v.r, v.next())
		p := kprops()[i%2]
		wait := begin(t, v.r, p.path, v.d)
		time.Sleep(rand.N(whole * 5 / 4)) // the moment is the fault
		v.d.Kill()
		v.afterKill(t, port, p, wait, "kpropd killed at a random moment", "")
	}
	for step := 1; ; step += many(1, 1+rand.IntN(8)) {
		v.restart(t, port, fmt.Sprintf("%d:KILL", step))
		setDump(t, v.r, v.next())
		p := kprops()[step%2]
		wait := begin(t, v.r, p.path, v.d)
		eventually(t, "kpropd is through with the connection, or dead", func() bool {
			return !v.d.Running() || strings.Count(v.d.Output(), connectionEnd) > v.ends
		})
		if v.d.Running() { // there are no more steps
			wait()
			break
		}
		v.afterKill(t, port, p, wait, "kpropd killed before a step on the disk", injected(v.d.Output()))
	}
	v.restart(t, port, "")
	if got := dumpOf(t, v.r.Replica); got == string(v.next()) {
		v.live = 1 - v.live
	}
	v.recovers(t)
}

// afterKill starts kpropd again and judges. What is left, it must have cleared
// away when a propagation is over.
func (v *victim) afterKill(t *testing.T, port int, p side, wait func() (string, string, int), kind, what string) {
	t.Helper()
	_, stderr, exit := wait()
	if whole := v.principals(t); whole != v.of(v.texts[0]) && whole != v.of(v.texts[1]) {
		tally.torn.Add(1)
		t.Errorf("%s, %s: the principals are torn", kind, what)
	}
	v.restart(t, port, "")
	if got := dumpOf(t, v.r.Replica); got == string(v.next()) {
		v.live = 1 - v.live
	} else if got != string(v.texts[v.live]) {
		tally.torn.Add(1)
		t.Fatalf("%s, %s: the database is torn: its dump has %d bytes", kind, what, len(got))
	} else if exit == 0 {
		t.Errorf("%s, %s: the sender was told of success, but the old database is live: %q", kind, what, stderr)
	}
	count(kind)
	v.done++
	v.recovers(t)
	if names := v.files(t); !slices.Equal(names, v.names) {
		t.Errorf("%s, %s, from %s: files are there that were not before: %v, before: %v", kind, what, p.name, names, v.names)
	}
}

// principals is the database without its policies, which a kill between two
// renames leaves as they were until kpropd starts.
func (v *victim) principals(t *testing.T) string {
	t.Helper()
	return v.of([]byte(dumpOf(t, v.r.Replica)))
}

func (v *victim) of(text []byte) string {
	s, _, _ := strings.Cut(string(text), "\npolicy\t")
	return s
}

// TestTortureLoader: kdb5_util is killed, terminated and frozen while it loads.
func TestTortureLoader(t *testing.T) {
	t.Parallel()
	v := newVictimOf(t, "kdb5_util", 3000)
	for i := range many(120, 9) {
		p := kprops()[i%2]
		setDump(t, v.r, v.next())
		wait := begin(t, v.r, p.path, v.d)
		what := []string{"killed", "terminated", "frozen for a moment"}[i%3]
		pid := v.loadPID(t)
		time.Sleep(rand.N(60 * time.Millisecond)) // the moment is the fault
		harm(pid, what)
		_, stderr, exit := wait()
		said := v.settled(t)
		v.judge(t, outcome{kind: "kdb5_util " + what, sender: p.name, stderr: stderr, exit: exit, said: said})
	}
}
