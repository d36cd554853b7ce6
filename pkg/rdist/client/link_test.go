package client

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

func TestHardLinks(t *testing.T) {
	const same = "5 1000 644 root root"
	for name, c := range map[string]struct {
		files  string // that are names of one
		there  map[string]string
		refuse string // of which the contents are refused
		entry  string // DIR is the source
		want   []string
		result string // start of brief
		warn   string
	}{
		"installed": {files: "a b c", want: []string{"R a", "k a b", "k a c"}, result: "installed 2 updated 0 linked 2"},
		"there already": {files: "a b", there: map[string]string{"/t/a": same},
			want: []string{"k a b"}, result: "installed 0 updated 0 linked 1 removed 0 unchanged 2"},
		"all there": {files: "a b", there: map[string]string{"/t/a": same, "/t/b": same}, result: "installed 0 updated 0 linked 0 removed 0 unchanged 3"},
		"out of date": {files: "a b", there: map[string]string{"/t/a": "5 999 644 root root", "/t/b": "5 999 644 root root"},
			want: []string{"R a", "k a b"}, result: "installed 0 updated 1 linked 1"},
		"first refused": {files: "a b c", refuse: "/t/a", want: []string{"R a", "R b", "k b c"}, result: "installed 2 updated 0 linked 1"},
		"blank":         {files: "a_a b", want: []string{"R a_a", "R b"}, result: "installed 3 updated 0 linked 0"},
		"one outside":   {files: "a b ../out", want: []string{"R a", "k a b"}, result: "installed 2 updated 0 linked 1", warn: "a: Warning: 1 missing link\n"},
		"two outside":   {files: "a ../out ../out2", want: []string{"R a"}, result: "installed 2", warn: "a: Warning: 2 missing links\n"},
		"ignored":       {files: "a ../out", entry: "DIR -> h install -oignlnks /t ;", want: []string{"R a"}, result: "installed 2"},
		"listed twice": {files: "a b", entry: "( DIR/a DIR/b DIR/a ) -> h install /t ;", there: map[string]string{"/t/a": same, "/t/b": same},
			result: "installed 0 updated 0 linked 0 removed 0 unchanged 3", warn: "a: Warning: 1 extra links\n"},
		"listed twice before others": {files: "a b c", entry: "( DIR/a DIR/b DIR/b DIR/c ) -> h install /t ;",
			// This server does not remember that it has linked b.
			want: []string{"R a", "k a b", "k a b", "k a c"}, result: "installed 1 updated 0 linked 3", warn: "a: Warning: 1 extra links\n"},
		"verify":                {files: "a b", entry: "DIR -> h install -overify /t ;", there: map[string]string{"/t/a": same}, result: "installed 0 updated 0 linked 0 removed 0 unchanged 2 left 0 outdated 1"},
		"verify of a directory": {files: "a b", entry: "DIR -> h install -overify /nowhere ;", result: "installed 0 updated 0 linked 0 removed 0 unchanged 0 left 0 outdated 1"},
		"compare":               {files: "a b", entry: "DIR -> h install -ocompare /t ;", there: map[string]string{"/t/a": same, "/t/b": same}, want: []string{"R a", "R b"}},
		"compared and different": {files: "a b", entry: "DIR -> h install -ocompare /t ;", there: map[string]string{"/t/a": "4 999 644 root root", "/t/b": "4 999 644 root root"},
			want: []string{"R a", "k a b"}, result: "installed 0 updated 1 linked 1"},
	} {
		dir := t.TempDir() + "/d"
		must(t, os.Mkdir(dir, 0o755))
		names := strings.Fields(strings.ReplaceAll(c.files, "_", "\x00"))
		for i, name := range names {
			names[i] = dir + "/" + strings.ReplaceAll(name, "\x00", " ")
			if i == 0 {
				write(t, names[0], "alpha")
			} else {
				must(t, os.Link(names[0], names[i]))
			}
		}
		f := newFake(t)
		for name, answer := range c.there {
			f.there[name] = answer
			if strings.HasPrefix(answer, "5 1000") {
				f.files[name] = "alpha"
			}
		}
		if c.there != nil {
			f.there["/t"] = "4096 1 755 root root"
		}
		f.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
			if l.Op != wire.OpRegular || name != c.refuse {
				return false
			}
			_ = conn.Write(wire.OpError, "h: REMOTE ERROR: no")
			return true
		}
		if c.entry == "" {
			c.entry = "DIR -> h install /t ;"
		}
		o := runEntries(t, strings.ReplaceAll(c.entry, "DIR", dir), Options{Dialer: f})
		var got []string
		for _, l := range f.sent("Rk") {
			words := strings.Split(l, " ")
			if l[0] == 'R' {
				got = append(got, "R "+strings.Join(words[7:], "_"))
				continue
			}
			got = append(got, "k "+strings.TrimPrefix(words[1], "/t/")+" "+words[2])
		}
		equal(t, name, got, c.want)
		if !strings.HasPrefix(o.entry(t).brief(), c.result) || strings.Contains(o.out, "Warning") != (c.warn != "") || !strings.Contains(o.out, c.warn) {
			t.Errorf("%s: %s\n%s", name, o.entry(t).brief(), o.out)
		}
	}
}

// TestLinkedSymlinks: names of one symbolic link become that, and stay so.
func TestLinkedSymlinks(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("x", dir+"/a"))
	must(t, unix.Linkat(unix.AT_FDCWD, dir+"/a", unix.AT_FDCWD, dir+"/b", 0))
	f := newFake(t)
	o := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f})
	if e := o.entry(t); e.Linked != 1 || len(f.sent("K")) != 1 {
		t.Errorf("%s %q", e.brief(), f.lines)
	}
	f.there["/t/b"], f.files["/t/b"], f.there["/t"] = f.there["/t/a"], "x", "4096 1 755 root root"
	o = runEntries(t, dir+" -> h install /t ; cmdspecial \"x\" ;", Options{Dialer: f})
	if e := o.entry(t); e.Linked != 0 || e.Unchanged != 3 || len(f.saw) > 0 || strings.Contains(o.out, "missing") {
		t.Errorf("%s %q\n%s", e.brief(), f.lines, o.out)
	}
}
