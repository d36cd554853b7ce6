package schedule

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kprop/kprop/internal/status"
)

func TestRunsAreForgotten(t *testing.T) {
	var r runs
	e := &realm{name: realmA}
	for i := range 3 * maxRuns {
		x := &run{realm: e}
		if i%3 == 0 {
			x.id = uint64(i + 10) // of the state file, which then fails
		}
		r.add(x)
		if got := r.get(x.id); got != x {
			t.Fatalf("run %d is %+v", x.id, got)
		}
	}
	same(t, "kept", len(r.byID), maxRuns)
	same(t, "kept", len(r.ids), maxRuns)
	if r.get(1) != nil || r.get(10) != nil {
		t.Error("the first is still there")
	}
}

// The state file gives a number that was used while it could not be asked.
func TestRunNumbersAreUnique(t *testing.T) {
	var r runs
	e := &realm{name: realmA}
	seen := map[uint64]bool{}
	for _, id := range []uint64{10, 0, 0, 11, 12, 13, 14, 0, 15} {
		x := &run{realm: e, id: id}
		r.add(x)
		if seen[x.id] || r.get(x.id) != x {
			t.Errorf("run %d became %d, which is taken", id, x.id)
		}
		seen[x.id] = true
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := bytes.Repeat([]byte("x"), 10_000)
		begun := time.Now()
		got, err := io.ReadAll(limited(t.Context(), bytes.NewReader(data), 1000))
		if err != nil || len(got) != len(data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(begun); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("10 kB at 1 kB/s took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := io.ReadAll(limited(ctx, bytes.NewReader(data), 1000)); err == nil {
			t.Error("no error after the end")
		}
		if r := io.Reader(strings.NewReader("")); limited(t.Context(), r, 0) != r {
			t.Error("a limit where there is none")
		}
	})
}

func TestFileName(t *testing.T) {
	for realm, want := range map[string]string{
		"EXAMPLE.COM": "EXAMPLE.COM.dump", "../x": "..%2Fx.dump", "100%": "100%25.dump", "a\x00b": "a%00b.dump", "..": "...dump",
	} {
		same(t, realm, fileName(realm), want)
	}
	if got := kdb5Util("/opt/kdb5_util"); got != "/opt/kdb5_util" {
		t.Errorf("kdb5_util: %s", got)
	}
}

// A dump at a place of somebody's choice is not ours to remove.
func TestDiscard(t *testing.T) {
	for _, own := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "dump")
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, (&source{path: path, own: own}).discard())
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) != own {
			t.Errorf("own %t: %v", own, err)
		}
		must(t, (&source{path: path, own: own}).discard()) // it need not be there
	}
}

func TestContextReader(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r := &contextReader{ctx, strings.NewReader("text")}
	var b [2]byte
	if n, err := r.Read(b[:]); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	cancel(errStopped)
	if _, err := r.Read(b[:]); !errors.Is(err, errStopped) {
		t.Errorf("%v", err)
	}
}

// The weightiest reason of a run is that of the run; each replica has its own.
func TestReasons(t *testing.T) {
	r := &replica{}
	for _, c := range []struct{ reason, want status.Reason }{
		{status.ByRetry, status.ByRetry}, {status.ByChange, status.ByChange}, {status.ByRetry, status.ByChange},
		{status.BySchedule, status.BySchedule}, {status.ByMissed, status.BySchedule}, {status.ByRequest, status.ByRequest},
		{status.ByStart, status.ByRequest},
	} {
		r.want(c.reason)
		same(t, string(c.reason), r.wanted, c.want)
	}
}

// An error names those that exist, within reason.
func TestUnknownReplicas(t *testing.T) {
	var names []string
	for i := range 30 {
		names = append(names, "kdc"+string(rune('A'+i)))
	}
	inWorld(t, names, func(w *world) {
		w.start()
		_, err := w.svc.Now(t.Context(), nowFor("nobody"))
		if err == nil || !strings.Contains(err.Error(), "and 10 more") {
			t.Errorf("%v", err)
		}
	})
}
