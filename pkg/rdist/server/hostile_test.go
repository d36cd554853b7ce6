package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// hostileRequests are what a client may try to reach the outside of the site.
func hostileRequests(s *site) []string {
	var all []string
	for _, way := range []string{
		s.outside + "/x", s.outside, s.root + "/../outside/x", s.root + "/in/../../outside/x", "../../outside/x", "~/../../outside/x",
		s.root + "/link/x", s.root + "/link/sub/secret", s.root + "/in/link/sub", "~nobody/x", s.root + "x", s.root + "/link/.", "/", "/.",
		s.root + "/in/./link/./x", "/proc/self/root" + s.outside + "/x", "~/\x00/../x",
	} {
		for _, request := range requestsFor("x", s.outside+"/secret") {
			all = append(all, "t0 "+way+"\n"+request, "T0 "+way+"\n"+request)
		}
	}
	for _, rname := range []string{
		"../outside/x", "..", "a/../../outside/x", "/etc/x", s.outside + "/x", "link/x", "in/link/sub/x", "./../outside/x", "link/secret", "link/./x", "a\x00b",
	} {
		for _, request := range requestsFor(rname, "link/secret") {
			all = append(all, "T0 "+s.root+"\n"+request)
		}
	}
	return append(all,
		"T0 "+s.root+"\nK0 0777 1 0 0 root root ../x\n/\n\x05\n",
		"T0 "+s.root+"\nk0 "+s.root+"/../outside/secret x\n",
		"T0 "+s.root+"\nk0 ../outside/secret x\n",
		"T0 "+s.root+"\nk0 "+s.root+"/link/secret x\n",
	)
}

func requestsFor(name, other string) []string {
	return []string{
		"Q" + name + "\nH" + name + "\n",
		file(name, "bad"),
		"cXdelta,digest\n" + deltaLine(0, 10, name) + literally("bad") + blocks(0, 1) + complete("badsecret\n") + "\x05\n",
		"cXdelta,digest\n" + deltaLine(0x8, 7, name) + blocks(0, 1) + complete("secret\n") + "\x05\n",
		"R10000 0644 3 0 0 root root " + name + "\nbad\x05\n",
		"R10 0644 7 0 0 root root " + name + "\nsecret\n\x05\n",
		"cXlist\nL" + name + "\nd0 0777 0 0 0 bob staff " + name + "\n",
		"D0 0777 0 0 0 bob staff " + name + "\nC0\nY\nY\nY\nY\x05\n" + file("y", "bad"),
		"K0 0777 1 0 0 root root " + name + "\n/\n\x05\n\x05\n",
		"k0 " + other + " " + name + "\n",
	}
}

// TestTraversal: no name leads out of what is granted.
func TestTraversal(t *testing.T) {
	s := newSite(t)
	s.o.Extensions, s.o.minDelta = true, 1
	for _, dir := range []string{"in"} {
		must(t, os.Mkdir(filepath.Join(s.root, dir), 0o755))
	}
	s.link(t, "link", s.outside)
	s.link(t, "in/link", "../../outside")
	before := snapshot(t, s.outside)
	for _, request := range hostileRequests(s) {
		got, _ := s.talk(t, request)
		if said := strings.Join(got, "\n"); strings.Contains(said, digestOf([]byte("secret\n"))) || strings.Contains(said, "Y7 ") || strings.Contains(said, "p7 ") {
			t.Errorf("%q: the outside is told: %q", request, got)
		}
		if after := snapshot(t, s.outside); after != before {
			t.Fatalf("%q: %q\nbefore\n%s\nafter\n%s", request, got, before, after)
		}
		entries, err := os.ReadDir(filepath.Dir(s.root))
		must(t, err)
		if len(entries) != 2 {
			t.Fatalf("%q: %q: %v", request, got, entries)
		}
	}
	noTemp(t, s.root)
}

// TestLinkOnTheWay: the error says which name is the link, and what to do.
func TestLinkOnTheWay(t *testing.T) {
	s := newSite(t)
	s.link(t, "link", s.outside)
	got, _ := s.talk(t, "t0 "+s.root+"/link/sub/x\nQx\nR0 0644 3 0 0 root root x\n")
	text := remoteError(s.root + "/link/sub/x: " + s.root + "/link is a symbolic link, and those on the way to a target are not followed: " +
		"name the directory that it points to as the destination")
	wantLines(t, got, ok, text, text)
}

