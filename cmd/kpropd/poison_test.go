package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// poisoned is a guard whose replica has a database of many principals and a
// KDC that must answer all the time.
type poisoned struct {
	*guard
	args []string // that a verb of kpropd needs
}

func newPoisoned(t *testing.T, principals int, flags ...string) *poisoned {
	t.Helper()
	return newPoisonedAt(t, "", principals, flags...)
}

// newPoisonedAt has dump and database in another directory, if one is named.
func newPoisonedAt(t *testing.T, dir string, principals int, flags ...string) *poisoned {
	t.Helper()
	r := startRealm(t)
	if dir != "" {
		moveTo(t, r.Replica, dir)
	}
	r.AddPrincipal("bob", "secret")
	r.Dump()
	g := &guard{r: r, host: fmt.Sprintf("host/%s@%s", must(krbtest.LocalHost())(t), r.Name)}
	g.d = r.StartKpropd(t, ourKpropd, flags...)
	p := &poisoned{guard: g, args: []string{"-r", r.Name, "-f", r.Replica.FromMaster}}
	p.loads(t, largeDump(t, r, principals, 1))
	must(r.Replica.StartKDC())(t)
	p.answers(t)
	return p
}

// answers asks the KDC for tickets until the test ends; each must come.
func (p *poisoned) answers(t *testing.T) {
	t.Helper()
	quit, failed := make(chan struct{}), make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			tally.queries.Add(1)
			if err := p.r.Replica.Kinit("bob", "secret"); err != nil {
				tally.unanswered.Add(1)
				failed <- err
				return
			}
		}
	})
	t.Cleanup(func() {
		close(quit)
		wg.Wait()
		select {
		case err := <-failed:
			t.Errorf("the KDC did not answer: %v", err)
		default:
		}
	})
}

// loads propagates a dump, which must work.
func (p *poisoned) loads(t *testing.T, text []byte) {
	t.Helper()
	setDump(t, p.r, text)
	mustSucceed(t, p.r, "", p.d, "127.0.0.1")
	p.good = text
	p.unchanged(t)
}

// run runs a verb of kpropd on the replica.
func (p *poisoned) run(t *testing.T, verb string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	return runOn(t, p.r.Replica, ourKpropd, append(append([]string{verb}, p.args...), args...)...)
}

// rewrite gives a dump in which each principal is changed by do, and left out
// where that is false.
func rewrite(t *testing.T, text []byte, do func(*dump.Principal) bool) []byte {
	t.Helper()
	in := must(dump.NewReader(bytes.NewReader(text)))(t)
	var out bytes.Buffer
	w := must(dump.NewWriter(&out, in.Header()))(t)
	for {
		rec, err := in.Next()
		if err == io.EOF {
			ok(t, w.Flush())
			return out.Bytes()
		}
		ok(t, err)
		if p, is := rec.(*dump.Principal); is && !do(p) {
			continue
		}
		ok(t, w.Write(rec))
	}
}

// changed makes do the new time of a principal's changes, in seconds since 1970.
func changed(p *dump.Principal, do func(at uint32) uint32) {
	for _, tl := range p.TL {
		if tl.Type == dump.TLModPrinc || tl.Type == dump.TLLastPwdChange {
			binary.LittleEndian.PutUint32(tl.Data, do(binary.LittleEndian.Uint32(tl.Data)))
		}
	}
}

// first leaves n of the made-up principals in the dump, which have no name of
// the realm's own.
func first(t *testing.T, r *krbtest.Realm, text []byte, n int) []byte {
	t.Helper()
	own := dumpOf(t, r.Primary)
	return rewrite(t, text, func(p *dump.Principal) bool {
		if strings.Contains(own, "\t"+string(p.Name)+"\t") {
			return true
		}
		n--
		return n >= 0
	})
}

var offered = regexp.MustCompile(`run on this host: (kpropd accept .*), and propagate again`)

