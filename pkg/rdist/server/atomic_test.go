package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newUpdateSite has something of every kind to be changed.
func newUpdateSite(t testing.TB) *site {
	t.Helper()
	s := newSite(t)
	s.o.Extensions, s.o.Special = true, true
	s.fill(t)
	return s
}

func (s *site) fill(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(s.root); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"home/keep": "keep", "d/changed": "old", "d/saved": "old", "d/saved.OLD": "older", "d/became-dir": "old", "d/became-file/x/y": "old",
		"d/became-link": "old", "d/removed": "old", "d/removed-dir/x/y": "old", "d/hard": "old", "d/twice": "old", "e/f": "old",
	} {
		s.write(t, name, content)
	}
	s.link(t, "d/link", "old")
	s.link(t, "d/file-over-link", s.outside)
	if err := os.Chmod(filepath.Join(s.root, "e"), 0o700); err != nil {
		t.Fatal(err)
	}
}

const granted = "cXatomic\ncXatomic begin\n"

// changes is a client that changes all of it.
func (s *site) changes() string {
	own := "D20 0755 0 0 0 root root "
	if os.Getuid() != 0 {
		own = "D240020 0755 0 0 0 root root "
	}
	return "t0 " + s.root + "/d\n" + own + "d\nC0\n" + s.answers("became-dir became-file became-link changed file-over-link hard link saved saved.OLD twice") + "\x05\n" +
		file("changed", "new") + "R10000 0644 3 9 9 root root saved\nnew\x05\n" + file("twice", "once") + file("twice", "new") +
		own + "became-dir\n" + file("in", "new") + own + "deeper\n" + file("in", "new") + "E\nE\n" + file("became-file", "new") +
		"K10 0777 3 0 0 root root became-link\nnew\n\x05\n\x05\n" + "K10 0777 3 0 0 root root link\nnew\n\x05\n\x05\n" + file("file-over-link", "new") +
		"k0 " + s.root + "/d/changed hard\n" + "k0 " + s.root + "/d/twice fresh-hard\n" + "E\n" +
		"T0 " + s.root + "/new/way\n" + file("f", "new") + "t0 " + s.root + "/e\n" + own + "e\n" + file("f", "new") + "E\n"
}

// answers of the client, by name in the order of the questions.
func (s *site) answers(kept string) string {
	var b strings.Builder
	entries, _ := os.ReadDir(filepath.Join(s.root, "d"))
	for _, e := range entries {
		if strings.Contains(" "+kept+" ", " "+e.Name()+" ") {
			b.WriteString("N\n")
		} else {
			b.WriteString("Y\n")
		}
	}
	return b.String()
}

