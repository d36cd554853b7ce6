package schedule

import (
	"testing"
	"time"

	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

func TestFirstRun(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		begun := time.Now()
		w.start()
		w.sleep(time.Second)
		for _, name := range []string{"kdc2", "kdc3"} {
			r := w.want(name, status.Current)
			if r.Last == nil || r.Last.Reason != status.ByStart || r.Last.ID == 0 || r.Holds.Digest != "first" || r.Holds.Serial != 1 {
				t.Errorf("%s: last %+v, holds %+v", name, r.Last, r.Holds)
			}
			same(t, "next run", r.NextRun, begun.Add(5*time.Minute).UTC())
		}
		realm := w.status(realmA)
		same(t, "runs", realm.Runs, map[string]uint64{"start": 1})
		same(t, "dumps", len(w.bases[realmA].dumps()), 1)
		if !realm.LastRun.Equal(begun) || realm.Database.Serial != 1 || realm.Phase != "" || len(realm.Stages) != 2 {
			t.Errorf("realm: %+v", realm)
		}
		for _, c := range w.svc.Checks() {
			if !c.OK {
				t.Errorf("check %+v", c)
			}
		}
	})
}

// What was sent counts once, also where the replica did not get all of it.
func TestBytesSent(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@every 1h")
		w.realm(realmA).Retry.Initial = time.Hour
		w.start()
		w.sleep(time.Second)
		same(t, "first", w.replica("kdc2").Counters.Bytes, 1000)
		w.ask(control.NowRequest{Unchanged: true})
		w.sleep(time.Second)
		same(t, "again", w.replica("kdc2").Counters.Bytes, 2000)
		w.host("kdc2").set(func(h *host) { h.breaks = true })
		w.ask(control.NowRequest{Unchanged: true})
		w.sleep(time.Second)
		r := w.want("kdc2", status.Failing)
		same(t, "half", r.Counters.Bytes, 2500)
		same(t, "of the attempt", r.Last.Bytes, 500)
	})
}

func TestRestart(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Second)
		w.restart()
		w.sleep(time.Second)
		r := w.want("kdc2", status.Current)
		same(t, "attempts", len(w.host("kdc2").attempts()), 1)
		same(t, "skipped", w.status(realmA).Skipped, map[string]uint64{"unchanged": 1})
		same(t, "of the replica", r.Counters.Skipped, map[string]uint64{"unchanged": 1})
		same(t, "recent", len(r.Recent), 1)

		// Four scheduled runs pass while it does not run. One is caught up.
		w.stop()
		w.sleep(21 * time.Minute)
		w.bases[realmA].set("second")
		w.start()
		w.sleep(time.Second)
		if r := w.want("kdc2", status.Current); r.Last.Reason != status.ByMissed {
			t.Errorf("last %+v", r.Last)
		}
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
		same(t, "runs", w.status(realmA).Runs, map[string]uint64{"missed": 1})
	})
}

// The pace of the schedule is kept over days, and an unchanged database is sent
// again only once a day.
func TestDaysOfTicks(t *testing.T) {
	for _, c := range []struct {
		spec  string
		ticks int // in three days
	}{
		{"@every 1h", 72},
		{"30 */6 * * *", 12},
		{"@daily", 3},
	} {
		t.Run(c.spec, func(t *testing.T) {
			inWorld(t, []string{"kdc2"}, func(w *world) {
				w.realm(realmA).Schedule = every(t, c.spec)
				w.start()
				w.sleep(72*time.Hour + time.Second)
				same(t, "dumps", len(w.bases[realmA].dumps()), c.ticks+1)
				schedule := w.realm(realmA).Schedule
				begun := w.bases[realmA].dumps()
				for i, at := range begun[1:] {
					if i > 0 && !at.Truncate(time.Second).Equal(schedule.Next(begun[i])) {
						t.Errorf("dump %d at %v, the one before at %v", i, at, begun[i])
					}
				}
				got := len(w.host("kdc2").attempts())
				if got < 2 || got > 4 { // @daily comes a moment before a day has passed
					t.Errorf("sent %d times in three days", got)
				}
				same(t, "skipped", w.status(realmA).Skipped["unchanged"], uint64(c.ticks+1-got))
				w.want("kdc2", status.Current)
			})
		})
	}
}

