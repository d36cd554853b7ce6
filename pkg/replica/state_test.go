package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/dump"
)

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const realm = "KPROP.TEST"

// testDump is a dump of a realm that a verifier takes: K/M, the realm's
// krbtgt, and users that changed at the times given.
func testDump(t testing.TB, changed ...uint32) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := dump.NewWriter(&b, dump.Header{Version: dump.Version7})
	if err != nil {
		t.Fatal(err)
	}
	key := dump.KeyData{Version: 1, KVNO: 1, Type: [2]int16{18, 0}, Contents: [2][]byte{append([]byte{32, 0}, make([]byte, 60)...), nil}}
	put := func(name string, at uint32) {
		mod := append([]byte{byte(at), byte(at >> 8), byte(at >> 16), byte(at >> 24)}, "x@R\x00"...)
		p := &dump.Principal{Name: []byte(name), Keys: []dump.KeyData{key}, TL: []dump.TL{{Type: dump.TLModPrinc, Data: mod}}}
		if err := w.WritePrincipal(p); err != nil {
			t.Fatal(err)
		}
	}
	put("K/M@"+realm, 1)
	put("krbtgt/"+realm+"@"+realm, 1)
	for i, at := range changed {
		put("user"+string(rune('a'+i/26))+string(rune('a'+i%26))+"@"+realm, at)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func testServer(t *testing.T) *Server {
	t.Helper()
	return &Server{o: Options{Realm: realm, File: filepath.Join(t.TempDir(), "from_master"), MaxShrink: 10, RefuseOlder: true, Keep: 3}}
}

func stateOf(t *testing.T, s *Server, text []byte) *State {
	t.Helper()
	r := must(s.verifyAll(t.Context(), bytes.NewReader(text)))(t)
	return newState(r, "host/p@"+realm, time.Now())
}

// TestBaseline: what is loaded is told by the state, and by the dump where the
// state is missing, damaged, or of another dump. Nothing makes it zero.
func TestBaseline(t *testing.T) {
	s := testServer(t)
	if b := s.baseline(t.Context()); b.state != nil || b.why == "" {
		t.Errorf("before the first propagation: %+v", b)
	}
	text := testDump(t, 5, 6, 7)
	ok(t, os.WriteFile(s.o.File, text, 0o600))
	want := stateOf(t, s, text)
	want.File = must(fileID(s.o.File))(t)
	marked := *want
	marked.Principals = 1000 // to tell it from what is read from the dump
	check := func(name string, principals int) {
		t.Helper()
		b := s.baseline(t.Context())
		if b.state == nil || b.state.Principals != principals || b.state.Digest != want.Digest {
			t.Errorf("%s: %+v, want %d principals", name, b, principals)
		}
	}
	check("no state", 5)
	ok(t, marked.write(s.o.File+stateSuffix))
	check("its state", 1000)
	marked.File.Size++
	ok(t, marked.write(s.o.File+stateSuffix))
	check("state of another dump", 5)
	ok(t, os.WriteFile(s.o.File+stateSuffix, []byte("{"), 0o600))
	check("damaged state", 5)
	ok(t, os.Remove(s.o.File+stateSuffix))
	ok(t, os.WriteFile(s.o.File, text[:len(text)-1], 0o600))
	if b := s.baseline(t.Context()); b.state != nil || !strings.Contains(b.why, "is no good dump") {
		t.Errorf("a dump that was cut: %+v", b)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	ok(t, os.WriteFile(s.o.File, text, 0o600))
	if b := s.baseline(ended); b.state != nil {
		t.Errorf("after the end of the context: %+v", b)
	}
}

func TestShrunk(t *testing.T) {
	for _, test := range []struct {
		now, next, max int
		refused        bool
	}{
		{100, 100, 10, false}, {100, 1000, 10, false}, {100, 90, 10, false}, {100, 89, 10, true},
		{1000, 900, 10, false}, {1000, 899, 10, true}, {20, 10, 10, false}, {20, 9, 10, true},
		{11, 1, 0, false}, {12, 1, 0, true}, {1_000_000, 1, 100, false}, {1_000_000, 500_000, 50, false},
		{1_000_000, 499_999, 50, true},
	} {
		s := &Server{o: Options{MaxShrink: test.max}}
		if why := s.shrunk(&State{Principals: test.next}, &State{Principals: test.now}); (why != "") != test.refused {
			t.Errorf("%+v: %q", test, why)
		}
	}
}

// TestPoliciesGone: a dump that was cut off behind a record lacks all policies.
func TestPoliciesGone(t *testing.T) {
	for _, test := range []struct {
		now, next, max int
		refused        bool
	}{{3, 0, 10, true}, {1, 0, 99, true}, {3, 1, 10, false}, {0, 0, 10, false}, {3, 0, 100, false}} {
		s := &Server{o: Options{MaxShrink: test.max}}
		why := s.shrunk(&State{Principals: 50, Policies: test.next}, &State{Principals: 50, Policies: test.now})
		if (why != "") != test.refused {
			t.Errorf("%+v: %q", test, why)
		}
	}
}

func TestParseStateRefuses(t *testing.T) {
	s := testServer(t)
	good := stateOf(t, s, testDump(t, 5))
	text := string(must(json.Marshal(good))(t))
	if got := must(ParseState([]byte(text)))(t); *got != *good {
		t.Errorf("%+v, want %+v", got, good)
	}
	for _, bad := range []string{
		"", "{}", "null", "[]", text + "x", text + text,
		strings.Replace(text, `"version":1`, `"version":2`, 1),
		strings.Replace(text, `"principals":3`, `"principals":0`, 1),
		strings.Replace(text, `"principals":3`, `"principals":-3`, 1),
		strings.Replace(text, good.Digest, good.Digest[2:], 1),
		strings.Replace(text, `"sender"`, `"sander"`, 1),
		strings.Replace(text, "1970-", "2970-", 1),
		text + strings.Repeat(" ", maxStateSize),
	} {
		if got, err := ParseState([]byte(bad)); err == nil {
			t.Errorf("%.200q is taken: %+v", bad, got)
		}
	}
}

// FuzzParseState: what is taken holds what the guards rely on, and survives
// being written.
func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"version":1,"digest":"` + strings.Repeat("ab", 32) + `","time":"2026-11-22T12:00:00Z","sender":"host/a@B",` +
		`"principals":3,"policies":0,"bytes":100,"newest_change":"2026-11-22T11:00:00Z","file":{"size":100,"mtime_ns":5}}`))
	f.Add([]byte(`{"version":1,"principals":1e99}`))
	f.Add([]byte(`{"newest_change":"9999-12-31T23:59:59Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseState(data)
		if err != nil {
			return
		}
		if s.Principals < 1 || len(s.Digest) != 64 {
			t.Fatalf("%+v", s)
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		// Its own escaping may lengthen a name.
		if got, err := ParseState(again); err != nil && len(again) <= maxStateSize || err == nil && !got.Time.Equal(s.Time) {
			t.Fatalf("%v: %s", err, again)
		}
	})
}

// FuzzParseMark: what is taken names a dump.
func FuzzParseMark(f *testing.F) {
	f.Add([]byte(`{"dump":"next","expires":"2026-11-22T12:00:00Z"}`))
	f.Add([]byte(`{"dump":"0123456789abcdef","expires":"2026-11-22T12:00:00Z"}`))
	f.Add([]byte(`{"dump":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMark(data)
		if err == nil && m.Dump != nextDump && len(m.Dump) < 8 {
			t.Fatalf("%+v", m)
		}
	})
}

// TestStateLeavesNoHalf: a state that cannot take its place leaves nothing behind.
func TestStateLeavesNoHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	ok(t, os.Mkdir(path, 0o700)) // which no file replaces
	if err := writeJSON(path, &State{}); err == nil {
		t.Fatal("a directory was replaced")
	}
	if _, err := os.Lstat(path + tempSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", path+tempSuffix, err)
	}
}