// TestLinkIsReplaced: a target that is a link is itself replaced, by whatever
// takes its place, and what it points to stays.
func TestLinkIsReplaced(t *testing.T) {
	s := newSite(t)
	before := snapshot(t, s.outside)
	for name, request := range map[string]string{
		"file":        file("x", "new"),
		"saved file":  "R10000 0644 3 0 0 root root x\nnew\x05\n",
		"directory":   "D0 0700 0 0 0 root root x\n" + file("y", "new") + "E\n",
		"other link":  "K10 0777 3 0 0 root root x\nnew\n\x05\n\x05\n",
		"hard link":   "k0 ~/f x\n",
		"sparse file": "R4000000 0644 3 0 0 root root x\nnew\x05\n",
	} {
		for _, to := range []string{s.outside, s.outside + "/secret", "nowhere"} {
			s.write(t, "home/f", "f")
			s.link(t, "x", to)
			got, err := s.talk(t, "t0 "+s.root+"/x\nQx\n"+request+"\x02\n")
			if now, _ := os.Readlink(s.root + "/x"); err != nil || now == to {
				t.Errorf("%s for a link to %s: %q, %v, now a link to %q", name, to, got, err, now)
			}
			if after := snapshot(t, s.outside); after != before {
				t.Fatalf("%s for a link to %s: %q\nbefore\n%s\nafter\n%s", name, to, got, before, after)
			}
			noTemp(t, s.root)
			must(t, os.RemoveAll(s.root))
			must(t, os.MkdirAll(s.home, 0o755))
		}
	}
}

// swap makes a name a directory and a link to the outside by turns, until stop
// is closed.
func swap(name, aside, outside string, stop <-chan struct{}) {
	link := aside + ".link"
	_ = os.Symlink(outside, link)
	for {
		select {
		case <-stop:
			return
		default:
		}
		_ = unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
	}
}

// TestLinkRace: somebody who may write in the target makes directories links
// while the server works there. What a link points to is not touched, whenever
// it comes.
func TestLinkRace(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	s := newSite(t)
	before := snapshot(t, s.outside)
	stop := make(chan struct{})
	var swappers sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); swappers.Wait() })
	defer end()
	for _, name := range []string{"d", "g/sub", "e"} {
		must(t, os.MkdirAll(filepath.Join(s.root, name, "sub"), 0o755))
		aside := filepath.Join(s.root, "home", strings.ReplaceAll(name, "/", "-"))
		swappers.Go(func() { swap(filepath.Join(s.root, name), aside, s.outside, stop) })
	}
	client := strings.Join([]string{
		"t0 " + s.root + "/d/sub/secret\nQx\n" + file("x", "bad"),
		"T0 " + s.root + "/d\n" + file("sub/secret", "bad") + "D0 0777 0 0 0 bob staff sub\n" + file("secret", "bad") + "E\n",
		"D20 0777 0 0 0 bob staff sub\nC0\n" + strings.Repeat("Y\n", 1) + "\x05\n",
		"T0 " + s.root + "/d\nK0 0777 1 0 0 root root sub/secret\n/\n\x05\n\x05\n",
		"T0 " + s.root + "/d\nk0 " + s.root + "/d/sub/secret sub/other\n",
		"t0 " + s.root + "/g/sub\nD0 0700 0 0 0 bob staff sub\n" + file("secret", "bad") + "E\n" + file("x", "bad"),
		"T0 " + s.root + "/g\nD0 0700 0 0 0 bob staff sub\n" + file("secret", "bad") + "E\n" + file("sub/secret", "bad"),
		"t0 " + s.root + "/d/sub\n" + file("x", "bad"),
		"t0 " + s.root + "/e\nD0 0700 0 0 0 bob staff e\n" + file("secret", "bad") + "D0 0700 0 0 0 bob staff sub\n" + file("secret", "bad"),
		"t0 " + s.root + "/e\n" + file("e", "bad"),
		"t0 " + s.root + "/e\nD0 0700 0 0 0 bob staff e\n",
	}, "")
	parts := strings.SplitAfter(client, "\x05\n")
	for i := range rounds {
		// Out of step in many ways: each round leaves another part out.
		_, _ = s.talk(t, strings.Join(append(parts[:i%len(parts):i%len(parts)], parts[i%len(parts)+1:]...), ""))
		_, _ = s.talk(t, client)
		if i%20 == 0 {
			if after := snapshot(t, s.outside); after != before {
				t.Fatalf("before\n%s\nafter\n%s", before, after)
			}
		}
	}
	end()
	if after := snapshot(t, s.outside); after != before {
		t.Fatalf("before\n%s\nafter\n%s", before, after)
	}
}