func TestRefreshNever(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).Refresh = 0
		w.realm(realmA).Schedule = every(t, "@every 6h")
		w.start()
		w.sleep(10 * 24 * time.Hour)
		same(t, "attempts", len(w.host("kdc2").attempts()), 1)
	})
}

// A tick while a dump is under way is served by that dump, for those that take
// part in it, and is no run of its own.
func TestTickDuringDump(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.bases[realmA].takes(6 * time.Minute)
		w.start()
		w.sleep(7 * time.Minute)
		w.want("kdc2", status.Current)
		same(t, "skipped", w.status(realmA).Skipped, map[string]uint64{"overlap": 1})
		same(t, "dumps", len(w.bases[realmA].dumps()), 1)
		w.sleep(3*time.Minute + time.Second)
		same(t, "dumps", len(w.bases[realmA].dumps()), 2)
	})
}

func TestTwoRealms(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		b := w.addRealm(realmB, "b2", "kdc2") // the same host in both
		b.Schedule = every(t, "@every 1m")
		w.bases[realmA].takes(time.Hour) // one that hangs
		w.start()
		w.sleep(2*time.Minute + 30*time.Second)
		same(t, "dumps of A", len(w.bases[realmA].dumps()), 1)
		same(t, "dumps of B", len(w.bases[realmB].dumps()), 3)
		same(t, "phase", w.status(realmA).Phase, "dump")
		w.want("b2", status.Current)
		w.change(realmB, "second")
		w.sleep(3 * time.Second)
		same(t, "contents", w.host("b2").contents(), []string{"first", "second"})
	})
}

// A realm whose replicas all have schedules of their own has no overlaps.
func TestOwnSchedules(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.replicaConfig("kdc3").Schedule = every(t, "@every 1h")
		w.start()
		w.sleep(time.Second)
		w.want("kdc3", status.Current)
		w.change(realmA, "second")
		w.sleep(10 * time.Minute)
		w.want("kdc2", status.Current)
		r := w.want("kdc3", status.Behind)
		if r.Overdue || r.Behind != 1 || r.LagSeconds < 500 {
			t.Errorf("kdc3: %+v", r)
		}
		same(t, "next", r.NextRun.Sub(w.svc.started.UTC()), time.Hour)
		w.sleep(50 * time.Minute)
		w.want("kdc3", status.Current)
		same(t, "contents", w.host("kdc3").contents(), []string{"first", "second"})

		// At a restart it waits for its turn, unless that was missed.
		w.change(realmA, "third")
		w.restart()
		w.sleep(time.Minute)
		w.want("kdc2", status.Current)
		w.want("kdc3", status.Behind)
		w.stop()
		w.sleep(2 * time.Hour)
		w.start()
		w.sleep(time.Second)
		w.want("kdc3", status.Current)
	})
}

func TestOnlyOwnSchedules(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.replicaConfig("kdc2").Schedule = every(t, "@every 1h")
		w.start()
		w.sleep(30 * time.Minute)
		same(t, "skipped", w.status(realmA).Skipped["overlap"], 0)
		w.login(realmA)
		w.sleep(time.Minute)
		same(t, "dumps", len(w.bases[realmA].dumps()), 1)
	})
}

// Ticks that come faster than the jitter lets them begin must not put it off for ever.
func TestJitter(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@every 1m")
		w.realm(realmA).Jitter = 100 * time.Hour
		w.start()
		w.sleep(10 * time.Hour)
		if n := len(w.bases[realmA].dumps()); n < 2 {
			t.Errorf("%d dumps", n)
		}
	})
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@every 1h")
		w.realm(realmA).Jitter = 10 * time.Minute
		w.start()
		start := time.Now()
		w.sleep(20*time.Hour + 10*time.Minute)
		begun := w.bases[realmA].dumps()
		same(t, "dumps", len(begun), 21)
		late := time.Duration(0)
		for i, at := range begun[1:] {
			d := at.Sub(start.Add(time.Duration(i+1) * time.Hour))
			if d < 0 || d > 10*time.Minute {
				t.Errorf("run %d is late by %v", i, d)
			}
			late += d
		}
		if late == 0 {
			t.Error("no jitter")
		}
	})
}

// Where the schedule has one run a day, it is that which refreshes each day,
// though the last success was a moment less than a day ago.
func TestRefreshOnceADay(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).Schedule = every(t, "@daily")
		w.start()
		w.sleep(5*24*time.Hour + time.Hour)
		same(t, "attempts", len(w.host("kdc2").attempts()), 6)
	})
}
