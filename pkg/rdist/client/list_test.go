package client

import (
	"errors"
	"fmt"
	"os"
	"path"
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
	write(t, src+"/many/plain/f", "f")
	must(t, os.Mkdir(src+"/many/empty", 0o755))
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	dst := root + "/t"
	s := &spoken{pair: newPair(t, root)}
	entry := src + " -> h install -oremove " + dst + " ;"
	check := func(what string, installed, updated, removed, cleanings, entered int) {
		t.Helper()
		o := s.run(entry)
		e := o.entry(t)
		if e.Installed != installed || e.Updated != updated || e.Removed != removed || !o.AsWanted() ||
			s.ops[wire.OpClean] != cleanings ||
			s.ops[wire.OpQuery] != 2 || s.ops[wire.OpList]+s.ops[wire.OpDirectory] != entered {
			t.Errorf("%s: %s; sent %v\n%s", what, e.brief(), s.ops, o.out)
		}
		sameTree(t, src, dst)
	}
	// What is above the many is asked for. Where a link is has to be entered.
	check("first", 108, 0, 0, 0, 5)
	check("again", 0, 0, 0, 1, 3)
	if o := s.run(strings.ReplaceAll(entry, "remove", "remove,verify")); o.entry(t).Unchanged != 108 || !o.AsWanted() {
		t.Errorf("verify: %s\n%s", o.entry(t).brief(), o.out)
	}
	write(t, src+"/many/007", "other")
	must(t, os.Chmod(src+"/many/008", 0o600))
	must(t, os.Remove(src+"/many/009"))
	write(t, dst+"/many/sub/extra", "")
	check("changed", 0, 2, 2, 3, 3)
	write(t, src+"/many/plain/f", "other")
	must(t, os.Chmod(src+"/many/empty", 0o700))
	check("changed below", 0, 2, 0, 1, 5)
	write(t, dst+"/many/empty/extra", "")
	must(t, os.Remove(dst+"/many/plain/f"))
	check("other there", 1, 0, 1, 2, 5)
	must(t, os.Remove(dst+"/many/010"))
	must(t, unix.Mkfifo(dst+"/many/010", 0o600))
	o := s.run(entry)
	if e := o.entry(t); e.ServerErrors != 1 || e.LocalErrors+e.Installed+e.Updated != 0 || !strings.Contains(o.out, "/many/010: not a file or directory") {
		t.Errorf("a pipe: %s\n%s", e.brief(), o.out)
	}
	must(t, os.Remove(dst+"/many/010"))
	check("one is missing", 1, 0, 0, 1, 3)
}

// TestListedBefore: what a special command does to a directory, or savetargets, is
// seen, though it was listed before.
func TestListedBefore(t *testing.T) {
	for options, special := range map[string]string{"": `special SRC/000 "cd DST && rm 001 && : >050" ;`, "-osavetargets": ""} {
		src := t.TempDir() + "/s"
		for i := range 60 {
			write(t, fmt.Sprintf("%s/%03d", src, i), "x")
		}
		root, err := filepath.EvalSymlinks(t.TempDir())
		must(t, err)
		s := &spoken{pair: newPair(t, root)}
		if options != "" {
			write(t, src+"/000.OLD", "kept") // the name by which savetargets keeps the other
		}
		entry := src + " -> h install " + options + " " + root + "/t ; "
		if o := s.run(entry); !o.AsWanted() {
			t.Fatalf("%s", o.out)
		}
		write(t, src+"/000", "other")
		o := s.run(entry + strings.NewReplacer("SRC", src, "DST", root+"/t").Replace(special))
		if !o.AsWanted() || s.ops[wire.OpList] != 1 {
			t.Errorf("%s: sent %v\n%s", options, s.ops, o.out)
		}
		_ = os.Remove(root + "/t/000.OLD.OLD")
		sameTree(t, src, root+"/t")
	}
}

// TestListedLinks: names of one file stay names of one, where it is small enough to
// be sent ahead, and where one of them is in a directory in which nothing is to be
// done.
func TestListedLinks(t *testing.T) {
	src := t.TempDir() + "/s"
	for i := range 60 {
		write(t, fmt.Sprintf("%s/many/%03d", src, i), "x")
	}
	write(t, src+"/many/plain/f", "f")
	must(t, os.Link(src+"/many/050", src+"/many/051x"))
	root, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	s := &spoken{pair: newPair(t, root)}
	same := func(a, b string) {
		t.Helper()
		one, _ := os.Stat(root + "/t/" + a)
		two, _ := os.Stat(root + "/t/" + b)
		if !os.SameFile(one, two) {
			t.Errorf("%s and %s are two files", a, b)
		}
	}
	entry := src + " -> h install " + root + "/t ;"
	if o := s.run(entry); o.entry(t).Linked != 1 || !o.AsWanted() {
		t.Errorf("%s\n%s", o.entry(t).brief(), o.out)
	}
	same("many/050", "many/051x")
	must(t, os.MkdirAll(src+"/many/zone", 0o755))
	must(t, os.Link(src+"/many/plain/f", src+"/many/zone/f"))
	if o := s.run(entry); o.entry(t).Linked != 1 || !o.AsWanted() {
		t.Errorf("%s\n%s", o.entry(t).brief(), o.out)
	}
	same("many/plain/f", "many/zone/f")
}

