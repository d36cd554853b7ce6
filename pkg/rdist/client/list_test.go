package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/server"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// spoken counts the lines that a client sends, by their first octets. Contents
// of files must have no newlines.
type spoken struct {
	*pair
	ops map[byte]int
}

func (s *spoken) run(entry string) outcome {
	s.t.Helper()
	s.ops = map[byte]int{}
	log := &tap{}
	o := runEntries(s.t, entry, Options{Dialer: dialerFunc(func() (Session, error) {
		inner, err := s.Dial(s.t.Context(), "", "")
		log.Session = inner
		return log, err
	}), stat: systemStat, Names: &systemNames{}})
	var failed *server.Failed
	if err := <-s.done; err != nil && !errors.As(err, &failed) {
		s.t.Errorf("the server ended with %v", err)
	}
	for line := range strings.Lines(log.sent.String()) {
		s.ops[line[0]]++
	}
	return o
}

// tap keeps what is sent.
type tap struct {
	Session
	sent strings.Builder
}

func (t *tap) Write(p []byte) (int, error) {
	t.sent.Write(p)
	return t.Session.Write(p)
}

// TestListed: of a directory that the server lists nothing is asked, and it is
// kept the same as with questions.
func TestListed(t *testing.T) {
	src := t.TempDir() + "/s"
	for i := range 100 {
		write(t, fmt.Sprintf("%s/many/%03d", src, i), "x")
	}
	write(t, src+"/many/sub/f", "f")
	must(t, os.Symlink("f", src+"/many/sub/link"))
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	dst := root + "/t"
	s := &spoken{pair: newPair(t, root)}
	entry := src + " -> h install -oremove " + dst + " ;"
	check := func(what string, installed, updated, removed, questions, cleanings int) {
		t.Helper()
		o := s.run(entry)
		e := o.entry(t)
		if e.Installed != installed || e.Updated != updated || e.Removed != removed || !o.AsWanted() || s.ops[wire.OpQuery] != questions || s.ops[wire.OpClean] != cleanings {
			t.Errorf("%s: %s; sent %v\n%s", what, e.brief(), s.ops, o.out)
		}
		sameTree(t, src, dst)
	}
	// What is above the many is asked for.
	check("first", 105, 0, 0, 2, 0)
	check("again", 0, 0, 0, 2, 1)
	write(t, src+"/many/007", "other")
	must(t, os.Chmod(src+"/many/008", 0o600))
	must(t, os.Remove(src+"/many/009"))
	write(t, dst+"/many/sub/extra", "")
	check("changed", 0, 2, 2, 2, 3)
	must(t, os.Remove(dst+"/many/010"))
	must(t, unix.Mkfifo(dst+"/many/010", 0o600))
	o := s.run(entry)
	if e := o.entry(t); e.ServerErrors != 1 || e.LocalErrors+e.Installed+e.Updated != 0 || !strings.Contains(o.out, "/many/010: not a file or directory") {
		t.Errorf("a pipe: %s\n%s", e.brief(), o.out)
	}
	must(t, os.Remove(dst+"/many/010"))
	check("one is missing", 1, 0, 0, 2, 1)
}

// lists has a fake answer OpList like OpDirectory, with something behind it.
func lists(listing string) func(*fake, string, wire.Line, *wire.Conn) bool {
	return func(f *fake, _ string, l wire.Line, conn *wire.Conn) bool {
		if l.Op != wire.OpList {
			return false
		}
		f.levels = append(f.levels, f.target)
		_ = conn.Write(wire.OpAck, "")
		_, _ = conn.Data().Write([]byte(listing))
		return true
	}
}

