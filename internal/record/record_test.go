package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/internal/status"
)

const realm = "EXAMPLE.COM"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openAt(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func openNew(t testing.TB, o Options) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "state", "kprop.db"), o)
}

// finish records an attempt that began i seconds after noon.
func finish(t testing.TB, s *Store, realm, name string, i int) uint64 {
	t.Helper()
	a := &status.Attempt{Realm: realm, Replica: name, Started: noon.Add(time.Duration(i) * time.Second), OK: i%2 == 0, Bytes: int64(i), Seconds: 0.5}
	must(t, s.Finish(realm, name, Replica{Failures: i}, a))
	return a.ID
}

func ids(attempts []status.Attempt) string {
	var list []string
	for _, a := range attempts {
		list = append(list, fmt.Sprint(a.ID))
	}
	return strings.Join(list, " ")
}

func TestStateComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "kprop.db")
	vienna := time.FixedZone("CET", 3600)
	r := Realm{Database: status.Database{Digest: "ab12", Serial: 7, Principals: 20, Bytes: 1 << 40, Changed: noon}, NextRun: noon.Add(time.Minute).In(vienna), LastRun: noon}
	p := Replica{
		Paused: true, Failures: 3, FailingSince: noon.In(vienna),
		Holds:   &status.Holding{Digest: "ab12", Serial: 6, Time: noon.In(vienna), Seconds: 1.5},
		Last:    &status.Attempt{ID: 5, Replica: "kdc2", Started: noon.In(vienna), Stages: []status.Stage{{Name: "send", Seconds: 0.25}}, Findings: []status.Finding{{Problem: "p", Remedy: []string{"a", "b"}}}},
		Pending: &Pending{Run: 9, Reason: status.ByChange, Started: noon.In(vienna), Digest: "cd", Serial: 7},
	}
	s, err := Open(path, Options{})
	must(t, err)
	must(t, s.PutRealm(realm, r))
	must(t, s.PutReplica(realm, "kdc2", p))
	if p.Holds.Time.Location() != vienna || p.Last.Started.Location() != vienna || p.Pending.Started.Location() != vienna {
		t.Error("what the caller holds was changed")
	}
	must(t, s.Close())
	must(t, s.Close())

	s = openAt(t, path, Options{})
	gotRealm, err := s.Realm(realm)
	must(t, err)
	if diff := cmp.Diff(r, gotRealm); diff != "" {
		t.Error(diff)
	}
	gotReplica, err := s.Replica(realm, "kdc2")
	must(t, err)
	if diff := cmp.Diff(p, gotReplica); diff != "" {
		t.Error(diff)
	}
	for _, at := range []time.Time{gotRealm.NextRun, gotReplica.FailingSince, gotReplica.Holds.Time, gotReplica.Last.Started, gotReplica.Pending.Started} {
		if at.Location() != time.UTC {
			t.Errorf("%v is not in UTC", at)
		}
	}
	for path, want := range map[string]os.FileMode{path: 0o600, path + ".lock": 0o600, filepath.Dir(path): 0o700 | os.ModeDir} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode(), want)
		}
	}
	if s.Damaged() != "" {
		t.Errorf("damaged: %s", s.Damaged())
	}
}

