package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// guard is a realm whose replica has a good database, which must survive.
type guard struct {
	r    *krbtest.Realm
	d    *krbtest.Daemon
	good []byte // the dump that was propagated
	host string // the primary's principal
}

func newGuard(t *testing.T) *guard {
	t.Helper()
	return newGuardOf(t, startRealm(t))
}

// newGuardOf starts kpropd with these arguments.
func newGuardOf(t *testing.T, r *krbtest.Realm, args ...string) *guard {
	t.Helper()
	g := &guard{r: r}
	g.host = fmt.Sprintf("host/%s@%s", must(krbtest.LocalHost())(t), g.r.Name)
	g.d = g.r.StartKpropd(t, ourKpropd, args...)
	mustSucceed(t, g.r, "", g.d, "127.0.0.1")
	g.good = []byte(content(t, g.r.Primary.DumpFile))
	return g
}

// unchanged wants everything on the replica to be as it was after newGuard.
func (g *guard) unchanged(t *testing.T) {
	t.Helper()
	n := g.r.Replica
	if got := dumpOf(t, n); got != string(g.good) {
		t.Errorf("the database has changed: its dump has %d bytes, had %d", len(got), len(g.good))
	}
	if got := content(t, n.FromMaster); got != string(g.good) {
		t.Errorf("%s has changed: %d bytes, had %d", n.FromMaster, len(got), len(g.good))
	}
	if exists(n.FromMaster + ".temp") {
		t.Errorf("%s.temp is left", n.FromMaster)
	}
	if pids := running(t, n, "kdb5_util"); len(pids) > 0 {
		t.Errorf("kdb5_util is left running: %v", pids)
	}
}

// refused propagates the dump file of the primary to d with each kprop, and
// wants d to refuse it with all the words, and to change nothing.
func (g *guard) refused(t *testing.T, d *krbtest.Daemon, words ...string) {
	t.Helper()
	for _, p := range kprops() {
		stdout, stderr, exit := g.r.Kprop(p.path, blindly(p.path, g.r.KpropArgs(d, "127.0.0.1"))...)
		if exit != 1 || stdout != "" {
			t.Errorf("%s: exit status %d, stdout %q; want 1 and nothing", p.name, exit, stdout)
		}
		first, _, _ := strings.Cut(stderr, "\n")
		for _, word := range append(words, "Generic remote error: ") {
			if !strings.Contains(first, word) {
				t.Errorf("%s: stderr %q, want in its first line %q", p.name, stderr, word)
			}
		}
		g.unchanged(t)
	}
}

// blindly makes kprop send what is no good dump; MIT's does so anyway.
func blindly(kprop string, args []string) []string {
	if kprop == ourKprop {
		return append([]string{"--no-verify"}, args...)
	}
	return args
}

// logged wants the reason of a refusal in kpropd's own log.
func logged(t *testing.T, d *krbtest.Daemon, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(d.Output(), word) {
			t.Errorf("kpropd does not say %q: %s", word, d.Output())
		}
	}
}

// restored wants a propagation to work after all that was refused.
func (g *guard) restored(t *testing.T) {
	t.Helper()
	for _, p := range kprops() {
		changeAndSend(t, g.r, p.path, g.d, "127.0.0.1")
	}
}

func (g *guard) large(t *testing.T) []byte {
	t.Helper()
	return largeDump(t, g.r, 5000, 1)
}

func TestACLDenial(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	acl := content(t, g.r.Replica.ACL)
	large := g.large(t)
	if len(large) < 2<<20 {
		t.Fatalf("the large dump has %d bytes", len(large))
	}
	tests := []struct {
		name, acl, why string
		remove         bool
	}{
		{"another principal", "host/other@" + g.r.Name + "\n", "it has no line for this principal", false},
		{"empty", "", "it has no line for this principal", false},
		{"another enctype", g.host + " aes128-cts-hmac-sha1-96\n", `its line 1 asks for a ticket in "aes128-cts-hmac-sha1-96"`, false},
		{"missing", "", "cannot be read: No such file or directory", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ok(t, os.WriteFile(g.r.Replica.ACL, []byte(test.acl), 0o644))
			if test.remove {
				ok(t, os.Remove(g.r.Replica.ACL))
			}
			for _, dump := range [][]byte{g.good, large} {
				setDump(t, g.r, dump)
				g.refused(t, g.d, g.host+" is not allowed to propagate to this host: ", test.why, g.r.Replica.ACL)
			}
			logged(t, g.d, "Rejected connection from unauthorized principal "+g.host, strings.ReplaceAll(test.why, `"`, `\"`))
		})
	}
	// Read afresh for each connection.
	ok(t, os.WriteFile(g.r.Replica.ACL, []byte(acl), 0o644))
	g.restored(t)
}