// TestRemoveRace is TestLinkRace for the removal of a tree, where the real
// server walks by names.
func TestRemoveRace(t *testing.T) {
	s := newSite(t)
	before := snapshot(t, s.outside)
	for range 30 {
		for i := range 8 {
			s.write(t, fmt.Sprintf("d/x/sub/%d/secret", i), "x")
		}
		stop := make(chan struct{})
		var swapper sync.WaitGroup
		swapper.Go(func() { swap(filepath.Join(s.root, "d/x/sub"), filepath.Join(s.root, "home/aside"), s.outside, stop) })
		got, err := s.talk(t, "t0 "+s.root+"/d\nD0 0755 0 0 0 root root d\nC0\nY\n\x05\nE\n\x02\n")
		close(stop)
		swapper.Wait()
		if after := snapshot(t, s.outside); after != before {
			t.Fatalf("%q, %v\nbefore\n%s\nafter\n%s", got, err, before, after)
		}
		must(t, os.RemoveAll(filepath.Join(s.root, "d")))
		must(t, os.RemoveAll(filepath.Join(s.root, "home/aside.link")))
	}
}

// TestOversize: whatever is too long, too deep or too many is an error, and
// nothing else happens.
func TestOversize(t *testing.T) {
	s := newSite(t)
	long := strings.Repeat("x", 5000)
	target := "t0 " + s.root + "/d\n"
	for name, c := range map[string]struct{ client, want string }{
		"line":            {"Q" + strings.Repeat("x", wire.MaxRead+1) + "\n", ""},
		"line within":     {"Q" + strings.Repeat("x", wire.MaxRead-1) + "\n", "\x01"},
		"name":            {"T0 " + s.root + "\nQ" + long + "\n", "\x01hosta: REMOTE ERROR: xx"},
		"component":       {"T0 " + s.root + "\nQ" + strings.Repeat("x", 300) + "\n", "File name too long"},
		"target":          {"t0 /" + long + "\n", "File name too long"},
		"target line":     {"t0 " + s.root + strings.Repeat("/x", 4000) + "\n", "the line is too long"},
		"owner":           {target + "R0 0644 1 0 0 " + long + " root x\n", "owner or group too long"},
		"size":            {target + "R0 0644 9223372036854775807 0 0 root root x\n", "size not delimited"},
		"negative size":   {target + "R0 0644 -1 0 0 root root x\n", "size not delimited"},
		"mode":            {target + "R0 17777 1 0 0 root root x\n", "mode not delimited"},
		"link text":       {target + "K0 0777 5000 0 0 root root x\n" + long + "\n\x05\n\x05\n", "symlink failed: File name too long"},
		"link text lines": {target + "K0 0777 9000 0 0 root root x\n" + strings.Repeat("x", 9000) + "\n\x05\n\x05\n", "too long"},
	} {
		got, err := s.talk(t, c.client)
		if said := strings.Join(got, "\n"); err == nil || !strings.Contains(said, strings.TrimPrefix(c.want, "\x01hosta: REMOTE ERROR: xx")) {
			t.Errorf("%s: %.200q, %v", name, got, err)
		}
	}
	if got := snapshot(t, s.root); strings.Count(got, "\n") != 2 {
		t.Errorf("%s", got)
	}
}

