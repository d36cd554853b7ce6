package schedule

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/transport"
)

// TestSpoiltDump: when somebody writes into a dump that is being sent, what is
// sent next is a new one, though the database has not changed.
func TestSpoiltDump(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.host("kdc2").fail(fmt.Errorf("kprop: %w", transport.ErrSizeChanged))
		w.start()
		w.sleep(time.Second)
		w.want("kdc2", status.Failing)
		same(t, "dumps", len(w.bases[realmA].dumps()), 1)
		w.host("kdc2").fail(nil)
		w.sleep(10 * time.Second)
		w.want("kdc2", status.Current)
		same(t, "dumps after it", len(w.bases[realmA].dumps()), 2)
	})
}

func TestRetries(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.host("kdc3").fail(errRefused)
		w.start()
		start := time.Now()
		tick := start.Add(5 * time.Minute)
		for time.Now().Before(tick.Add(-time.Second)) {
			w.sleep(time.Second)
			r := w.want("kdc3", status.Failing)
			if r.NextRun.After(tick) {
				t.Fatalf("next run %v after the scheduled one", r.NextRun)
			}
		}
		w.want("kdc2", status.Current)
		same(t, "attempts at the other", len(w.host("kdc2").attempts()), 1)
		at := w.host("kdc3").attempts()
		// 0, 5, 10, 20, 40, 80: the next would be after the scheduled run.
		if len(at) != 6 {
			t.Fatalf("%d attempts: %v", len(at), at)
		}
		for i := 2; i < len(at); i++ {
			if at[i].Sub(at[i-1]) < 2*(at[i-1].Sub(at[i-2]))-50*time.Millisecond {
				t.Errorf("attempt %d after %v, the one before after %v", i, at[i].Sub(at[i-1]), at[i-1].Sub(at[i-2]))
			}
		}
		r := w.replica("kdc3")
		if r.Failures != 6 || r.Counters.Failed != 6 || r.Counters.Retries != 5 || r.Retry || !r.NextRun.Equal(tick) || !r.Overdue ||
			!r.FailingSince.Equal(at[0]) || r.Last.Error == "" || len(r.Last.Findings) == 0 || r.Holds != nil {
			t.Errorf("%+v", r)
		}
		if n := w.status(realmA).Runs["retry"]; n != 5 {
			t.Errorf("%d runs to retry", n)
		}

		// The scheduled run begins anew with short waits.
		w.sleep(time.Second + 20*time.Second)
		same(t, "attempts", len(w.host("kdc3").attempts()), 6+3)
		w.host("kdc3").fail(nil)
		w.sleep(20 * time.Second)
		r = w.want("kdc3", status.Current)
		if r.Failures != 0 || r.Retry || r.Overdue || r.LagSeconds != 0 || r.Counters.Succeeded != 1 || len(r.Recent) != 10 {
			t.Errorf("%+v", r)
		}
		same(t, "dumps", len(w.bases[realmA].dumps()), 2)
	})
}

// A replica that had the database is overdue only once a scheduled run has
// passed without success.
func TestOverdue(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Minute)
		w.host("kdc2").fail(errRefused)
		w.change(realmA, "second")
		w.sleep(5 * time.Minute)
		if r := w.want("kdc2", status.Failing); r.Overdue || r.Behind != 1 {
			t.Errorf("%+v", r)
		}
		w.sleep(10 * time.Second)
		if r := w.want("kdc2", status.Failing); !r.Overdue || r.LagSeconds < 300 {
			t.Errorf("%+v", r)
		}
	})
}

// What a retry sends is the newest dump.
func TestRetryIsNewest(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.host("kdc3").fail(errRefused)
		w.realm(realmA).Retry.Initial = time.Minute
		w.start()
		w.sleep(time.Second)
		w.change(realmA, "second")
		w.sleep(3 * time.Second)
		same(t, "attempts", len(w.host("kdc3").attempts()), 2)
		w.host("kdc3").fail(nil)
		w.sleep(3 * time.Minute)
		same(t, "contents", w.host("kdc3").contents(), []string{"second"})
	})
}

