package client

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 1000}, {Sec: 1000}}, 0))
}

// TestSecondRun: after an installation there is nothing to do.
func TestSecondRun(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	write(t, dir+"/sub/b", "beta")
	must(t, os.Symlink("a", dir+"/l"))
	must(t, os.Mkdir(dir+"/empty", 0o700))
	f := newFake(t)
	first := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f}).entry(t)
	if first.Installed != 6 || !first.AsWanted() || first.Octets != 9 || f.files["/t/sub/b"] != "beta" || f.files["/t/l"] != "a" {
		t.Errorf("%s, %v", first.brief(), f.files)
	}
	for _, d := range []string{"/t", "/t/sub", "/t/empty"} {
		f.there[d] = "4096 1 755 root root"
	}
	second := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f}).entry(t)
	if second.Unchanged != 6 || !second.AsWanted() || second.Octets != 0 {
		t.Error(second.brief())
	}
}

// TestShrinks: of a file that gets shorter while it is sent the server still
// gets as much as it was told, then that it is not good, and what comes next is
// not taken for its answer.
func TestShrinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", strings.Repeat("x", 100000))
	write(t, dir+"/b", "beta")
	f := newFake(t)
	var got string
	f.hook = func(f *fake, name string, l wire.Line, conn *wire.Conn) bool {
		if l.Op != wire.OpRegular || name != "/t/a" {
			return false
		}
		must(t, os.Truncate(dir+"/a", 7))
		var whole bool
		got, whole, _ = f.contents(l, conn)
		if whole {
			t.Error("the server was told that it is whole")
		}
		return true
	}
	o := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f})
	if got != "xxxxxxx"+strings.Repeat("\x00", 100000-7) {
		t.Errorf("%d octets came", len(got))
	}
	if e := o.entry(t); e.Installed != 2 || e.LocalErrors != 1 || f.files["/t/b"] != "beta" || !strings.Contains(o.out, dir+"/a: File changed size\n") {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
}

// TestReplaced: a file that was changed for another one, or for a link, between
// the look and the sending is not sent.
func TestReplaced(t *testing.T) {
	for what, replace := range map[string]func(path string) error{
		"another file": func(path string) error { return os.Rename(path+"-other", path) },
		"link":         func(path string) error { return os.Symlink("/etc/passwd", path) },
		"FIFO":         func(path string) error { return unix.Mkfifo(path, 0o644) },
		"nothing":      func(string) error { return nil },
	} {
		dir := t.TempDir()
		write(t, dir+"/d/a", "alpha")
		write(t, dir+"/d/a-other", "other")
		f := newFake(t)
		f.hook = func(_ *fake, name string, l wire.Line, _ *wire.Conn) bool {
			if l.Op == wire.OpQuery && name == "/t/a" {
				must(t, os.Remove(dir+"/d/a"))
				must(t, replace(dir+"/d/a"))
			}
			return false
		}
		o := runEntries(t, dir+"/d -> h install /t ;", Options{Dialer: f})
		if _, there := f.files["/t/a"]; there || o.entry(t).LocalErrors == 0 || !strings.Contains(o.out, "/a: open for read failed: ") {
			t.Errorf("%s: %s\n%s", what, o.entry(t).brief(), o.out)
		}
	}
}

// TestUnreadableDirectory: nothing may be removed on the server from a
// directory that cannot be read here.
func TestUnreadableDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	f := newFake(t)
	f.there["/t"] = "4096 1 755 root root"
	f.clean = []string{"a", "b"}
	o := runEntries(t, dir+" -> h install -oremove /t ;", Options{Dialer: f, readDir: func(string) ([]string, error) {
		return []string{"a"}, &os.PathError{Op: "readdirent", Path: dir, Err: unix.EIO}
	}})
	if e := o.entry(t); e.LocalErrors != 1 || len(f.sent("DC")) > 0 || !strings.Contains(o.out, "LOCAL ERROR: "+dir+": opendir failed: Input/output error\n") {
		t.Errorf("%s\n%s\n%q", e.brief(), o.out, f.lines)
	}
}

