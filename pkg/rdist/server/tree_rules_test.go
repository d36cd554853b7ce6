package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

// TestAccountThatIsNotRoot: what an account cannot give away is left, and bits
// that would be for another one are cleared (reference 9).
func TestAccountThatIsNotRoot(t *testing.T) {
	s := newSite(t)
	s.o.Account.UID, s.o.Account.GID, s.o.Account.Groups = 1001, os.Getgid(), []int{os.Getgid()}
	users := usersOf("hosta", s.root)
	users.groups["own"] = os.Getgid()
	s.o.Users = users
	if os.Getgid() == 0 {
		delete(users.groups, "root")
	}
	for _, c := range []struct {
		mode         string
		owner, group string
		want         uint32
		note         string
	}{
		{"4755", "alice", "own", 0o4755, ""},
		{"4755", ":1001", "own", 0o4755, ""},
		{"4755", "bob", "own", 0o755, ""},
		{"4755", "nobody", "own", 0o755, ""},
		{"4755", ":1002", "own", 0o755, ""},
		{"1644", "alice", "own", 0o644, ""},
		{"2755", "alice", "own", 0o2755, ""},
		{"2755", "alice", "staff", 0o755, "user tester not in group staff, clearing setgid"},
		{"2755", "alice", "unknown", 0o755, "user tester not in group unknown, clearing setgid"},
		{"0755", "alice", "staff", 0o755, ""},
	} {
		path := filepath.Join(s.root, "f")
		got, err := s.talk(t, fmt.Sprintf("t0 %s\nR0 %s 1 0 0 %s %s f\nx\x05\n\x02\n", path, c.mode, c.owner, c.group))
		want := []string{ok, ok, "\x03hosta: " + path + ": " + c.note, ok}
		if c.note == "" {
			want = []string{ok, ok, ok}
		}
		wantLines(t, got, want...)
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Mode&0o7777 != c.want || int(st.Gid) != os.Getgid() {
			t.Errorf("%+v: %o, group %d, %v", c, st.Mode, st.Gid, err)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestExistingDirectory: what differs is changed and told, but for what the
// account cannot do.
func TestExistingDirectory(t *testing.T) {
	krbtest.RequireRoot(t, "owners are changed")
	s := newSite(t)
	path := filepath.Join(s.root, "d")
	note := func(text string) string { return "\x03hosta: " + path + ": " + text }
	for _, c := range []struct {
		options, mode, owner, group string
		want                        []string
		uid, gid                    uint32
	}{
		{"0", "0700", "root", "root", nil, 0, 0},
		{"0", "0700", "bob", "root", []string{note("chown from root.root to bob.root")}, 2002, 0},
		{"0", "0700", "nobody-here", "root", []string{note(`unknown login name "nobody-here"`)}, 0, 0},
		{"0", "0700", "root", "staff", []string{note("chown from root.root to root.staff")}, 0, 2001},
		{"40000", "0700", "bob", "staff", []string{note("chown from root.root to bob.staff")}, 0, 2001},
		{"200000", "0700", "bob", "staff", []string{note("chown from root.root to bob.staff")}, 2002, 0},
		{"340000", "0777", "bob", "staff", nil, 0, 0},
		{"1", "0777", "bob", "staff", []string{note("need to chmod to 777"), note("need to chown from root.root to bob.staff")}, 0, 0},
		{"3000000", "0700", ":7", ":8", []string{note("chown from 0.0 to 7.8")}, 7, 8},
	} {
		must(t, os.RemoveAll(path))
		must(t, os.Mkdir(path, 0o700))
		got, err := s.talk(t, fmt.Sprintf("t%s %s\nD%s %s 0 0 0 %s %s d\n\x02\n", c.options, path, c.options, c.mode, c.owner, c.group))
		wantLines(t, got, append(append([]string{ok}, c.want...), ok)...)
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil || st.Uid != c.uid || st.Gid != c.gid || st.Mode&0o7777 != 0o700 {
			t.Errorf("%+v: %o, %d:%d, %v", c, st.Mode, st.Uid, st.Gid, err)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestVerifyChangesNothing, whatever a client asks for with that option.
func TestVerifyChangesNothing(t *testing.T) {
	s := newSite(t)
	s.write(t, "d/f", "f")
	s.link(t, "d/l", "x")
	before := snapshot(t, s.root)
	d, n := s.root+"/d", s.root+"/new"
	got, err := s.talk(t, strings.Join([]string{
		"T1 " + s.root, "D1 0700 0 0 0 bob staff d", "C1", "Y", "N", "\x05",
		"R1 0600 3 0 0 root root f", "new\x05", "R11 0644 1 0 0 root root f", "f\x05",
		"K1 0777 1 0 0 root root l", "y", "\x05", "\x05", "k1 " + d + "/f h", "D1 0700 0 0 0 root root l", "Qx", "R1 0600 3 0 0 root root f", "new\x05", "E", "E",
		"D1 0700 0 0 0 root root new", "K1 0777 1 0 0 root root l", "y", "\x05", "\x05", "D1 0700 0 0 0 root root deep", "C1", "E", "E", "\x02",
	}, "\n")+"\n")
	note := func(op, text string) string { return op + "hosta: " + text }
	names := newNames(s.o.Users)
	from := bare(names.owner(uint32(os.Getuid()), 0)) + "." + bare(names.group(uint32(os.Getgid()), 0))
	chown := note("\x03", d+": need to chown from "+from+" to bob.staff")
	wantLines(t, got, ok, note("\x03", d+": need to chmod to 700"), chown, ok, ok, "Qf", note("\x04", d+"/f: need to remove"), "Ql", "E",
		ok, note("\x04", d+"/f: need to update"), ok, "\x01",
		ok, note("\x04", d+"/l: need to update"), "E", note("\x04", d+"/h: need to update"),
		note("\x03", d+"/l: need to remove"), ok, "N", ok, note("\x04", d+"/l/f: need to update"), ok, ok,
		ok, ok, note("\x04", n+"/l: need to update"), "E", ok, remoteError(n+"/deep: opendir failed: No such file or directory"), ok, ok)
	if failed, isFailed := err.(*Failed); !isFailed || failed.Errors != 1 {
		t.Errorf("%v", err)
	}
	if after := snapshot(t, s.root); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// TestCleanKeeps: what is no file, link or directory stays, with the
// directories it is in. Our own client is told by an error, others by a note:
// they would be out of step after an error.
func TestCleanKeeps(t *testing.T) {
	s := newSite(t)
	s.o.Extensions = true
	d := s.root + "/d"
	for extension, op := range map[string]string{"": "\x03", "cXdigest\n": "\x01"} {
		for _, name := range []string{"x/deep/a", "x/deep/z", "x/b", "new\nline"} {
			s.write(t, "d/"+name, "x")
		}
		must(t, unix.Mkfifo(d+"/x/deep/fifo", 0o600))
		got, err := s.talk(t, extension+"t0 "+d+"\nD40000 0755 0 0 0 root root d\nC0\nY\n\x05\n\x02\n")
		if extension != "" {
			got = got[2:]
		}
		removed := func(name string) string { return "\x03hosta: " + d + "/" + name + ": removed" }
		wantLines(t, got, ok, ok, ok, "\x03hosta: "+d+"/new?line: it is kept, the name cannot be sent: it contains a newline",
			"Qx", removed("x/b"), removed("x/deep/a"), removed("x/deep/z"), op+"hosta: REMOTE ERROR: "+d+"/x/deep/fifo: not a plain file", "E")
		if failed, isFailed := err.(*Failed); !isFailed || failed.Errors != 1 {
			t.Errorf("%v", err)
		}
		must(t, os.RemoveAll(d))
	}
}

// TestSparse: blocks of zeros take no room, and the file has its size.
func TestSparse(t *testing.T) {
	s := newSite(t)
	path := s.root + "/f"
	for _, content := range []string{
		strings.Repeat("\x00", 1<<20),
		strings.Repeat("\x00", 1<<20) + "end",
		"start" + strings.Repeat("\x00", 1<<20),
		strings.Repeat("\x00", holeSize-1),
	} {
		got, err := s.talk(t, fmt.Sprintf("t0 %s\nR4000000 0644 %d 5 5 root root f\n%s\x05\n\x02\n", path, len(content), content))
		want := []string{ok, ok, "\x03hosta: " + path + ": was sparse", ok}
		if len(content) < holeSize {
			want = []string{ok, ok, ok}
		}
		wantLines(t, got, want...)
		var st unix.Stat_t
		must(t, unix.Stat(path, &st))
		if data, _ := os.ReadFile(path); err != nil || string(data) != content || st.Blocks*512 > 64<<10 || st.Mtim.Sec != 5 {
			t.Errorf("%d octets: %d, in %d blocks, %v", len(content), len(data), st.Blocks, err)
		}
	}
}

// TestModeIsLast: as long as a file is not complete it is its owner's alone.
func TestModeIsLast(t *testing.T) {
	s := newSite(t)
	client := "V6\nt0 " + s.root + "/f\nR0 4755 4 0 0 root root f\nabcd\x05\n\x02\n"
	looked := false
	in := &watchedReader{text: client, at: len(client) - len("d\x05\n\x02\n"), look: func() {
		entries, err := filepath.Glob(s.root + "/rdist*")
		must(t, err)
		if len(entries) != 1 {
			t.Fatalf("%q", entries)
		}
		info, err := os.Stat(entries[0])
		must(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("the temporary file has mode %v", info.Mode())
		}
		looked = true
	}}
	if err := Serve(context.Background(), duplex{in, &bytes.Buffer{}}, s.o); err != nil || !looked {
		t.Errorf("%v, looked: %v", err, looked)
	}
}

// watchedReader calls look when the reader wants what is at an offset.
type watchedReader struct {
	text string
	off  int
	at   int
	look func()
}

func (w *watchedReader) Read(p []byte) (int, error) {
	if w.off == w.at {
		w.look()
	}
	end := len(w.text)
	if w.off < w.at {
		end = w.at
	}
	n := copy(p, w.text[w.off:end])
	w.off += n
	return n, nil
}