// A login is no reason to try a failing replica again, nor to forget its retry,
// though it is due while the login is looked at.
func TestLoginAndRetry(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@every 1h")
		w.realm(realmA).Retry.Initial = 20 * time.Second
		w.host("kdc3").fail(errRefused)
		w.start()
		w.sleep(time.Second)
		w.login(realmA)
		w.sleep(10 * time.Second)
		same(t, "dumps", len(w.bases[realmA].dumps()), 2)
		same(t, "attempts", len(w.host("kdc3").attempts()), 1)
		w.host("kdc3").fail(nil)
		w.bases[realmA].takes(10 * time.Second)
		w.sleep(4 * time.Second)
		w.login(realmA) // dumped from 17 s to 27 s
		w.sleep(20 * time.Second)
		same(t, "dumps", len(w.bases[realmA].dumps()), 3)
		w.want("kdc3", status.Current)
		same(t, "runs", w.status(realmA).Runs, map[string]uint64{"start": 1, "retry": 1})
		// Not before that dump, which might have had something new for it.
		if at := w.host("kdc3").attempts(); !at[1].After(w.bases[realmA].dumps()[2].Add(9 * time.Second)) {
			t.Errorf("attempts %v", at)
		}
	})
}

func TestSlowReplica(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3", "slow"}, func(w *world) {
		w.host("slow").hang()
		w.start()
		w.sleep(time.Second)
		w.want("kdc2", status.Current)
		w.want("kdc3", status.Current)
		w.want("slow", status.Running)
		for i, content := range []string{"second", "third"} {
			w.sleep(20 * time.Second)
			w.change(realmA, content)
			w.sleep(2*time.Second + 200*time.Millisecond)
			w.want("kdc2", status.Current)
			w.want("kdc3", status.Current)
			r := w.want("slow", status.Running)
			same(t, "busy", r.Counters.Skipped["busy"], uint64(i+1))
			if !r.Transfer.Stalled {
				t.Errorf("transfer %+v", r.Transfer)
			}
		}
		w.host("slow").release()
		w.sleep(time.Second)
		same(t, "contents", w.host("slow").contents(), []string{"first", "third"})
		same(t, "at once", w.host("slow").most, 1)
		w.want("slow", status.Current)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second", "third"})
	})
}

// While all are busy, a tick is no run.
func TestAllBusy(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.host("kdc2").hang()
		w.start()
		w.sleep(10*time.Minute + time.Second)
		realm := w.status(realmA)
		same(t, "skipped", realm.Skipped, map[string]uint64{"overlap": 2})
		same(t, "of the replica", w.replica("kdc2").Counters.Skipped, map[string]uint64{"busy": 2})
		same(t, "dumps", len(w.bases[realmA].dumps()), 1)
		// A change is dumped, and is no run either.
		w.change(realmA, "second")
		w.sleep(4 * time.Second)
		same(t, "skipped", w.status(realmA).Skipped, map[string]uint64{"overlap": 3})
		w.host("kdc2").release()
		w.sleep(time.Second)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
	})
}

// Paused and disabled replicas are no overlap.
func TestNobodyThere(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.replicaConfig("kdc3").Enabled = false
		w.start()
		w.sleep(time.Second)
		w.pause("kdc2", true)
		w.sleep(10 * time.Minute)
		same(t, "skipped", w.status(realmA).Skipped["overlap"], 0)
		same(t, "dumps", len(w.bases[realmA].dumps()), 1)
		same(t, "attempts", len(w.host("kdc3").attempts()), 0)
		w.want("kdc3", status.Disabled)
	})
}

func TestDumpFails(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Minute)
		failedAt := time.Now().Add(2 * time.Second)
		w.bases[realmA].fail(errors.New("the disk is full"))
		w.change(realmA, "second")
		w.sleep(2*time.Second + 200*time.Millisecond)
		realm := w.status(realmA)
		if realm.Error != "the disk is full" || len(realm.Findings) == 0 || realm.Phase != "" {
			t.Errorf("%+v", realm)
		}
		if r := w.replica("kdc2"); r.State != status.Current || r.Overdue {
			t.Errorf("%+v", r)
		}
		w.sleep(4 * time.Minute)
		// At 2, 7, 17, 37, 77, 157 seconds and at the tick, 238.
		same(t, "dumps", len(w.bases[realmA].dumps())-1, 7)
		w.sleep(time.Until(failedAt.Add(5*time.Minute + time.Second)))
		if r := w.replica("kdc2"); !r.Overdue {
			t.Errorf("%+v", r)
		}
		checks := w.svc.Checks()
		same(t, "check", checks[1].OK, false)
		w.bases[realmA].fail(nil)
		w.sleep(5 * time.Minute)
		realm = w.status(realmA)
		if realm.Error != "" || realm.Findings != nil {
			t.Errorf("%+v", realm)
		}
		if r := w.want("kdc2", status.Current); r.Overdue {
			t.Errorf("%+v", r)
		}
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
	})
}

