package main

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// TestTortureCut: a dump that ends at each of its records. What comes last are
// the policies, so one that lacks a principal lacks them all; one that lacks only some
// policies can't be told from one after their deletion, and is loaded with a
// warning.
func TestTortureCut(t *testing.T) {
	t.Parallel()
	v := newVictim(t, many(60, 12))
	lines := bytes.SplitAfter(v.next(), []byte("\n"))
	lines = lines[:len(lines)-1] // what is behind the last LF
	policies := bytes.Count(v.next(), []byte("\npolicy\t"))
	if policies < 2 {
		t.Fatalf("the dump has %d policies", policies)
	}
	whole := v.texts
	v.alone = true
	for i := range lines {
		for _, p := range kprops() {
			v.texts[1-v.live] = bytes.Join(lines[:i], nil)
			o := v.send(t, p, v.d.Port)
			o.said = v.settled(t)
			o.kind, o.what = "dump cut at a record", fmt.Sprintf("%d of %d lines", i, len(lines))
			if tail := len(lines) - i; tail >= policies && o.exit == 0 {
				t.Errorf("%s: it was loaded", o.what)
			} else if tail < policies && o.exit == 0 && !strings.Contains(o.said, "name policies that it lacks") {
				t.Errorf("%s: it was loaded without a word: %s", o.what, o.said)
			}
			v.judge(t, o)
			v.texts = whole
			if dumpOf(t, v.r.Replica) != string(v.texts[v.live]) {
				v.live = 1 - v.live
				v.recovers(t)
			}
		}
	}
}

// TestTortureDump: dumps of another kind of harm.
func TestTortureDump(t *testing.T) {
	t.Parallel()
	v := newVictim(t, 200)
	good := v.texts
	v.alone = true
	next := func() []byte { return good[1-v.live] }
	line := func(text []byte, i int) []byte { return bytes.SplitAfter(text, []byte("\n"))[i] }
	dropped := func(name string) []byte {
		return rewrite(t, next(), func(p *dump.Principal) bool { return string(p.Name) != name+"@"+v.r.Name })
	}
	for _, test := range []struct {
		what string
		make func() []byte
		why  string
	}{
		{"two dumps in one", func() []byte { return append(bytes.Clone(good[0]), good[1]...) }, "the dump was refused"},
		{"the same records twice", func() []byte { return append(bytes.Clone(next()), next()[len(line(next(), 0)):]...) }, "come more than once"},
		{"one principal twice", func() []byte { return append(bytes.Clone(next()), line(next(), 20)...) }, "1 of its principals come more than once"},
		{"junk behind the end", func() []byte { return append(bytes.Clone(next()), "junk"...) }, "ends in the middle of a record"},
		{"a line of junk behind the end", func() []byte { return append(bytes.Clone(next()), "junk\n"...) }, "the dump was refused"},
		{"NULs behind the end", func() []byte { return append(bytes.Clone(next()), make([]byte, 4096)...) }, "ends in the middle of a record"},
		{"a hole in the middle", func() []byte {
			b := bytes.Clone(next())
			clear(b[len(b)/2 : len(b)/2+512])
			return b
		}, "the dump was refused"},
		{"no K/M", func() []byte { return dropped("K/M") }, "lacks the master key entry"},
		{"no krbtgt", func() []byte { return dropped("krbtgt/" + v.r.Name) }, "lacks the realm's ticket-granting principal"},
		{"another realm", func() []byte { return must(krbtest.NewKDBUtil(t, "OTHER.TEST", "").Dump())(t) }, "another realm"},
		{"another master key", func() []byte { return must(krbtest.NewKDBUtil(t, v.r.Name, "").Dump())(t) }, "does not open the dump"},
		{"shrunk", func() []byte { return first(t, v.r, next(), 100) }, "fewer, and max_shrink is 10%"},
		{"without policies", func() []byte { s, _, _ := bytes.Cut(next(), []byte("\npolicy\t")); return append(s, '\n') }, "it has none of the 3 policies"},
		{"older", func() []byte {
			return rewrite(t, good[v.live], func(p *dump.Principal) bool { changed(p, func(at uint32) uint32 { return at - 5000 }); return true })
		}, "it is older than the database here"},
		{"empty", func() []byte { return nil }, "holds no principals"},
	} {
		for _, p := range kprops() {
			v.texts[1-v.live] = test.make()
			o := v.send(t, p, v.d.Port)
			o.said = v.settled(t)
			o.kind, o.what = "a bad dump", test.what
			if o.exit != 1 || !strings.Contains(o.stderr, test.why) {
				t.Errorf("%s, from %s: exit status %d, stderr %q, want %q", test.what, p.name, o.exit, o.stderr, test.why)
			}
			live := v.live
			v.judge(t, o)
			v.texts, v.live = good, live
			v.recovers(t)
		}
	}
}

// TestTortureIdle: connections that say nothing, while a good propagation goes
// through in the time that it takes without them.
func TestTortureIdle(t *testing.T) {
	t.Parallel()
	v := newVictim(t, 100)
	n := many(1000, 200)
	for range n {
		nc := must(net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(v.d.Port))))(t)
		t.Cleanup(func() { nc.Close() })
	}
	count(fmt.Sprintf("%d silent connections at once", n))
	start := time.Now()
	v.recovers(t)
	if took := time.Since(start); took > 9*time.Second {
		t.Errorf("beside %d silent connections a propagation took %v: as long as one of them is waited for", n, took)
	}
}