// TestDepth: more levels than the real server has room for, up to a bound, and
// a tree that deep is also removed.
func TestDepth(t *testing.T) {
	s := newSite(t)
	client := "t0 " + s.root + "/d\n" + strings.Repeat("D0 0755 0 0 0 root root d\n", maxDepth+10) + file("f", "x")
	got, _ := s.talk(t, client)
	if refused := strings.Count(strings.Join(got, "\n"), "too many directory levels"); refused != 10 {
		t.Errorf("%d directories were refused, want 10", refused)
	}
	deep := s.root + strings.Repeat("/d", maxDepth) + "/f"
	if data, err := os.ReadFile(deep); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
	got, err := s.talk(t, "t0 "+s.root+"/d\n"+file("d", "file")+"\x02\n")
	if data, _ := os.ReadFile(s.root + "/d"); err != nil || string(data) != "file" {
		t.Errorf("%.300q, %v, %q", got, err, data)
	}
	// Deeper than any client can make it.
	path := s.root + "/deeper"
	must(t, os.MkdirAll(path+strings.Repeat("/d", maxDepth+5), 0o755))
	got, _ = s.talk(t, "t0 "+path+"\n"+file("d", "file")+"\x02\n")
	if last := got[len(got)-1]; !strings.HasSuffix(last, "/d: too many directory levels") {
		t.Errorf("%.300q", got)
	}
	noTemp(t, s.root)
}