// A replica that never got the database needs somebody as soon as there is no
// dump for it, not only after the next scheduled run.
func TestFirstDumpFails(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.bases[realmA].fail(errors.New("no database"))
		w.start()
		w.sleep(time.Second)
		if r := w.want("kdc2", status.Behind); !r.Overdue {
			t.Errorf("%+v", r)
		}
		w.bases[realmA].fail(nil)
		w.sleep(10 * time.Second)
		if r := w.want("kdc2", status.Current); r.Overdue {
			t.Errorf("%+v", r)
		}
	})
}

// Changes are no reason to try a dump again and again that fails.
func TestDumpFailsWhileChanging(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		r := w.realm(realmA)
		r.Settle, r.MinInterval, r.Schedule = 0, 0, every(t, "@every 1h")
		w.start()
		w.sleep(time.Second)
		w.bases[realmA].takes(time.Millisecond)
		w.bases[realmA].fail(errors.New("no kdb5_util"))
		for range 600 {
			w.change(realmA, "second")
			w.sleep(100 * time.Millisecond)
		}
		if n := len(w.bases[realmA].dumps()); n > 10 {
			t.Errorf("%d dumps in a minute", n)
		}
		w.bases[realmA].fail(nil)
		w.sleep(3 * time.Minute)
		w.want("kdc2", status.Current)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
	})
}

// Once a dump has succeeded, a change need not wait any more.
func TestDumpRecovers(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		r := w.realm(realmA)
		r.Schedule, r.Retry.Initial, r.Retry.Max = every(t, "@daily"), time.Hour, time.Hour
		w.start()
		w.sleep(time.Second)
		w.bases[realmA].fail(errors.New("no kdb5_util"))
		w.change(realmA, "second")
		w.sleep(3 * time.Second)
		w.bases[realmA].fail(nil)
		w.ask(nowFor())
		w.sleep(time.Second)
		w.change(realmA, "third")
		w.sleep(3 * time.Second)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second", "third"})
		w.sleep(2 * time.Hour)
		same(t, "skipped", w.status(realmA).Skipped, map[string]uint64{"unchanged": 1})
	})
}

// A scheduled run that jitter makes late is not yet missed.
func TestOverdueAndJitter(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).Jitter = 2 * time.Minute
		w.start()
		w.sleep(time.Second)
		w.host("kdc2").fail(errRefused)
		w.change(realmA, "second")
		w.sleep(6*time.Minute + 55*time.Second)
		if r := w.want("kdc2", status.Failing); r.Overdue {
			t.Errorf("%+v", r)
		}
		w.sleep(10 * time.Second)
		if r := w.want("kdc2", status.Failing); !r.Overdue {
			t.Errorf("%+v", r)
		}
	})
}

// A dump that failed is tried again for a replica with a schedule of its own,
// though the realm's scheduled run comes first.
func TestDumpFailsForOwnSchedule(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.realm(realmA).OnChange = false
		w.replicaConfig("kdc3").Schedule = every(t, "@every 1h")
		w.start()
		w.sleep(59 * time.Minute)
		w.bases[realmA].set("second")
		w.bases[realmA].fail(errors.New("the disk is full"))
		w.sleep(10 * time.Minute)
		w.bases[realmA].fail(nil)
		w.sleep(10 * time.Minute)
		w.want("kdc2", status.Current)
		w.want("kdc3", status.Current)
	})
}

// A transfer of which the outcome is not known is done again.
func TestPendingAfterCrash(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Second)
		w.stop()
		s, err := record.Open(w.path, record.Options{})
		must(t, err)
		kept, err := s.Replica(realmA, "kdc2")
		must(t, err)
		kept.Pending = &record.Pending{Run: 7, Reason: status.ByChange, Started: time.Now(), Digest: "first", Serial: 1}
		must(t, s.PutReplica(realmA, "kdc2", kept))
		must(t, s.Close())
		w.start()
		w.sleep(time.Second)
		same(t, "attempts", len(w.host("kdc2").attempts()), 2)
		w.want("kdc2", status.Current)
		kept, err = w.store.Replica(realmA, "kdc2")
		must(t, err)
		if kept.Pending != nil {
			t.Errorf("%+v", kept.Pending)
		}
	})
}

// What only waited for its turn when the service ended has not begun: a replica
// that has the database is not sent it again for that.
func TestWaitingHasNotBegun(t *testing.T) {
	inWorld(t, []string{"slow", "waiting"}, func(w *world) {
		w.realm(realmA).Parallel = 1
		w.start()
		w.sleep(time.Second)
		w.host("slow").set(func(h *host) { h.took = time.Minute })
		w.ask(nowFor("slow"))
		w.ask(control.NowRequest{Replicas: []string{"slow"}, Unchanged: true})
		w.sleep(200 * time.Millisecond)
		w.ask(control.NowRequest{Replicas: []string{"waiting"}, Unchanged: true})
		w.sleep(200 * time.Millisecond)
		if r := w.want("waiting", status.Running); r.Transfer.Stage != "waiting" {
			t.Fatalf("%+v", r.Transfer)
		}
		w.restart()
		w.sleep(2 * time.Minute)
		same(t, "attempts", len(w.host("waiting").attempts()), 1)
		same(t, "attempts at the slow one", len(w.host("slow").attempts()), 3)
	})
}

