package replica

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/pkg/kdb"
)

// older asks the guard whether next is older than what is loaded.
func older(t *testing.T, loaded, next []byte) string {
	t.Helper()
	s := testServer(t)
	ok(t, os.WriteFile(s.o.File, loaded, 0o600))
	in := must(kdb.NewIncoming(s.o.File))(t)
	defer in.Abort()
	must(in.Write(next))(t)
	return must(s.older(stateOf(t, s, next), stateOf(t, s, loaded), in))(t)
}

func TestOlder(t *testing.T) {
	many := func(base []uint32, n int) []uint32 {
		for i := range n {
			base = append(base, uint32(1000+i))
		}
		return base
	}
	for _, test := range []struct {
		name         string
		loaded, next []uint32
		want         string
	}{
		{"the same", []uint32{5, 6, 7}, []uint32{5, 6, 7}, ""},
		{"newer", []uint32{5, 6, 7}, []uint32{5, 6, 8}, ""},
		{"newer, with one that is older", []uint32{5, 6, 7}, []uint32{5, 4, 8}, ""},
		{"an earlier version of one", []uint32{5, 6, 7}, []uint32{5, 6, 6}, `it has an earlier version of "userac@KPROP.TEST"`},
		{"earlier versions of all", []uint32{500, 600, 700}, []uint32{5, 6, 7}, "earlier version"},
		{"the newest deleted", []uint32{5, 6, 7}, []uint32{5, 6}, ""},
		{"ten of the newest deleted", many([]uint32{5}, 10), []uint32{5}, ""},
		{"eleven of the newest missing", many([]uint32{5}, 11), []uint32{5}, "it lacks all of the 11 principals changed last"},
	} {
		got := older(t, testDump(t, test.loaded...), testDump(t, test.next...))
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestGuardAndMark: a mark lets through what it names, for an hour.
func TestGuardAndMark(t *testing.T) {
	s := testServer(t)
	text := testDump(t, 5)
	next := stateOf(t, s, text)
	now := *next
	now.Principals = 100
	in := must(kdb.NewIncoming(s.o.File))(t)
	defer in.Abort()
	report := must(s.verifyAll(t.Context(), bytes.NewReader(text)))(t)
	guard := func() (bool, error) { return s.guard(report, in, baseline{state: &now}, zap.NewNop()) }

	_, err := guard()
	var r *refusal
	if !errors.As(err, &r) || !strings.Contains(r.tell, "it has 3 principals and the database here has 100: 97 (97.0%) fewer, and max_shrink is 10%") ||
		!strings.Contains(r.tell, "kpropd accept "+next.Digest[:shortDigest]) {
		t.Fatalf("%v", err)
	}
	if _, err := s.guard(report, in, baseline{why: "x"}, zap.NewNop()); err != nil {
		t.Errorf("with nothing to compare: %v", err)
	}
	for _, test := range []struct {
		dump    string
		expires time.Duration
		want    bool
	}{
		{"next", time.Minute, true}, {next.Digest, time.Minute, true}, {next.Digest[:shortDigest], time.Minute, true},
		{"next", -time.Second, false}, {"next", 2 * time.Hour, false},
		{strings.Repeat("0", shortDigest), time.Minute, false},
	} {
		ok(t, writeJSON(s.o.File+markSuffix, &Mark{Dump: test.dump, Expires: time.Now().Add(test.expires)}))
		accepted, err := guard()
		if accepted != test.want || (err == nil) != test.want {
			t.Errorf("%+v: %v, %v", test, accepted, err)
		}
	}
	must(Accept(s.o.File, "next"))(t)
	if st := must(os.Lstat(s.o.File + markSuffix))(t); st.Mode() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	ok(t, os.Chmod(s.o.File+markSuffix, 0o622))
	if accepted, err := guard(); accepted || err == nil {
		t.Error("a mark that others may write is taken")
	}
	ok(t, useMark(s.o.File))
	ok(t, useMark(s.o.File))
	ok(t, os.Symlink("/dev/null", s.o.File+markSuffix))
	if accepted, err := guard(); accepted || err == nil {
		t.Error("a link is taken for a mark")
	}
	for _, bad := range []string{"", "abc", "latest", "xyzxyzxyzxyz", next.Digest + "0"} {
		if _, err := Accept(s.o.File, bad); err == nil {
			t.Errorf("accept %q", bad)
		}
	}
}
