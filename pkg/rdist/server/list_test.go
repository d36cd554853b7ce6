package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// TestList: a directory comes with what queries would be answered, in order,
// and entries of which a listing does not tell enough are left to queries.
func TestList(t *testing.T) {
	s := newSite(t)
	s.o.Extensions = true
	const granted = "\x03Xlist"
	in := func(options, rest string) string {
		return "cXlist\nt" + options + " " + s.root + "/d\nd" + options + " 0755 0 0 0 root root d\n" + rest
	}
	s.write(t, "d/b", "beta")
	s.write(t, "d/a b", "alpha")
	s.link(t, "d/link", "b")
	must(t, os.Mkdir(s.root+"/d/sub", 0o755))
	must(t, unix.Mkfifo(s.root+"/d/pipe", 0o600))
	got, _ := s.talk(t, in("0", "Qa b\nQb\nQlink\nQpipe\nQsub\n"))
	if len(got) != 15 {
		t.Fatalf("%q", got)
	}
	answers := got[10:]
	wantLines(t, got, granted, ok, ok, ok, answers[0]+" a b", answers[1]+" b", answers[2]+" link", "Qpipe", "D"+answers[4][1:]+" sub", "E",
		answers[0], answers[1], answers[2], remoteError(s.root+"/d/pipe: not a file or directory"), answers[4])

	// Queries have other answers, or say more.
	for name, options := range map[string]string{"chknfs": "1000", "chkreadonly": "2000", "chksym": "400000"} {
		if got, _ := s.talk(t, in(options, "")); got[len(got)-1] != "N" || len(got) != 5 {
			t.Errorf("%s: %q", name, got)
		}
	}
	odd := s.write(t, "d/new\nline", "")
	if got, _ := s.talk(t, in("0", "")); got[len(got)-1] != "N" {
		t.Errorf("a name that cannot be sent: %q", got)
	}
	must(t, os.Remove(odd))

	// A client that finds more than it has would clean the directory.
	journal := s.write(t, "d/"+journalName, "")
	if same, _ := s.talk(t, in("0", "")); strings.Contains(strings.Join(same, "\n"), journalName) {
		t.Errorf("a journal is told of: %q", same)
	}
	must(t, os.Remove(journal))

	// The same without entering it.
	again, _ := s.talk(t, "cXlist\nT0 "+s.root+"\nLd\nLd/b\nLd/link\nLnone\nL../outside\nE\n")
	wantLines(t, again, slices.Concat([]string{granted, ok, ok}, got[4:10], []string{"N", "N", "N",
		remoteError(s.root + "/../outside: \"..\" is not taken in names"), remoteError("server: too many 'E's")})...)

	// What is refused is not listed, nor what verify does not make.
	got, _ = s.talk(t, "cXlist\nT0 "+s.root+"\nd0 0755 0 0 0 root root ../outside\nE\n")
	wantLines(t, got, granted, ok, ok, remoteError(s.root+"/../outside: \"..\" is not taken in names"), remoteError("server: too many 'E's"))
	got, _ = s.talk(t, "cXlist\nT1 "+s.root+"\nd1 0755 0 0 0 root root none\nQx\n")
	wantLines(t, got, granted, ok, ok, ok, "E", "N")

	got, _ = s.talk(t, "T0 "+s.root+"\nd0 0755 0 0 0 root root d\n")
	wantLines(t, got, ok, remoteError("server: unknown command 'd'"))
	got, _ = s.talk(t, "cXlist,atomic\ncXatomic begin\nT0 "+s.root+"\nd0 0755 0 0 0 root root d\ncXatomic abort\n")
	if got[len(got)-2] != "N" {
		t.Errorf("while files are staged: %q", got)
	}
}

// TestOwnersOfTwoWords: a blank in a group's name would make the rest of it a part
// of the file's.
func TestOwnersOfTwoWords(t *testing.T) {
	s := newSite(t)
	s.o.Extensions = true
	group := os.Getgid()
	s.o.Users = recordedUsers{s.root, map[string]int{"the owner": os.Getuid()}, map[string]int{"domain users": group}}
	s.write(t, "d/f", "1")
	got, _ := s.talk(t, "cXlist\nT0 "+s.root+"\nLd\nQd/f\n")
	owner := fmt.Sprintf(" 644 :%d :%d", os.Getuid(), group)
	if len(got) != 6 || !strings.HasSuffix(got[3], owner+" f") || !strings.HasSuffix(got[5], owner) {
		t.Errorf("%q", got)
	}
}

// TestListBounds: of a large directory no more is told than the client may
// expect.
func TestListBounds(t *testing.T) {
	s := newSite(t)
	s.o.Extensions = true
	for _, c := range []struct {
		n      int
		format string
		whole  bool
	}{{wire.MaxListed, "%d", true}, {wire.MaxListed + 1, "%d", false}, {5000, strings.Repeat("n", 250) + "%04d", false}} {
		d := filepath.Join(s.root, "d")
		must(t, os.Mkdir(d, 0o755))
		one := s.write(t, "one", "")
		for i := range c.n {
			must(t, os.Link(one, fmt.Sprintf(d+"/"+c.format, i)))
		}
		got, err := s.talk(t, "cXlist\nt0 "+d+"\nd0 0755 0 0 0 root root d\n\x02\n")
		octets := len(strings.Join(got[4:], "\n"))
		if last := got[len(got)-1]; err != nil || (last == "E") != c.whole || !c.whole && last != "N" || octets > wire.MaxListedOctets+2 {
			t.Errorf("%d names: %d lines of %d octets, the last one %q, %v", c.n, len(got), octets, last, err)
		}
		must(t, os.RemoveAll(d))
	}
}

// TestListRace: somebody makes directories links to the outside while they are
// listed. What is there is never told.
func TestListRace(t *testing.T) {
	s := newSite(t)
	s.o.Extensions = true
	must(t, os.MkdirAll(filepath.Join(s.root, "d", "sub"), 0o755))
	before := snapshot(t, s.outside)
	stop := make(chan struct{})
	var swapper sync.WaitGroup
	swapper.Go(func() { swap(filepath.Join(s.root, "d"), filepath.Join(s.home, "aside"), s.outside, stop) })
	listed := 0
	for range 200 {
		got, _ := s.talk(t, "cXlist\nT0 "+s.root+"\nLd\nLd/sub\nd0 0755 0 0 0 root root d\nLsub\nd0 0755 0 0 0 root root sub\n\x02\n")
		for _, line := range got {
			if strings.HasSuffix(line, " secret") {
				t.Fatalf("the outside is told: %q", got)
			}
			if strings.HasSuffix(line, " sub") {
				listed++
			}
		}
	}
	close(stop)
	swapper.Wait()
	if after := snapshot(t, s.outside); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if listed == 0 {
		t.Error("the directory was never listed")
	}
}