func TestStop(t *testing.T) {
	inWorld(t, []string{"fast", "slow", "waiting"}, func(w *world) {
		w.realm(realmA).Parallel = 2
		w.grace = 10 * time.Second
		w.host("fast").set(func(h *host) { h.took = 5 * time.Second })
		w.host("slow").set(func(h *host) { h.took = time.Minute })
		w.replicaConfig("waiting").Enabled = false
		w.start()
		w.replicaConfig("waiting").Enabled = true
		w.sleep(time.Second)
		w.reload()
		w.sleep(time.Second)
		w.want("waiting", status.Running)
		svc, begun := w.svc, time.Now()
		w.stop()
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("stopped after %v", took)
		}
		same(t, "contents", w.host("fast").contents(), []string{"first"})
		// Nothing new begins.
		same(t, "attempts", len(w.host("waiting").attempts()), 0)
		run, _ := svc.Run(1)
		if !run.Done() {
			t.Errorf("the run: %+v", run)
		}
		s, err := record.Open(w.path, record.Options{})
		must(t, err)
		for name, pending := range map[string]bool{"fast": false, "slow": true, "waiting": false} {
			kept, err := s.Replica(realmA, name)
			must(t, err)
			if kept.Pending != nil != pending || kept.Failures != 0 {
				t.Errorf("%s: %+v", name, kept)
			}
		}
		must(t, s.Close())
		w.start()
		w.sleep(2 * time.Minute)
		same(t, "attempts at fast", len(w.host("fast").attempts()), 1)
		same(t, "contents of slow", w.host("slow").contents(), []string{"first"})
		same(t, "contents of waiting", w.host("waiting").contents(), []string{"first"})
	})
}

func TestStopWhileIdle(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Second)
		svc, begun := w.svc, time.Now()
		w.stop()
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
		_, err := svc.Now(t.Context(), control.NowRequest{})
		if !errors.Is(err, control.ErrConflict) {
			t.Errorf("%v", err)
		}
	})
}

func TestStopWhileDumping(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.bases[realmA].takes(time.Hour)
		w.start()
		w.sleep(time.Second)
		begun, svc := time.Now(), w.svc
		w.stop()
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
		d := svc.Status()
		if d.Realms[0].Error != "" {
			t.Errorf("a stop is no failure: %+v", d.Realms[0])
		}
	})
}

// Every snapshot but the newest is closed once nobody sends it.
func TestSnapshotsAreClosed(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.host("kdc3").hang()
		w.start()
		for _, content := range []string{"a", "b", "c", "d"} {
			w.sleep(15 * time.Second)
			w.change(realmA, content)
		}
		w.sleep(15 * time.Second)
		users := func() (n []int) {
			e := w.engine(realmA)
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, s := range w.snapshots {
				n = append(n, s.users)
			}
			return n
		}
		same(t, "users", users(), []int{1, 0, 0, 0, 1})
		w.host("kdc3").release()
		w.sleep(time.Second)
		same(t, "users", users(), []int{0, 0, 0, 0, 1})
	})
}

func TestBackoff(t *testing.T) {
	r := config.Retry{Initial: 5 * time.Second, Max: time.Minute, Factor: 2, Jitter: 0.2}
	for _, c := range []struct {
		n      int
		random float64
		want   time.Duration
	}{
		{1, 0.5, 5 * time.Second}, {2, 0.5, 10 * time.Second}, {4, 0.5, 40 * time.Second}, {5, 0.5, time.Minute},
		{1, 0, 4 * time.Second}, {1, 1, 6 * time.Second}, {10000, 0.5, time.Minute}, {0, 0.5, 5 * time.Second},
	} {
		if got := backoff(r, c.n, c.random); (got - c.want).Abs() > time.Millisecond {
			t.Errorf("try %d: %v, want %v", c.n, got, c.want)
		}
	}
	if got := backoff(config.Retry{}, 3, 0); got <= 0 {
		t.Errorf("without a configuration: %v", got)
	}
	if got := backoff(config.Retry{Initial: time.Second, Factor: 10}, 1000, 0.5); got <= 0 {
		t.Errorf("without a limit: %v", got)
	}

}