// lists has a fake answer OpList like OpDirectory, with something behind it, and
// OpListing with something.
func lists(entered, ahead string) func(*fake, string, wire.Line, *wire.Conn) bool {
	return func(f *fake, _ string, l wire.Line, conn *wire.Conn) bool {
		switch l.Op {
		case wire.OpList:
			f.levels = append(f.levels, f.target)
			_ = conn.Write(wire.OpAck, "")
			_, _ = conn.Data().Write([]byte(entered))
		case wire.OpListing:
			_, _ = conn.Data().Write([]byte(ahead))
		default:
			return false
		}
		return true
	}
}

// TestWrongListings: what is no listing ends the session, and nothing was taken
// from it.
func TestWrongListings(t *testing.T) {
	dir := makeFiles(t, 40, "n%03d")
	file := func(name string) string { return "Y0 1 644 root root " + name + "\n" }
	tree := t.TempDir()
	var subs strings.Builder
	for i := range 40 {
		write(t, fmt.Sprintf("%s/n%03d/n000", tree, i), "")
		fmt.Fprintf(&subs, "D0 1 755 root root n%03d\n", i)
	}
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
		f.hook = lists(c.listing, "")
		got := runEntries(t, dir+" -> h install -oremove /t ;", Options{Dialer: f})
		// The directory itself was acknowledged.
		if e := got.entry(t); got.Hosts[0].Err == nil || e.Installed > 1 || e.Removed+e.Updated+e.Unchanged > 0 || !strings.Contains(got.out, c.told) {
			t.Errorf("%s: %s\n%s", what, e.brief(), got.out)
		}
		if sent := f.sent("RrDKkCE"); len(sent) > 0 {
			t.Errorf("%s: it was sent %q", what, sent)
		}

		// The same of a directory before its turn.
		f = newFake(t)
		f.grant = "list"
		f.hook = lists(subs.String()+"E\n", c.listing)
		got = runEntries(t, tree+" -> h install -oremove /t ;", Options{Dialer: f})
		told := strings.ReplaceAll(c.told, dir, tree+"/n000")
		if e := got.entry(t); got.Hosts[0].Err == nil || e.Installed > 1 || e.Removed+e.Updated+e.Unchanged > 0 || !strings.Contains(got.out, told) {
			if what != "not what it says" || !strings.Contains(got.out, tree) { // there that comes later
				t.Errorf("%s, ahead: %s\n%s", what, e.brief(), got.out)
			}
		}
		if sent := f.sent("RrKkE"); len(sent) > 0 {
			t.Errorf("%s, ahead: it was sent %q", what, sent)
		}
	}
	// It may say that it does not tell.
	f := newFake(t)
	f.grant = "list"
	f.hook = lists(file("n000")+"N\n", "")
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
	f.hook = lists(listing.String()+"E\n", "N\n")
	got := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f})
	listed, others := len(f.sent("d")), len(f.sent("D"))
	if most := maxListings/wire.MaxListedOctets + 1; !got.AsWanted() || listed < 4 || listed > most || listed+others != 9 {
		t.Errorf("%d directories were listed, %d were not\n%s", listed, others, got.out)
	}
	if _, asked := slices.BinarySearch(f.sent("Q"), "Qf"); !asked {
		t.Errorf("asked for %q", f.sent("Q"))
	}
}

// TestListingsAhead: no more than a few directories are asked for before their
// turn, and what may have changed since then is not believed.
func TestListingsAhead(t *testing.T) {
	dir := t.TempDir()
	var subs strings.Builder
	for i := range 40 {
		write(t, fmt.Sprintf("%s/d%03d/f", dir, i), "")
		fmt.Fprintf(&subs, "D0 1 755 root root d%03d\n", i)
	}
	const same = "Y0 1000 644 root root f\nE\n"
	for _, c := range []struct {
		command, first string
		entered        []string
	}{
		{"install /t ;", same, []string{"t"}},
		{"install /t ;", "E\n", []string{"t", "d000"}},
		{"install -osavetargets /t ;", "Y0 1 644 root root f\nE\n", []string{"t", "d000", "d001", "d002", "d003", "d004", "d005", "d006", "d007"}},
		{"install /t ; special \"x\" ;", "E\n", []string{"t", "d000", "d001", "d002", "d003", "d004", "d005", "d006", "d007"}},
	} {
		f := newFake(t)
		f.grant = "list"
		answers, waiting, most := []string{c.first}, 0, 0
		entered := lists(subs.String()+"E\n", "")
		f.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
			if len(f.levels) > 0 {
				entered = lists(same, "")
			}
			if l.Op != wire.OpListing {
				return entered(f, name, l, conn)
			}
			if waiting++; conn.Buffered() > 0 {
				return true
			}
			for most = max(most, waiting); waiting > 0; waiting-- {
				if len(answers) == 0 {
					answers = []string{same}
				}
				_, _ = conn.Data().Write([]byte(answers[0]))
				answers = answers[1:]
			}
			return true
		}
		got := runEntries(t, dir+" -> h "+c.command, Options{Dialer: f})
		if e := got.entry(t); !got.AsWanted() || e.Installed+e.Updated+e.Unchanged != 81 {
			t.Errorf("%s: %s\n%s", c.command, e.brief(), got.out)
		}
		var names []string
		for _, l := range f.sent("dD") {
			o, err := wire.ParseObject(l[1:])
			must(t, err)
			names = append(names, path.Base(o.Name))
		}
		names[0] = "t"
		if most > manyListings || most < 2 {
			t.Errorf("%s: %d directories were asked for at once", c.command, most)
		}
		if len(c.entered) == 2 && !slices.Equal(names, c.entered) || len(names) < len(c.entered) {
			t.Errorf("%s: entered were %v, want %v", c.command, names, c.entered)
		}
	}
}
