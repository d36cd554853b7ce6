package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// keep has the server keep a dump with the content, as after a load.
func keep(t *testing.T, s *Server, content []byte, at time.Time) {
	t.Helper()
	temp := s.o.File + ".temp"
	ok(t, os.WriteFile(temp, content, 0o600))
	st := stateOf(t, s, content)
	st.Time = at.UTC()
	st.File = must(fileID(temp))(t)
	ok(t, st.write(s.o.File+stateSuffix))
	core, logs := observer.New(zap.InfoLevel)
	later := s.keepDump(temp, st, zap.New(core))
	ok(t, os.Rename(temp, s.o.File))
	later()
	for _, e := range logs.All() {
		t.Errorf("%s: %v", e.Message, e.ContextMap())
	}
}

// newest describes the history by the number of principals of each.
func newest(t *testing.T, s *Server) string {
	t.Helper()
	var out []string
	for i, k := range must(History(s.o))(t) {
		if k.Number != i+1 {
			t.Errorf("number %d at %d", k.Number, i)
		}
		mark := ""
		if k.Loaded {
			mark = "*"
		}
		out = append(out, fmt.Sprint(k.Principals, mark))
	}
	return strings.Join(out, " ")
}

func TestHistory(t *testing.T) {
	s := testServer(t)
	s.o.Keep = 3
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	if got := newest(t, s); got != "" {
		t.Errorf("without a directory: %q", got)
	}
	users := []uint32{}
	for i, want := range []string{"3*", "4* 3", "5* 4 3", "6* 5 4", "7* 6 5"} {
		users = append(users, uint32(i+1))
		keep(t, s, testDump(t, users...), start.Add(time.Duration(i)*time.Second))
		if got := newest(t, s); got != want {
			t.Errorf("after %d: %q, want %q", i+1, got, want)
		}
	}
	dir := s.o.File + historySuffix
	if st := must(os.Stat(dir))(t); st.Mode() != os.ModeDir|0o700 {
		t.Errorf("the directory has mode %v", st.Mode())
	}
	entries := must(os.ReadDir(dir))(t)
	if len(entries) != 6 {
		t.Errorf("%d files, want 6: %v", len(entries), entries)
	}
	for _, e := range entries {
		if st := must(e.Info())(t); st.Mode() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), st.Mode())
		}
	}
	list := must(History(s.o))(t)
	if !os.SameFile(must(os.Stat(list[0].Path))(t), must(os.Stat(s.o.File))(t)) {
		t.Error("the newest is a copy")
	}
	if k := must(Previous(list))(t); k.Number != 2 {
		t.Errorf("the one before is %d", k.Number)
	}
	// The same again counts once; so does it when it comes back.
	keep(t, s, testDump(t, users...), start.Add(time.Minute))
	if got := newest(t, s); got != "7* 6 5" {
		t.Errorf("after the same again: %q", got)
	}
	keep(t, s, testDump(t, users[:4]...), start.Add(2*time.Minute))
	if got := newest(t, s); got != "6* 7 5" {
		t.Errorf("after one that was there: %q", got)
	}
	ok(t, os.WriteFile(filepath.Join(dir, "readme"), nil, 0o600))
	s.o.Keep = 0
	keep(t, s, testDump(t, users...), start.Add(3*time.Minute))
	if entries := must(os.ReadDir(dir))(t); len(entries) != 1 || entries[0].Name() != "readme" {
		t.Errorf("with keep 0 there is %v", entries)
	}
}

// TestHistoryOddities: what is not a whole entry is no entry, and goes with the
// next propagation.
func TestHistoryOddities(t *testing.T) {
	s := testServer(t)
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	keep(t, s, testDump(t, 1), start)
	dir := s.o.File + historySuffix
	for name, text := range map[string]string{"a.json": "{}", "b.dump": "x", "c.temp": "keys", "d.json": ""} {
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if got := newest(t, s); got != "3*" {
		t.Errorf("%q", got)
	}
	// Another process may be about to add the other half.
	keep(t, s, testDump(t, 1, 2), start.Add(time.Second))
	if entries := must(os.ReadDir(dir))(t); len(entries) != 8 {
		t.Errorf("%v", entries)
	}
	h := s.history()
	h.spare = 0
	ok(t, h.prune())
	if entries := must(os.ReadDir(dir))(t); len(entries) != 4 {
		t.Errorf("%v", entries)
	}
	ok(t, os.Remove(s.o.File+stateSuffix))
	if got := newest(t, s); got != "4 3" {
		t.Errorf("without a state: %q", got)
	}
	if k, err := Previous(must(History(s.o))(t)); err == nil {
		t.Errorf("without a state %+v is the one before", k)
	}
}

// TestHistoryNeverFails: a history that cannot be kept is logged.
func TestHistoryNeverFails(t *testing.T) {
	s := testServer(t)
	ok(t, os.WriteFile(s.o.File+historySuffix, nil, 0o600))
	text := testDump(t, 1)
	ok(t, os.WriteFile(s.o.File, text, 0o600))
	core, logs := observer.New(zap.InfoLevel)
	s.keepDump(s.o.File, stateOf(t, s, text), zap.New(core))()
	if logs.FilterMessageSnippet("the history of dumps could not be kept").Len() == 0 {
		t.Error("nothing is logged")
	}
}

func TestHistoryGivesUp(t *testing.T) {
	s := testServer(t)
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		keep(t, s, testDump(t, make([]uint32, i+1)...), start.Add(time.Duration(i)*time.Second))
	}
	h := s.history()
	if gone := h.giveUp(1 << 40); len(gone) != 0 || newest(t, s) != "5* 4 3" {
		t.Errorf("%v is removed though it does not help", gone)
	}
	if gone := h.giveUp(1); len(gone) != 1 || newest(t, s) != "5* 4" {
		t.Errorf("%v is removed, left is %s", gone, newest(t, s))
	}
	// The one that is loaded takes no room of its own.
	if gone := h.giveUp(4097); len(gone) != 0 {
		t.Errorf("%v is removed", gone)
	}
}

func TestHistoryCopy(t *testing.T) {
	s := testServer(t)
	text := testDump(t, 1)
	ok(t, os.WriteFile(s.o.File, text, 0o600))
	st := stateOf(t, s, text)
	st.File = must(fileID(s.o.File))(t)
	h := s.history()
	ok(t, h.prepare())
	ok(t, h.copy(s.o.File, st))
	if got := newest(t, s); got != "3" {
		t.Errorf("%q", got)
	}
	ok(t, os.WriteFile(s.o.File, append(text, '\n'), 0o600))
	if err := h.copy(s.o.File, st); err == nil {
		t.Error("another file is copied")
	}
}