// TestShrunk: a dump that lacks many principals gets in only with an operator's
// word, once.
func TestShrunk(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t, 200)
	n := p.r.Replica
	half := first(t, p.r, p.good, 100)
	words := []string{"the propagation was refused and nothing was changed: it has 110 principals and the database here has 210: 100 (47.6%) fewer, and max_shrink is 10%; ", "kpropd accept"}
	setDump(t, p.r, half)
	p.refused(t, p.d, words...)
	logged(t, p.d, words...)

	// Neither a restart nor a lost or damaged state lets it in.
	ok(t, os.Remove(n.FromMaster+".state"))
	p.d.Stop()
	p.d = p.r.StartKpropd(t, ourKpropd)
	p.refused(t, p.d, words...)
	ok(t, os.WriteFile(n.FromMaster+".state", []byte(`{"principals":0}`), 0o600))
	p.refused(t, p.d, words...)
	// Nor does the loss of both: the database counts.
	dump := content(t, n.FromMaster)
	for _, text := range []string{"", dump[:len(dump)/2]} {
		ok(t, os.Remove(n.FromMaster))
		if text != "" {
			ok(t, os.WriteFile(n.FromMaster, []byte(text), 0o600))
		}
		_, stderr, exit := p.r.Kprop("", p.r.KpropArgs(p.d, "127.0.0.1")...)
		if exit != 1 || !strings.Contains(stderr, words[0]) {
			t.Errorf("without the dump: exit status %d, %s", exit, stderr)
		}
		ok(t, os.WriteFile(n.FromMaster, []byte(dump), 0o600))
	}
	p.unchanged(t)

	// A tenth may be missing.
	p.loads(t, first(t, p.r, p.good, 179))
	setDump(t, p.r, half)
	_, stderr, _ := p.r.Kprop("", p.r.KpropArgs(p.d, "127.0.0.1")...)
	command := offered.FindStringSubmatch(stderr)
	if command == nil {
		t.Fatalf("no command is offered: %s", stderr)
	}
	// The command is taken as it stands.
	stdout, stderr, exit := runOn(t, n, "sh", "-c", strings.Replace(command[1], "kpropd", ourKpropd, 1))
	if exit != 0 || !strings.Contains(stdout, "is let in, once") {
		t.Fatalf("%s: exit status %d, %q, %q", command[1], exit, stdout, stderr)
	}
	// It is of no use to another dump.
	setDump(t, p.r, first(t, p.r, half, 50))
	p.refused(t, p.d, "it has 60 principals and the database here has 189")
	p.loads(t, half)
	if exists(n.FromMaster + ".accept") {
		t.Error("the mark is there after its use")
	}
	logged(t, p.d, "accepted by kpropd accept: it has 110 principals")

	// Any dump, and only one.
	few := first(t, p.r, half, 50)
	if _, stderr, exit := p.run(t, "accept"); exit != 0 {
		t.Fatal(stderr)
	}
	p.loads(t, few)
	setDump(t, p.r, first(t, p.r, few, 10))
	p.refused(t, p.d, "it has 20 principals and the database here has 60")
	p.loads(t, few)
}

// TestShrinkAfterMIT: what MIT's kpropd has loaded since counts.
func TestShrinkAfterMIT(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t, 20)
	mit := p.r.StartKpropd(t, "")
	p.good = largeDump(t, p.r, 300, 1)
	setDump(t, p.r, p.good)
	mustSucceed(t, p.r, "", mit, "127.0.0.1")
	setDump(t, p.r, first(t, p.r, p.good, 20))
	p.refused(t, p.d, "it has 30 principals and the database here has 310")
}

// TestOlder: a dump of an earlier time is refused; one after deletions is not.
func TestOlder(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t, 20, "--max-shrink=100%")
	newest := p.good
	old := rewrite(t, newest, func(q *dump.Principal) bool { changed(q, func(at uint32) uint32 { return at - 5000 }); return true })
	setDump(t, p.r, old)
	words := []string{"it is older than the database here: it has an earlier version of ", "and its newest change is of ", "that of the database here of "}
	p.refused(t, p.d, words...)
	logged(t, p.d, "it is older than the database here: it has an earlier version of ")
	p.d.Stop()
	off := p.r.StartKpropd(t, ourKpropd, "--refuse-older=false")
	mustSucceed(t, p.r, "", off, "127.0.0.1")
	wantStop(t, off)
	p.good = old
	p.d = p.r.StartKpropd(t, ourKpropd, "--max-shrink=100%")

	// The principals changed last are deleted, and nothing else happens.
	for _, test := range []struct {
		fresh   int
		refused bool
	}{{1, false}, {10, false}, {11, true}} {
		base := first(t, p.r, old, 5)
		var fresh bytes.Buffer
		i := 0
		fresh.Write(rewrite(t, old, func(q *dump.Principal) bool {
			if bytes.Contains(base, []byte("\t"+string(q.Name)+"\t")) {
				return true
			}
			changed(q, func(uint32) uint32 { return uint32(time.Now().Unix() - 1000) })
			i++
			return i <= test.fresh
		}))
		p.loads(t, fresh.Bytes())
		if !test.refused {
			p.loads(t, base)
			continue
		}
		setDump(t, p.r, base)
		p.refused(t, p.d, "it lacks all of the 11 principals changed last")
	}
}

// TestKilledAnywhere: whenever kpropd is killed, the database is the old or the
// new one, and what it leaves keeps nothing from working or being guarded.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t, 300)
	n := p.r.Replica
	texts := [2][]byte{p.good, largeDump(t, p.r, 310, 2)}
	p.d.Stop()
	moments := []string{
		"authenticated client", "Full propagation transfer started.", "Full propagation transfer finished.", "completing the database made of the dump",
		"putting the new database in place", "Load PID is ",
		"Database load process for full propagation completed.",
	}
	for i := range 21 {
		engine := "--engine=db2"
		if moments[i%len(moments)] == "Load PID is " {
			engine = "--engine=kdb5_util"
		}
		d := p.r.StartKpropd(t, ourKpropd, engine)
		setDump(t, p.r, texts[(i+1)%2])
		wait := begin(t, p.r, "", d)
		if err := d.WaitOutput(testContext(t), moments[i%len(moments)]); err != nil {
			t.Fatal(err)
		}
		d.Kill()
		wait()
		if got := dumpOf(t, n); got != string(texts[0]) && got != string(texts[1]) {
			t.Fatalf("kill %d: the database is neither the old nor the new one: %d bytes", i, len(got))
		}
	}
	p.d = p.r.StartKpropd(t, ourKpropd)
	p.loads(t, texts[1])
	setDump(t, p.r, first(t, p.r, texts[1], 100))
	p.refused(t, p.d, "it has 110 principals and the database here has 320")
	p.loads(t, texts[0])
	if list := p.kept(t); len(list) != 2 || !list[0].Loaded {
		t.Errorf("history: %s", numbers(list))
	}
}