func TestUnknownIsZero(t *testing.T) {
	s := openNew(t, Options{})
	r, err := s.Realm("OTHER")
	if err != nil || r != (Realm{}) {
		t.Errorf("%+v, %v", r, err)
	}
	p, err := s.Replica("OTHER", "kdc")
	if err != nil || p != (Replica{}) {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = s.Replica("", "")
	if err != nil || p != (Replica{}) {
		t.Errorf("without names: %+v, %v", p, err)
	}
	h, err := s.History("", "", 0)
	if err != nil || len(h) != 0 {
		t.Errorf("%+v, %v", h, err)
	}
	o, err := s.Recent("OTHER", "kdc", 5)
	if err != nil || len(o) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestHistory(t *testing.T) {
	s := openNew(t, Options{})
	for i := range 4 {
		finish(t, s, realm, "kdc2", i)     // IDs 1 4 7 10
		finish(t, s, realm, "kdc20", i)    // 2 5 8 11
		finish(t, s, "EXAMPLE", "kdc2", i) // 3 6 9 12
	}
	tests := []struct {
		realm, name string
		limit       int
		want        string
	}{
		{"", "", 0, "12 11 10 9 8 7 6 5 4 3 2 1"},
		{"", "", 5, "12 11 10 9 8"},
		{realm, "", -1, "11 10 8 7 5 4 2 1"},
		{realm, "kdc2", 0, "10 7 4 1"},
		{realm, "kdc2", 2, "10 7"},
		{"", "kdc2", 0, "12 10 9 7 6 4 3 1"},
		{"EXAMPLE", "", 0, "12 9 6 3"},
		{"EXAMPLE", "kdc20", 0, ""},
		{"", "kdc", 0, ""},
	}
	for _, test := range tests {
		h, err := s.History(test.realm, test.name, test.limit)
		if err != nil || ids(h) != test.want {
			t.Errorf("%q %q %d: %s, %v, want %s", test.realm, test.name, test.limit, ids(h), err, test.want)
		}
	}
	for range 150 {
		finish(t, s, realm, "kdc2", 1)
	}
	if h, err := s.History("", "", 0); err != nil || len(h) != 100 {
		t.Errorf("without a limit %d come, %v", len(h), err)
	}
}

func TestFinish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kprop.db")
	s := openAt(t, path, Options{Keep: 3})
	held := &status.Holding{Digest: "ab"}
	a := &status.Attempt{ID: 77, Replica: "kdc2", Started: noon, OK: true, Bytes: 5, Seconds: 2}
	must(t, s.Finish(realm, "kdc2", Replica{Holds: held}, a))
	if a.ID != 1 {
		t.Errorf("ID %d, want 1", a.ID)
	}
	r, err := s.Replica(realm, "kdc2")
	must(t, err)
	if diff := cmp.Diff(Replica{Holds: held, Last: a}, r); diff != "" {
		t.Error(diff)
	}
	for i := range 5 {
		finish(t, s, realm, "kdc2", i)
		finish(t, s, realm, "kdc3", i)
	}
	h, err := s.History(realm, "kdc2", 0)
	must(t, err)
	if ids(h) != "10 8 6" {
		t.Errorf("kept: %s", ids(h))
	}
	o, err := s.Recent(realm, "kdc2", 2)
	must(t, err)
	want := []status.Outcome{{Time: noon.Add(3 * time.Second), Seconds: 0.5, Bytes: 3}, {Time: noon.Add(4 * time.Second), OK: true, Seconds: 0.5, Bytes: 4}}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Error(diff)
	}
	s.SetKeep(1)
	finish(t, s, realm, "kdc2", 6)
	h, err = s.History("", "", 0)
	must(t, err)
	if ids(h) != "12 11 9 7" {
		t.Errorf("after a smaller limit: %s", ids(h))
	}
	s.SetKeep(0)
	if got := s.keep.Load(); got != DefaultKeep {
		t.Errorf("keep %d", got)
	}
}

func TestNumbersAscendOverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kprop.db")
	var run, id uint64
	for range 3 {
		s, err := Open(path, Options{})
		must(t, err)
		for range 3 {
			n, err := s.NextRun()
			must(t, err)
			got := finish(t, s, realm, "kdc2", 0)
			if n <= run || got <= id {
				t.Fatalf("run %d after %d, attempt %d after %d", n, run, got, id)
			}
			run, id = n, got
			must(t, s.Forget(realm, nil, false))
		}
		must(t, s.Close())
	}
}