// TestTruncated: a stream that ends anywhere leaves each file as it was or as
// it is to be, and no temporary one.
func TestTruncated(t *testing.T) {
	s := newSite(t)
	s.o.Extensions, s.o.minDelta = true, 1
	target := "V6\nT0 " + s.root + "\n"
	long := strings.Repeat("0123456789abcdef", 200)
	for name, c := range map[string]struct {
		client   string
		old, new map[string]string
	}{
		"new":    {file("n/e/w", "new"), nil, map[string]string{"n/e/w": "new"}},
		"file":   {"Qf\n" + file("f", "new f"), map[string]string{"f": "old f"}, map[string]string{"f": "new f"}},
		"saved":  {"R10000 0644 5 0 0 root root f\nnew f\x05\n", map[string]string{"f": "old"}, map[string]string{"f": "new f", "f.OLD": "old"}},
		"same":   {"R10 0644 4 0 0 root root f\nsame\x05\n", map[string]string{"f": "same"}, map[string]string{"f": "same"}},
		"sparse": {"R4000000 0644 8200 0 0 root root f\n" + strings.Repeat("\x00", 8200) + "\x05\n", map[string]string{"f": "old"}, map[string]string{"f": strings.Repeat("\x00", 8200)}},
		"link":   {"K0 0777 3 0 0 root root l\nf/g\n\x05\n\x05\n", map[string]string{"l": "old"}, map[string]string{"l": "link to f/g"}},
		"hard":   {"k0 " + s.root + "/f h\n", map[string]string{"f": "old", "h": "other"}, map[string]string{"f": "old", "h": "old"}},
		"dir":    {"D20 0700 0 0 0 root root d\nC0\nY\nN\n\x05\n" + file("x", "new") + "E\n", map[string]string{"d/a": "a", "d/b": "b"}, map[string]string{"d/b": "b", "d/x": "new"}},
		"delta": {"cXdelta\n" + deltaLine(0, 2500, "f") + blocks(1, 1) + literally(long[:452]) + blocks(0, 1) + complete(long[1024:2048]+long[:452]+long[:1024]) + "\x05\n",
			map[string]string{"f": long}, map[string]string{"f": long[1024:2048] + long[:452] + long[:1024]}},
		"over dir": {file("d", "file"), map[string]string{"d/x": "x"}, map[string]string{"d": "file"}},
	} {
		whole := target + c.client + "\x02\n"
		for end := len("V6\n"); end <= len(whole); end++ {
			if strings.HasPrefix(whole[end:], "\x00\x00") && end%101 != 0 {
				continue // all the same octets
			}
			must(t, os.RemoveAll(s.root))
			must(t, os.Mkdir(s.root, 0o755))
			for file, content := range c.old {
				s.write(t, file, content)
			}
			err := Serve(context.Background(), duplex{strings.NewReader(whole[:end]), io.Discard}, s.o)
			noTemp(t, s.root)
			if s.check(t, fmt.Sprintf("%s, %d octets", name, end), c.old, c.new, end == len(whole)); end == len(whole) && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// check fails unless every file is as in old or, all of it, as in new.
func (s *site) check(t *testing.T, when string, old, new map[string]string, complete bool) {
	t.Helper()
	for _, names := range []map[string]string{old, new} {
		for name := range names {
			got := ""
			if text, err := os.Readlink(filepath.Join(s.root, name)); err == nil {
				got = "link to " + text
			} else if data, err := os.ReadFile(filepath.Join(s.root, name)); err == nil {
				got = string(data)
			}
			if got != new[name] && (complete || got != old[name]) {
				t.Errorf("%s: %s has %.100q", when, name, got)
			}
		}
	}
}

// TestOutOfStep: a client that says something else than its part is not
// listened to any longer: what it sends could be the contents of a file.
func TestOutOfStep(t *testing.T) {
	s := newSite(t)
	s.o.Special, s.o.Extensions, s.o.minDelta = true, true, 1
	evil := "Stouch " + s.root + "/evil\n"
	s.write(t, "d/f", "f")
	for name, client := range map[string]string{
		"file":             "t0 " + s.root + "/x\nR0 0644 3 0 0 root root x\nabcdef\n" + evil,
		"link":             "t0 " + s.root + "/x\nK0 0777 3 0 0 root root x\nabc\ndef\n" + evil,
		"link length":      "t0 " + s.root + "/x\nK0 0777 9 0 0 root root x\na\n" + evil,
		"link lines":       "t0 " + s.root + "/x\nK0 0777 9 0 0 root root x\na\n\x05\n" + evil,
		"link given up":    "t0 " + s.root + "/x\nK0 0777 9 0 0 root root x\na\n\x01\n" + evil,
		"after a link":     "t0 " + s.root + "/x\nK0 0777 1 0 0 root root x\na\n\x05\nE\n" + evil,
		"clean":            "t0 " + s.root + "/d\nD0 0755 0 0 0 root root d\nC0\nQf\n" + evil,
		"clean, the end":   "t0 " + s.root + "/d\nD0 0755 0 0 0 root root d\nC0\nN\nE\n" + evil,
		"cmdspecial":       "s\nFname\nQf\n" + evil,
		"delta":            "cXdelta\nt0 " + s.root + "/d/f\n" + deltaLine(0, 3, "f") + literally("abc") + evil,
		"delta, the end":   "cXdelta\nt0 " + s.root + "/d/f\n" + deltaLine(0, 3, "f") + literally("abc") + complete("abc") + evil,
		"a newline in ack": "t0 " + s.root + "/x\nR0 0644 0 0 0 root root x\n\x05x\n" + evil,
	} {
		got, err := s.raw(t, strings.NewReader("V6\n"+client))
		if last := got[len(got)-1]; err == nil || !strings.HasPrefix(last, "\x02hosta: REMOTE ERROR: ") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, err := os.Lstat(s.root + "/evil"); err == nil {
			t.Fatalf("%s: the command was run", name)
		}
		noTemp(t, s.root)
	}
}

// TestCloseAgain: a file that is closed already is not another one that has got its
// number since.
func TestCloseAgain(t *testing.T) {
	d, err := openDir(t.TempDir())
	must(t, err)
	defer d.close()
	first, err := d.createNew("first")
	must(t, err)
	number := first.fd
	must(t, first.Close())
	must(t, unix.Dup3(d.fd, number, unix.O_CLOEXEC))
	must(t, first.Close())
	if err := unix.Close(number); err != nil {
		t.Errorf("the other one was closed: %v", err)
	}
}

// TestDescriptors: whatever becomes of its requests, a session leaves nothing open.
func TestDescriptors(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would close what was forgotten
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	data := strings.Repeat("0123456789abcdef", 3*64)
	send := deltaLine(0, len(data), "d/changed")
	var requests []string
	for _, r := range []string{
		send + blocks(0, 3) + complete(data) + "\x05\n", send + blocks(0, 3) + complete("other") + "\x05\n", send + literally("x") + "Q\x01\n", send + "x", send, "p0 x\n",
		deltaLine(0x8, len(data), "d/changed") + blocks(0, 3) + complete(data) + "\x05\n", deltaLine(0, 10, "none") + "0123456789\x05\n",
		"Ld\n", "Lnone\n", "Ld/changed\n", "d0 0755 0 0 0 root root d\nLsub\n", "d0 0755 0 0 0 root root d/changed\nE\n", "d1 0755 0 0 0 root root none\n",
		"r0 0644 3 1 1 root root d/ahead\nnew\x05\n", "r0 0644 3 1 1 root root d/removed-dir\nnew\x05\n", "r0 0644 3 1 1 root root d/changed/x\nnew\x05\n", "r0 0644 3 1 1 root root x\nn",
		"R10000 0644 3 9 9 root root d/saved\nnew\x05\n", "k0 ROOT/d/changed d/linked\n", "k0 ROOT/none d/linked\n", "Hd/changed\n", "Hd\n",
		"K0 0777 3 0 0 root root d/link\nnew\n\x05\n\x05\n", "Strue\n", "Sfalse\n",
	} {
		requests = append(requests, r, "cXatomic begin\n"+r, "cXatomic begin\n"+r+"cXatomic switch\ncXatomic commit\n")
	}
	for _, r := range requests {
		s := newUpdateSite(t)
		s.o.minDelta = 1
		s.write(t, "d/changed", data)
		before := open()
		got, err := s.raw(t, strings.NewReader("V6\ncXdelta,list,ahead,digest,atomic\nT0 "+s.root+"\n"+strings.ReplaceAll(r, "ROOT", s.root)))
		if after := open(); after != before {
			t.Errorf("%.100q: %d descriptors are open, %d were: %q, %v", r, after, before, got, err)
		}
	}
}

// FuzzSession: any octets of a client change nothing outside, leave no
// temporary file, and end.
func FuzzSession(f *testing.F) {
	streams, err := filepath.Glob(filepath.Join(sessions, "*", "client-to-server.bin"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range streams {
		octets, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(octets) < 2000 { // large ones take the time of many small ones
			f.Add(octets)
		}
	}
	s := newSite(f)
	s.o.Extensions, s.o.minDelta = true, 1
	for _, request := range hostileRequests(s) {
		f.Add([]byte(strings.ReplaceAll("V6\n"+request, s.root, recordedRoot)))
	}
	f.Add([]byte("V6\ncXatomic,digest\ncXatomic begin\nt20 /tmp/rd/dst\nD20 0700 0 0 0 root root dst\nC0\nY\nN\n\x05\nR0 0644 1 0 0 root root n\nx\x05\nE\ncXatomic switch\ncXatomic abort\n"))
	f.Add([]byte("V6\ncXdelta\nT0 /tmp/rd/dst\n" + deltaLine(0, 6, "f") + blocks(0, 1) + literally("new") + complete("oldnew") + "\x05\n"))
	f.Add([]byte("V6\ncXdelta\nT0 /tmp/rd/dst\n" + deltaLine(0x8, 3, "f") + blocks(0, 1) + "Q\x01\n"))
	f.Add([]byte("V6\ncXlist,ahead\nt20 /tmp/rd/dst\nd20 0700 0 0 0 root root dst\nr0 0644 1 0 0 root root f\nx\x05\nd0 0700 0 0 0 root root sub\nr0 0644 1 0 0 root root n\nx\x05\nE\nE\n"))
	before := snapshot(f, s.outside)
	f.Fuzz(func(t *testing.T, client []byte) {
		defer func() { _ = os.RemoveAll(s.root) }()
		must(t, os.MkdirAll(filepath.Join(s.root, "dst"), 0o755))
		s.write(t, "dst/f", "old")
		s.link(t, "dst/link", s.outside)
		_ = Serve(t.Context(), duplex{bytes.NewReader(moved(client, s.root)), io.Discard}, s.o)
		if after := snapshot(t, s.outside); after != before {
			t.Fatalf("before\n%s\nafter\n%s", before, after)
		}
		_ = filepath.WalkDir(s.root, func(path string, d os.DirEntry, err error) error {
			if name := strings.TrimPrefix(d.Name(), "."); err == nil && strings.HasPrefix(name, "rdist") && len(name) == len(tempName(false)) {
				t.Errorf("%s is left", path)
			}
			return nil
		})
	})
}
