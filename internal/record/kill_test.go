package record

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// TestKill kills a program that writes as fast as it can, again and again on
// the same record, at random moments from its very start.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kprop.db")
	random := rand.New(rand.NewPCG(3, 1))
	have := make(map[string][]uint64)
	var run uint64
	// A slow machine writes less before each kill, and so needs more of them.
	for round := 0; round < 40 || round < 1000 && fewest(have) < 40; round++ {
		cmd, out := helper(t, "write", path)
		if round%4 != 0 { // else perhaps while it opens the record
			out.Scan()
		}
		timer := time.AfterFunc(time.Duration(random.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		n, other := promised(out, have)
		if err := cmd.Wait(); err == nil || other != "" {
			t.Fatalf("round %d: the helper ended by itself: %v %s", round, err, other)
		}
		timer.Stop()
		run = max(run, n)
		s, err := Open(path, Options{})
		must(t, err)
		checkPromised(t, s, have, run)
		must(t, s.Close())
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	for name, list := range have {
		t.Logf("%s: %d attempts", name, len(list))
		if len(list) < 40 {
			t.Errorf("%s: only %d attempts were written", name, len(list))
		}
	}
}

// fewest is how many attempts were promised of the replica that has the fewest.
func fewest(have map[string][]uint64) int {
	if len(have) == 0 {
		return 0
	}
	lengths := slices.Collect(maps.Values(have))
	return len(slices.MinFunc(lengths, func(a, b []uint64) int { return len(a) - len(b) }))
}

// checkPromised looks whether all attempts that were said to be recorded are,
// the last for each replica by its number, and whether the numbers go on.
func checkPromised(t *testing.T, s *Store, have map[string][]uint64, run uint64) {
	t.Helper()
	if s.Damaged() != "" {
		t.Errorf("damaged: %s", s.Damaged())
	}
	var highest uint64
	for name, list := range have {
		id := list[len(list)-1]
		h, err := s.History(realm, name, 1000)
		must(t, err)
		r, err := s.Replica(realm, name)
		must(t, err)
		if len(h) == 0 || h[0].ID < id || len(h) < min(len(list), 20) || len(h) > 20 {
			t.Errorf("%s: attempt %d was recorded, found %s", name, id, ids(h))
			continue
		}
		for i, a := range h {
			if i > 0 && a.ID >= h[i-1].ID || a.Replica != name || len(a.Error) != int(a.Run*37%9000) {
				t.Errorf("%s: attempt %d after %d is %.100v", name, a.ID, h[max(i-1, 0)].ID, a)
			}
		}
		for _, id := range list {
			kept := slices.ContainsFunc(h, func(a status.Attempt) bool { return a.ID == id })
			if id >= h[len(h)-1].ID && !kept {
				t.Errorf("%s: attempt %d was recorded, and is lost: %s", name, id, ids(h))
			}
		}
		switch {
		case r.Pending != nil && r.Pending.Run > h[0].Run: // killed in its middle
		case r.Last == nil || r.Last.ID != h[0].ID || r.Failures != int(h[0].Run):
			t.Errorf("%s: state and history differ: %+v, %v", name, r, h[0].ID)
		}
		highest = max(highest, h[0].ID)
	}
	a := &status.Attempt{}
	must(t, s.Finish("OTHER", "kdc", Replica{}, a))
	next, err := s.NextRun()
	must(t, err)
	if a.ID <= highest || next <= run {
		t.Errorf("the numbers go on with attempt %d and run %d after %d and %d", a.ID, next, highest, run)
	}
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kprop.db")
	s, err := Open(path, Options{})
	must(t, err)
	for i := range 50 {
		finish(t, s, realm, "kdc3", i)
	}
	must(t, s.Close())
	cmd, out := helper(t, "starve", path)
	var lines []string
	for out.Scan() {
		lines = append(lines, out.Text())
	}
	if err := cmd.Wait(); err != nil || len(lines) != 3 {
		t.Fatalf("%v %q", err, lines)
	}
	var before int
	for i, line := range lines {
		var failures, kept int
		if _, err := fmt.Sscanf(line, "%d %d <nil> <nil>", &failures, &kept); err != nil || failures != kept {
			t.Errorf("%v: %s", err, line)
		}
		if i < 2 && (!strings.Contains(line, path) || !strings.Contains(line, "file too large")) {
			t.Errorf("the error does not say what is the matter: %s", line)
		}
		if got := kept - before; (i == 0) != (got > 0 && got < 100) || (i == 1) != (got == 0) || (i == 2) != (got == 100) {
			t.Errorf("with limit %d, %d attempts were recorded: %s", i, got, line)
		}
		before = kept
	}
	s = openAt(t, path, Options{})
	h, err := s.History(realm, "kdc3", 100)
	must(t, err)
	if len(h) != 50 || s.Damaged() != "" {
		t.Errorf("%d attempts, damaged %q", len(h), s.Damaged())
	}
}

// TestCreateLeavesNothingHalf looks at the file while it is made: there is none,
// or a whole one.
func TestCreateLeavesNothingHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kprop.db")
	must(t, os.WriteFile(path+".new", []byte("from a crash"), 0o600))
	must(t, os.WriteFile(path, nil, 0o600))
	s := openAt(t, path, Options{})
	finish(t, s, realm, "kdc2", 0)
	if _, err := os.Stat(path + ".new"); err == nil || s.Damaged() != "" {
		t.Errorf("%v, %q", err, s.Damaged())
	}
}