func TestForget(t *testing.T) {
	s := openNew(t, Options{})
	for _, r := range []string{realm, "B"} {
		must(t, s.PutRealm(r, Realm{LastRun: noon}))
		for _, name := range []string{"kdc2", "kdc3", "kdc4"} {
			for i := range 20 {
				finish(t, s, r, name, i)
			}
		}
	}
	state := func() string {
		var have []string
		for _, r := range []string{realm, "B"} {
			if got, err := s.Realm(r); err != nil || !got.LastRun.IsZero() {
				have = append(have, r)
			}
			for _, name := range []string{"kdc2", "kdc3", "kdc4"} {
				got, err := s.Replica(r, name)
				must(t, err)
				h, err := s.History(r, name, 0)
				must(t, err)
				if got.Last != nil || len(h) > 0 {
					have = append(have, fmt.Sprintf("%s/%d", name, len(h)))
				}
			}
		}
		return strings.Join(have, " ")
	}
	if names, err := s.Realms(); err != nil || !slices.Equal(names, []string{"B", realm}) {
		t.Errorf("realms %v, %v", names, err)
	}
	must(t, s.Forget(realm, []string{"kdc3", "kdc9"}, false))
	if got := state(); got != "EXAMPLE.COM kdc3/20 B kdc2/20 kdc3/20 kdc4/20" {
		t.Error(got)
	}
	must(t, s.ForgetRealms([]string{realm, "C"}))
	if got := state(); got != "EXAMPLE.COM kdc3/20" {
		t.Error(got)
	}
	must(t, s.ForgetRealms(nil))
	if got := state(); got != "" {
		t.Error(got)
	}
	if got := finish(t, s, realm, "kdc2", 0); got != 121 {
		t.Errorf("the IDs go on with %d", got)
	}
}

func TestRefusedInput(t *testing.T) {
	s := openNew(t, Options{})
	long := strings.Repeat("n", MaxName+1)
	far := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"no realm", s.PutRealm("", Realm{}), "the name of the realm is empty"},
		{"no replica", s.PutReplica(realm, "", Replica{}), "the name of the replica is empty"},
		{"NUL", s.Finish("A\x00B", "k", Replica{}, &status.Attempt{}), "NUL"},
		{"long", s.PutRealm(long, Realm{}), "1025 bytes"},
		{"long too", s.PutReplica(realm, long, Replica{}), "1025 bytes"},
		{"large realm", s.PutRealm(realm, Realm{Database: status.Database{Digest: strings.Repeat("a", MaxState)}}), "at most 32768"},
		{"large replica", s.PutReplica(realm, "k", Replica{Pending: &Pending{Digest: strings.Repeat("a", MaxState)}}), "at most 32768"},
		{"large replica at the end", s.Finish(realm, "k", Replica{Pending: &Pending{Digest: strings.Repeat("a", MaxState)}}, &status.Attempt{}), "at most 32768"},
		{"a time that JSON cannot say", s.Finish(realm, "k", Replica{}, &status.Attempt{Started: far}), "year"},
		{"the same in a state", s.PutReplica(realm, "k", Replica{FailingSince: far}), "year"},
	}
	for _, test := range tests {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) || !strings.Contains(test.err.Error(), s.path) {
			t.Errorf("%s: %v, want %q and the path", test.name, test.err, test.want)
		}
	}
	if got := finish(t, s, realm, "k", 0); got != 1 {
		t.Errorf("a refused attempt took an ID: the next is %d", got)
	}
}

func TestClosed(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "kprop.db"), Options{})
	must(t, err)
	must(t, s.Close())
	_, errRealm := s.Realm(realm)
	_, errHistory := s.History("", "", 0)
	_, errRun := s.NextRun()
	a := &status.Attempt{ID: 4}
	for _, err := range []error{errRealm, errHistory, errRun, s.PutRealm(realm, Realm{}), s.Finish(realm, "k", Replica{}, a)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
	}
	if a.ID != 0 {
		t.Errorf("ID %d of what was not recorded", a.ID)
	}
}

func TestUnreadableValuesAreAbsent(t *testing.T) {
	s := openNew(t, Options{})
	must(t, s.PutRealm(realm, Realm{LastRun: noon}))
	for i := range 3 {
		finish(t, s, realm, "kdc2", i)
	}
	must(t, s.update(spoil))
	if r, err := s.Realm(realm); err != nil || r != (Realm{}) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := s.Replica(realm, "kdc2"); err != nil || r != (Replica{}) {
		t.Errorf("%+v, %v", r, err)
	}
	h, err := s.History("", "", 0)
	if err != nil || ids(h) != "3 1" {
		t.Errorf("%s, %v", ids(h), err)
	}
	if o, err := s.Recent(realm, "kdc2", 9); err != nil || len(o) != 2 {
		t.Errorf("%v, %v", o, err)
	}
}