func (s *site) checkChanged(t testing.TB) {
	t.Helper()
	for name, want := range map[string]string{
		"home/keep": "keep", "d/changed": "new", "d/saved": "new", "d/saved.OLD": "old", "d/became-dir/in": "new", "d/became-dir/deeper/in": "new",
		"d/became-file": "new", "d/hard": "new", "d/twice": "new", "d/fresh-hard": "new", "d/file-over-link": "new", "e/f": "new", "new/way/f": "new",
	} {
		if got, err := os.ReadFile(filepath.Join(s.root, name)); string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"d/became-link": "new", "d/link": "new"} {
		if got, err := os.Readlink(filepath.Join(s.root, name)); got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"d/removed", "d/removed-dir"} {
		if _, err := os.Lstat(filepath.Join(s.root, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, names := range [][2]string{{"d/changed", "d/hard"}, {"d/twice", "d/fresh-hard"}} {
		a, _ := os.Stat(filepath.Join(s.root, names[0]))
		if b, _ := os.Stat(filepath.Join(s.root, names[1])); !os.SameFile(a, b) {
			t.Errorf("%q are two files", names)
		}
	}
	if n := strings.Count(snapshot(t, s.root), "\n"); n != 23 {
		t.Errorf("%d names:\n%s", n, snapshot(t, s.root))
	}
}

// TestAtomic: commit does everything, with and without a switch before.
func TestAtomic(t *testing.T) {
	for _, end := range []string{"cXatomic commit\n\x02\n", "cXatomic switch\nStest \"$(cat ../d/changed)\" = new\ncXatomic commit\n\x02\n"} {
		s := newUpdateSite(t)
		before := snapshot(t, s.outside)
		got, err := s.talk(t, granted+s.changes()+end)
		if err != nil {
			t.Errorf("%q, %v", got, err)
		}
		said := strings.Join(got, "\n")
		for _, text := range []string{"/d/removed-dir/x/y: removed", "/d/became-file/x: removed", "/d/removed: removed"} {
			if strings.Count(said, s.root+text) != 1 {
				t.Errorf("%q is not told once: %q", text, got)
			}
		}
		s.checkChanged(t)
		if after := snapshot(t, s.outside); after != before {
			t.Errorf("before\n%s\nafter\n%s", before, after)
		}
	}
}

// TestAtomicStages: until the switch, files are what they were.
func TestAtomicStages(t *testing.T) {
	s := newUpdateSite(t)
	got, _ := s.talk(t, "cXatomic\ncXatomic begin\nT0 "+s.root+"/d\n"+file("changed", "new")+"K10 0777 3 0 0 root root link\nnew\n\x05\n\x05\n"+file("fresh", "new")+
		"Secho $(cat ../d/changed); readlink ../d/link; ls ../d | grep -c rdist; ls ../d/fresh\ncXatomic switch\nSecho $(cat ../d/changed); readlink ../d/link; cat ../d/fresh\n")
	wantLines(t, got, "\x03Xatomic", ok, ok, ok, ok, ok, ok, "\x04hosta: "+s.root+"/d/link: updated", "E", ok, ok,
		"\x04old", "\x04old", "\x040", "\x04ls: cannot access '../d/fresh': No such file or directory", remoteError("shell returned 512"),
		ok, "\x04new", "\x04new", "\x04new", ok)
}

// TestAtomicAbort: everything is put back, by the client's word or by the end
// of the session wherever it comes.
func TestAtomicAbort(t *testing.T) {
	s := newUpdateSite(t)
	before := snapshot(t, s.root)
	for _, end := range []string{
		"cXatomic abort\n\x02\n", "cXatomic switch\nSfalse\ncXatomic abort\n\x02\n", "\x02\n", "", "cXatomic switch\n\x02\n", "cXatomic switch\n",
		"R0 0644 100 0 0 root root x\nhalf", "cs\n", "cXatomic switch\ncs\n",
	} {
		got, err := s.talk(t, granted+s.changes()+end)
		if after := snapshot(t, s.root); after != before {
			t.Fatalf("%q: %q, %v\nbefore\n%s\nafter\n%s", end, got, err, before, after)
		}
	}
	whole := granted + s.changes() + "cXatomic commit\n"
	for cut := 0; cut < len(whole); cut += 7 {
		err := Serve(context.Background(), duplex{strings.NewReader("V6\n" + whole[:cut]), io.Discard}, s.o)
		if after := snapshot(t, s.root); after != before {
			t.Fatalf("after %d octets, %q: %v\nbefore\n%s\nafter\n%s", cut, whole[max(0, cut-20):cut], err, before, after)
		}
	}
}

// TestAtomicFails: if one file cannot be switched, the others are put back. What
// can no longer be found is told.
func TestAtomicFails(t *testing.T) {
	s := newUpdateSite(t)
	client := "V6\n" + granted + "T0 " + s.root + "/d\n" + file("changed", "new") + "T0 " + s.root + "/e\n" + file("f", "new") +
		"cXatomic commit\nT0 " + s.root + "/d\nQnone\n\x02\n"
	in := &watchedReader{text: client, at: strings.Index(client, "cXatomic commit"), look: func() {
		must(t, os.Rename(s.root+"/e", s.root+"/elsewhere"))
		must(t, os.Symlink("d", s.root+"/e"))
	}}
	var out bytes.Buffer
	err := Serve(context.Background(), duplex{in, &out}, s.o)
	lines := splitLines(out.Bytes())
	text := s.root + "/e/f: rename failed: its directory was moved meanwhile; " + s.root + "/e/f could not be put back: its directory was moved meanwhile"
	wantLines(t, lines[len(lines)-3:], remoteError(text), ok, "N")
	if failed, isFailed := err.(*Failed); !isFailed || failed.Errors != 1 {
		t.Errorf("%v", err)
	}
	for name, want := range map[string]string{"d/changed": "old", "elsewhere/f": "old"} {
		if got, err := os.ReadFile(filepath.Join(s.root, name)); string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	noHidden(t, s.root+"/d")
}

func noHidden(t *testing.T, dir string) {
	t.Helper()
	if left, err := filepath.Glob(dir + "/.rdist*"); err != nil || len(left) > 0 {
		t.Errorf("%q, %v", left, err)
	}
}

// TestAtomicKeepsRemains: what cannot be removed after the switch is where it
// was.
func TestAtomicKeepsRemains(t *testing.T) {
	s := newUpdateSite(t)
	must(t, unix.Mkfifo(s.root+"/d/removed-dir/x/fifo", 0o600))
	got, err := s.talk(t, granted+s.changes()+"cXatomic commit\n\x02\n")
	if failed, isFailed := err.(*Failed); !isFailed || failed.Errors != 1 {
		t.Errorf("%v", err)
	}
	if want := "\x03hosta: REMOTE ERROR: " + s.root + "/d/removed-dir/x/fifo: not a plain file"; !strings.Contains(strings.Join(got, "\n"), want) {
		t.Errorf("%q", got)
	}
	if _, err := os.Lstat(s.root + "/d/removed-dir/x/fifo"); err != nil {
		t.Error(err)
	}
	noHidden(t, s.root+"/d")
}

// TestAtomicOrder: words out of their order are errors that change nothing.
func TestAtomicOrder(t *testing.T) {
	s := newUpdateSite(t)
	got, _ := s.talk(t, "cXatomic begin\ncXdigest\ncXatomic begin\ncXatomic\ncXatomic commit\ncXatomic switch\ncXatomic abort\ncXatomic begin\ncXatomic begin\ncXatomic other\n"+
		"cXatomic switch\ncXatomic switch\nt0 "+s.root+"/new\nR0 0644 1 0 0 root root x\nx\x05\nD0 0755 0 0 0 root root x\ncXatomic abort\ncXatomic commit\n")
	no := remoteError("atomic: no update has begun")
	wantLines(t, got, "\x03X", ok, "\x03Xdigest", ok, "\x03X", ok, "\x03Xatomic", ok, no, no, no, ok,
		remoteError("atomic: an update has begun already"), remoteError("atomic: unknown command 'other'"),
		ok, remoteError("atomic: it is switched already"), ok, ok, remoteError(s.root+"/new: the update is not committed yet"),
		remoteError(s.root+"/new: the update is not committed yet"), ok, no)
	if _, err := os.Lstat(s.root + "/new"); err == nil {
		t.Error("the directory was made")
	}
}

// TestAtomicRace is TestLinkRace for the switch, which comes back to directories
// by their names.
func TestAtomicRace(t *testing.T) {
	s := newUpdateSite(t)
	before := snapshot(t, s.outside)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		swap(s.root+"/e", s.root+"/aside", s.outside, stop)
	}()
	client := granted
	for i := range 20 {
		client += fmt.Sprintf("T0 %s/e\n%sT0 %s/e/sub\n%s", s.root, file("secret", "bad"), s.root, file(fmt.Sprint("secret", i), "bad"))
	}
	for i := range 60 {
		_, _ = s.talk(t, client+[]string{"cXatomic commit\n", "cXatomic switch\ncXatomic abort\n", "cXatomic switch\n", "cXatomic abort\n"}[i%4])
	}
	close(stop)
	<-stopped
	if after := snapshot(t, s.outside); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