func TestBadDump(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	lines := bytes.SplitAfter(g.good, []byte("\n"))
	index := func(name string) int {
		for i, line := range lines {
			if bytes.Contains(line, []byte("\t"+name+"@"+g.r.Name+"\t")) {
				return i
			}
		}
		t.Fatalf("the dump has no %s", name)
		return 0
	}
	without := func(name string) []byte {
		i := index(name)
		return bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil)
	}
	noise := make([]byte, 3<<20)
	_, _ = rand.Read(noise)
	large := g.large(t)
	damaged := bytes.Replace(large, []byte("\nprinc\t38\t"), []byte("\nprinc\t38x\t"), 1)
	tgt := "krbtgt/" + g.r.Name
	noTGT := "the dump lacks the realm's ticket-granting principal: there is no " + tgt + "@" + g.r.Name
	const (
		cut    = "the dump ends in the middle of a record"
		noDump = "this is not a dump made by kdb5_util dump"
	)
	tests := []struct {
		name  string
		dump  []byte
		words []string
	}{
		{"no K/M", without("K/M"), []string{"the dump lacks the master key entry: there is no K/M@" + g.r.Name}},
		{"no krbtgt", without(tgt), []string{noTGT}},
		{"cut at a record", bytes.Join(lines[:index(tgt)], nil), []string{noTGT}},
		{"cut in a record", g.good[:len(g.good)-20], []string{cut}},
		{"large, cut in a record", large[:len(large)/2], []string{cut}},
		{"large, damaged early", damaged, []string{"dump line 2, column 7"}},
		{"header only", lines[0], []string{"the dump holds no principals"}},
		{"empty", nil, []string{"the dump holds no principals"}},
		{"noise", noise, []string{noDump}},
		{"text", []byte("not a dump\n"), []string{noDump}},
		{"another realm", must(krbtest.NewKDBUtil(t, "OTHER.TEST", "").Dump())(t), []string{"the dump is of another realm", "OTHER.TEST", g.r.Name}},
		{"another master key", must(krbtest.NewKDBUtil(t, g.r.Name, "").Dump())(t), []string{"the stash " + g.r.Replica.Stash + " on this host does not open the dump"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			setDump(t, g.r, test.dump)
			words := append(test.words, "nothing was changed: ")
			g.refused(t, g.d, words...)
			logged(t, g.d, words...)
		})
	}
	g.restored(t)
}

// TestStash: the stash on the replica must open the dump, if there is one.
func TestStash(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	n := g.r.Replica
	stash := []byte(content(t, n.Stash))
	other := newRealm(t, krbtest.Options{})
	ok(t, os.WriteFile(n.Stash, []byte(content(t, other.Primary.Stash)), 0o600))

	g.r.Kadmin("change_password -randkey alice")
	g.r.Dump()
	for _, p := range kprops() {
		_, stderr, exit := g.r.Kprop(p.path, g.r.KpropArgs(g.d, "127.0.0.1")...)
		if want := "Generic remote error: the stash " + n.Stash + " on this host does not open the dump, nothing was changed: "; exit != 1 || !strings.HasPrefix(stderr, want) {
			t.Errorf("%s: exit status %d, stderr %q; want 1 and %q", p.name, exit, stderr, want)
		}
	}
	// Only with the stash can kdb5_util dump.
	ok(t, os.WriteFile(n.Stash, stash, 0o600))
	g.unchanged(t)

	ok(t, os.Remove(n.Stash))
	mustSucceed(t, g.r, "", g.d, "127.0.0.1")
	if out := g.d.Output(); !strings.Contains(out, "WARN") || !strings.Contains(out, "there is no stash file") {
		t.Errorf("the log does not warn of the missing stash: %s", out)
	}
	ok(t, os.WriteFile(n.Stash, stash, 0o600))
	sameDatabase(t, g.r)
	g.restored(t)
}