// TestClean: only what is surely not here is removed.
func TestClean(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/here", "")
	f := newFake(t)
	f.there["/t"] = "4096 1 755 root root"
	f.clean = []string{"gone", "here", "excepted", "../here", "..", ".", "", "/etc/passwd", "a/b", "x\x00", "closed", strings.Repeat("x", 300)}
	stat := func(name string, follow bool) (statInfo, error) {
		if filepath.Base(name) == "closed" {
			return statInfo{}, unix.EACCES
		}
		return systemStat(name, follow)
	}
	o := runEntries(t, dir+" -> h install -oremove /t ; except "+dir+"/excepted ; cmdspecial \"x\" ;", Options{Dialer: f, stat: stat})
	for _, l := range f.lines {
		if name, answer, ok := strings.Cut(l, "? "); ok && (answer == "Y") != (name == "gone") {
			t.Errorf("%q: %s", name, answer)
		}
	}
	e := o.entry(t)
	if e.Removed != 1 || e.ServerErrors != 7 || e.LocalErrors != 2 || len(f.saw) != 1 {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
	if !strings.Contains(o.out, `asks whether to remove "../here" from `+dir) {
		t.Error(o.out)
	}
}

// TestNames: what could become more lines of the protocol is not sent.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/d/a\nSid", "")
	write(t, dir+"/d/trail\n", "")
	must(t, os.Symlink("x\nSid", dir+"/d/l"))
	must(t, os.Symlink(strings.Repeat("/x", 2000), dir+"/d/long"))
	write(t, dir+"/d/odd", "")
	f := newFake(t)
	o := runEntries(t, dir+`/d -> h install /t ; special "echo" ;`, Options{Dialer: f})
	for _, l := range f.lines {
		if l != "" && strings.IndexByte("V^ctQDRKkES", l[0]) < 0 || strings.HasPrefix(l, "Sid") {
			t.Errorf("the server got %q", l)
		}
	}
	if e := o.entry(t); e.LocalErrors != 3 || e.Installed != 3 || !strings.Contains(o.out, "h: Refuse to handle filename containing newline: a?Sid\n") ||
		!strings.Contains(o.out, "/d/l: Refuse to handle link text containing newline: x?Sid\n") {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
	for _, entry := range []string{dir + "/d -> h install /t\\\nSid ;", dir + "/d/a\\\nSid -> h install /t ;", dir + "/d/a\\\nSid -> h"} {
		f := newFake(t)
		o := runEntries(t, entry, Options{Dialer: f})
		if e := o.entry(t); e.AsWanted() || len(f.sent("tTQDR")) > 0 || !strings.Contains(o.out, "Refuse to handle filename containing newline: ") {
			t.Errorf("%q: %s\n%s\n%q", entry, e.brief(), o.out, f.lines)
		}
	}
}

// TestOwnerNames: a name that would be two arguments is not sent.
func TestOwnerNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "")
	stat := func(name string, follow bool) (statInfo, error) {
		st, err := systemStat(name, follow)
		st.Uid, st.Gid = 77, 78
		return st, err
	}
	f := newFake(t)
	o := runEntries(t, dir+"/a -> h install /t ;", Options{Dialer: f, stat: stat})
	if e := o.entry(t); e.Warnings != 2 || !e.AsWanted() || !strings.HasSuffix(f.there["/t"], ":77 :78") {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
	e := &env{Options{Names: spaced{}}}
	h := &host{task: &task{}, e: e}
	h.owners = owners{names: spaced{}, report: &report{e: e, count: &EntryResult{}}}
	it := &item{path: "p", name: "n"}
	header := wire.Object{Owner: h.owners.user(it, 0), Group: h.owners.group(it, 0), Name: it.name}
	if err := header.Check(); err == nil {
		t.Error("an owner with a blank can be sent")
	}
}

type spaced struct{}

func (spaced) User(uint32) (string, bool)  { return "domain user", true }
func (spaced) Group(uint32) (string, bool) { return "domain group", true }

func TestIsExecutable(t *testing.T) {
	elf := func(kind byte, order byte) []byte {
		h := make([]byte, 64)
		copy(h, "\x7fELF\x02")
		h[5] = order
		h[16+order-1] = kind
		return h
	}
	for i, c := range []struct {
		data []byte
		want bool
	}{
		{elf(2, 1), true}, {elf(3, 1), true}, {elf(1, 1), false}, {elf(4, 1), false}, {elf(2, 2), true}, {elf(3, 2), true}, {elf(1, 2), false},
		{elf(2, 1)[:51], false}, {nil, false},
		{append([]byte{0o413 & 0xff, 1}, make([]byte, 60)...), true}, {append([]byte{0o413 & 0xff, 2}, make([]byte, 60)...), false},
		{[]byte("#!/bin/sh\n" + strings.Repeat("#", 60)), false},
		{append(bytes.Repeat([]byte("x"), 16), append([]byte{2, 0}, make([]byte, 50)...)...), false},
	} {
		path := filepath.Join(t.TempDir(), "x")
		must(t, os.WriteFile(path, c.data, 0o755))
		st, err := systemStat(path, false)
		must(t, err)
		if got := isExecutable(&item{path: path, st: st}); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// TestFollowLoop: a link to a directory above is not followed for ever.
func TestFollowLoop(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/d/a", "alpha")
	must(t, os.Symlink("..", dir+"/d/up"))
	must(t, os.Symlink(".", dir+"/d/self"))
	f := newFake(t)
	o := runEntries(t, dir+"/d -> h install -ofollow /t ;", Options{Dialer: f})
	// up leads to d's parent, in which d is again.
	if e := o.entry(t); e.LocalErrors != 2 || f.files["/t/a"] != "alpha" || strings.Count(o.out, "this link leads to a directory that it is in") != 2 {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
}

// TestDepth: rdistd writes over its memory where directories are too deep.
func TestDepth(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+strings.Repeat("/d", 40)+"/a", "alpha")
	for grant, installed := range map[string]int{"": rdistLevels, wire.ExtDigest: 42} {
		f := newFake(t)
		f.grant = grant
		o := runEntries(t, dir+" -> h install /t ;", Options{Dialer: f})
		if e := o.entry(t); e.Installed != installed || e.AsWanted() != (grant != "") || (grant == "") != strings.Contains(o.out, "too many directory levels") {
			t.Errorf("%q: %s\n%s", grant, e.brief(), o.out)
		}
	}
}

// TestDebug: with debugging messages each line of the conversation is seen.
func TestDebug(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "alpha")
	var out bytes.Buffer
	log, err := message.New(message.Options{Types: [4]message.Type{message.Debug}}, message.Sinks{Stdout: &out})
	must(t, err)
	_, err = Run(t.Context(), Options{Entries: []distfile.Entry{{Host: "h", Files: []string{dir + "/a"}}}, Log: log, Dialer: newFake(t), HostName: "master", UserName: "root"})
	must(t, err)
	if want := "h: C> V6\nh: S< ^E\nh: C> cHmaster\nh: S< ^E\nh: C> t0 " + dir + "/a\nh: S< ^E\nh: C> Qa\nh: S< N\nh: C> R0 "; !strings.HasPrefix(out.String(), want) {
		t.Error(out.String())
	}
}