// TestWrongListings: what is no listing ends the session, and nothing was taken
// from it.
func TestWrongListings(t *testing.T) {
	dir := makeFiles(t, 40, "n%03d")
	file := func(name string) string { return "Y0 1 644 root root " + name + "\n" }
	var many, long strings.Builder
	for i := range wire.MaxListed + 1 {
		many.WriteString(file(fmt.Sprintf("%06d", i)))
		long.WriteString(file(fmt.Sprintf("%06d", i) + strings.Repeat("n", 240)))
	}
	for what, c := range map[string]struct{ listing, told string }{
		"not sorted":       {file("b") + file("a") + "E\n", "list: unexpected control record 'Y0 1 644 root root a'"},
		"twice":            {file("a") + file("a") + "E\n", "list: unexpected control record"},
		"twice, a query":   {file("a") + "Qa\nE\n", "list: unexpected control record 'Qa'"},
		"no name":          {file("") + "E\n", "list: unexpected control record"},
		"an empty query":   {"Q\nE\n", "list: unexpected control record"},
		"the directory":    {file(".") + "E\n", "list: unexpected control record"},
		"the one above":    {file("..") + "E\n", "list: unexpected control record"},
		"another":          {file("../x") + "E\n", "list: unexpected control record"},
		"a NUL":            {file("a\x00b") + "E\n", "list: unexpected control record"},
		"fields missing":   {"Y0 1 644 root\nE\n", "list: unexpected control record"},
		"bare":             {"Y\nE\n", "list: unexpected control record"},
		"end with text":    {"Ex\n", "list: unexpected control record 'Ex'"},
		"no with text":     {"Nx\n", "list: unexpected control record 'Nx'"},
		"acknowledgement":  {"\x05\n", "list: unexpected control record '^E'"},
		"error":            {"\x01\x1b[2Jno\n", "list: unexpected control record '^A?[2Jno'"},
		"the end of all":   {file("a") + "\x02bye\n", "bye"},
		"too many":         {many.String(), "list: h tells of more in " + dir + " than is listed"},
		"too long":         {long.String(), "list: h tells of more in " + dir + " than is listed"},
		"too long a line":  {"Y" + strings.Repeat("x", wire.MaxRead+1) + "\n", "remote input line too long"},
		"not what it says": {"Yx x x x x n000\nE\n", "the server answered the query for " + dir + "/n000 with 'Yx x x x x'"},
	} {
		f := newFake(t)
		f.grant = "list"
		f.hook = lists(c.listing)
		got := runEntries(t, dir+" -> h install -oremove /t ;", Options{Dialer: f})
		// The directory itself was acknowledged.
		if e := got.entry(t); got.Hosts[0].Err == nil || e.Installed > 1 || e.Removed+e.Updated+e.Unchanged > 0 || !strings.Contains(got.out, c.told) {
			t.Errorf("%s: %s\n%s", what, e.brief(), got.out)
		}
		if sent := f.sent("RrDKkCE"); len(sent) > 0 {
			t.Errorf("%s: it was sent %q", what, sent)
		}
	}
	// It may say that it does not tell.
	f := newFake(t)
	f.grant = "list"
	f.hook = lists(file("n000") + "N\n")
	got := runEntries(t, dir+" -> h install -oremove /t ;", Options{Dialer: f})
	if e := got.entry(t); e.Installed != 41 || !got.AsWanted() || len(f.sent("Q")) != 41 {
		t.Errorf("not told: %s\n%s", e.brief(), got.out)
	}
}

// TestListingsBounded: of directories in each other no more listings are kept
// than a bound, and then questions are asked.
func TestListingsBounded(t *testing.T) {
	dir := makeFiles(t, 40, "n%03d")
	deep := dir
	for range 8 {
		deep += "/sub"
		must(t, os.Mkdir(deep, 0o755))
		write(t, deep+"/f", "")
	}
	var listing strings.Builder
	for i := 0; listing.Len() < wire.MaxListedOctets-300; i++ {
		fmt.Fprintf(&listing, "Y0 1 644 root root a%05d%s\n", i, strings.Repeat("n", 240))
	}
	f := newFake(t)
	f.grant = "list"
	f.hook = lists(listing.String() + "E\n")
	got := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f})
	listed, others := len(f.sent("d")), len(f.sent("D"))
	if most := maxListings/wire.MaxListedOctets + 1; !got.AsWanted() || listed < 4 || listed > most || listed+others != 9 {
		t.Errorf("%d directories were listed, %d were not\n%s", listed, others, got.out)
	}
	if _, asked := slices.BinarySearch(f.sent("Q"), "Qf"); !asked {
		t.Errorf("asked for %q", f.sent("Q"))
	}
}
