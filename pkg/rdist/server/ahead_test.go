package server

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// TestAhead: files come without waiting for leave. Of one that is refused the
// contents are no requests, and one that is not confirmed is not answered.
func TestAhead(t *testing.T) {
	s := newSite(t)
	s.o.Extensions = true
	ahead := func(name, content string) string { return "r" + file(name, content)[1:] }
	const granted = "\x03Xahead"
	dir := "cXahead\nT0 " + s.root + "\n"
	got, err := s.talk(t, dir+ahead("a", "alpha\n")+ahead("/abs", "Qa\ncXdigest\n")+strings.TrimSuffix(ahead("c", "gamma"), "\x05\n")+"\x01\n"+ahead("b", "")+"\x02\n")
	wantLines(t, got, granted, ok, ok, ok, remoteError(s.root+"//abs: an absolute name is not taken here"), ok)
	if failed, isFailed := err.(*Failed); !isFailed || failed.Errors != 1 {
		t.Errorf("%v", err)
	}
	for name, want := range map[string]string{"a": "alpha\n", "b": ""} {
		if data, err := os.ReadFile(s.root + "/" + name); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if _, err := os.Lstat(s.root + "/c"); err == nil {
		t.Error("a file that was not confirmed is there")
	}

	// Where the contents end is not known, or they are too many: no more requests.
	for line, want := range map[string]string{
		"r0 0644\nQa\n": "recvit: mode not delimited",
		ahead("d", strings.Repeat("Qa\n", wire.MaxAhead)): fmt.Sprintf("a file of %d octets was sent without waiting for leave", 3*wire.MaxAhead),
	} {
		got, err := s.talk(t, dir+line)
		wantLines(t, got, granted, ok, ok, "\x02hosta: REMOTE ERROR: "+want)
		if err == nil {
			t.Errorf("%.20q: no error", line)
		}
	}
	got, _ = s.talk(t, "T0 "+s.root+"\nr0 0644\n")
	wantLines(t, got, ok, remoteError("server: unknown command 'r'"))
}

// TestCleanAhead: the client is asked for many entries at once.
func TestCleanAhead(t *testing.T) {
	s := newSite(t)
	s.o.Extensions = true
	d := s.root + "/d"
	var want []string
	for i := range wire.MaxQuestions + 2 {
		name := fmt.Sprintf("f%03d", i)
		s.write(t, "d/"+name, "")
		want = append(want, "Q"+name)
	}
	removed := "\x03hosta: " + d + "/f001: removed"
	want = append(want[:wire.MaxQuestions:wire.MaxQuestions], append([]string{removed}, want[wire.MaxQuestions:]...)...)
	got, err := s.talk(t, "cXahead\nt0 "+d+"\nD0 0755 0 0 0 root root d\nC0\nN\nY\n"+strings.Repeat("N\n", wire.MaxQuestions)+"\x05\n\x02\n")
	if err != nil {
		t.Error(err)
	}
	wantLines(t, got, append(append([]string{"\x03Xahead", ok, ok, ok, ok}, want...), "E")...)
	if left, _ := os.ReadDir(d); len(left) != wire.MaxQuestions+1 {
		t.Errorf("%d entries are left", len(left))
	}
}
