package schedule

import (
	"slices"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/status"
)

func TestChangeSettles(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Minute)
		begun := time.Now()
		w.change(realmA, "second")
		w.sleep(time.Second)
		w.change(realmA, "third")
		w.sleep(5 * time.Second)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "third"})
		dumps := w.bases[realmA].dumps()
		same(t, "dumps", len(dumps), 2)
		same(t, "begun after", dumps[1].Sub(begun), 3*time.Second)
		if r := w.want("kdc2", status.Current); r.Last.Reason != status.ByChange || r.Holds.Serial != 2 {
			t.Errorf("%+v", r)
		}
	})
}

// A database that changes all the time is propagated nevertheless, at most
// every min_interval.
func TestContinuousChanges(t *testing.T) {
	for _, interval := range []time.Duration{0, 10 * time.Second} {
		inWorld(t, []string{"kdc2"}, func(w *world) {
			w.realm(realmA).MinInterval = interval
			w.realm(realmA).Schedule = every(t, "@daily")
			w.start()
			w.sleep(time.Second)
			begun := time.Now()
			for i := range 1800 {
				w.change(realmA, time.Unix(int64(i), 0).String())
				w.sleep(100 * time.Millisecond)
			}
			dumps := w.bases[realmA].dumps()[1:]
			limit := max(settlesWithin*2*time.Second, interval) + 500*time.Millisecond
			for i, at := range append(dumps, time.Now()) {
				before := begun
				if i > 0 {
					before = dumps[i-1]
				}
				if gap := at.Sub(before); gap > limit || i > 0 && i < len(dumps) && gap < interval {
					t.Errorf("min_interval %v: dump %d comes %v after the one before", interval, i, gap)
				}
			}
			w.sleep(20 * time.Second)
			w.want("kdc2", status.Current)
		})
	}
}

// Logins cause no propagation, and ever fewer dumps the longer those take.
func TestLogins(t *testing.T) {
	for _, took := range []time.Duration{10 * time.Millisecond, time.Second, 10 * time.Second, 5 * time.Minute} {
		inWorld(t, []string{"kdc2", "down"}, func(w *world) {
			w.realm(realmA).Schedule = every(t, "@daily")
			w.realm(realmA).Retry.Initial = 23 * time.Hour
			w.realm(realmA).Retry.Max = 23 * time.Hour
			w.host("down").fail(errRefused)
			w.bases[realmA].takes(took)
			w.start()
			w.sleep(took + time.Second)
			span := max(12*took, 15*time.Minute)
			for range 200 {
				w.login(realmA)
				w.sleep(span / 200)
			}
			same(t, "attempts", len(w.host("kdc2").attempts()), 1)
			same(t, "attempts at the one that is down", len(w.host("down").attempts()), 1)
			dumps := len(w.bases[realmA].dumps()) - 1
			if busy := time.Duration(dumps) * took; restFactor*took < restLimit && busy > span/restFactor+took {
				t.Errorf("%d dumps of %v", dumps, took)
			}
			if most := span / (min(restFactor*took, restLimit) + took + 20*time.Second); dumps < int(most) {
				t.Errorf("%d dumps of %v in %v", dumps, took, span)
			}
			realm := w.status(realmA)
			same(t, "runs", realm.Runs, map[string]uint64{"start": 1})
			same(t, "serial", realm.Database.Serial, 1)
			w.want("kdc2", status.Current)
			w.want("down", status.Failing)
		})
	}
}

// The rest after a dump that found nothing is no rest for the schedule.
func TestRestAndChange(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.bases[realmA].takes(3 * time.Second)
		w.start()
		w.sleep(10 * time.Second)
		w.login(realmA)
		w.sleep(6 * time.Second) // rest till 45 s
		w.change(realmA, "second")
		w.sleep(20 * time.Second)
		same(t, "dumps", len(w.bases[realmA].dumps()), 2)
		w.sleep(13 * time.Second)
		w.want("kdc2", status.Current)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
		w.sleep(time.Minute)
		w.login(realmA)
		w.sleep(6 * time.Second)
		w.change(realmA, "third")
		w.sleep(time.Second)
		if _, err := w.svc.Now(t.Context(), nowFor()); err != nil {
			t.Error(err)
		}
		w.sleep(4 * time.Second)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second", "third"})
	})
}

// A dump has the content of its beginning: what changes meanwhile is dumped
// afterwards.
func TestChangeDuringDump(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.bases[realmA].takes(10 * time.Second)
		w.start()
		for _, content := range []string{"second", "third"} {
			w.sleep(5 * time.Second)
			w.change(realmA, content)
		}
		w.sleep(time.Minute)
		got := w.host("kdc2").contents()
		if got[0] != "first" || got[len(got)-1] != "third" {
			t.Errorf("%v", got)
		}
		w.want("kdc2", status.Current)
	})
}

func TestNotOnChange(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.realm(realmA).OnChange = false
		w.start()
		w.sleep(time.Minute)
		w.change(realmA, "second")
		w.sleep(3 * time.Minute)
		same(t, "dumps", len(w.bases[realmA].dumps()), 1)
		w.sleep(time.Minute + time.Second)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
		// A change that was seen counts once changes do.
		w.change(realmA, "third")
		w.sleep(time.Minute)
		w.realm(realmA).OnChange = true
		w.reload()
		w.sleep(time.Second)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second", "third"})
	})
}

// A run for one replica finds a change: the others get it too, as soon as the
// change has settled.
func TestChangeFoundByRequest(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.start()
		w.sleep(time.Minute)
		w.change(realmA, "second")
		w.ask(nowFor("kdc2"))
		w.sleep(time.Second)
		w.want("kdc2", status.Current)
		w.want("kdc3", status.Behind)
		w.sleep(2 * time.Second)
		w.want("kdc3", status.Current)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
	})
}

// A change that is taken back leaves nobody behind.
func TestChangeTakenBack(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
		w.start()
		w.sleep(time.Minute)
		w.pause("kdc3", true)
		w.change(realmA, "second")
		w.sleep(3 * time.Second)
		if r := w.want("kdc3", status.Paused); r.LagSeconds == 0 || r.Behind != 1 {
			t.Errorf("%+v", r)
		}
		w.sleep(time.Minute)
		w.change(realmA, "first")
		w.sleep(3 * time.Second)
		if r := w.want("kdc3", status.Paused); r.LagSeconds != 0 || r.Behind != 0 {
			t.Errorf("%+v", r)
		}
		w.sleep(time.Hour)
		w.change(realmA, "third")
		w.sleep(10 * time.Second)
		if r := w.want("kdc3", status.Paused); r.LagSeconds > 10 {
			t.Errorf("a lag of %v s", r.LagSeconds)
		}
		same(t, "contents", w.host("kdc3").contents(), []string{"first"})
	})
}

func TestChangesOfPausedRealm(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.start()
		w.sleep(time.Minute)
		w.pause("kdc2", true)
		for range 100 {
			w.change(realmA, "second")
			w.sleep(time.Second)
		}
		same(t, "dumps", len(w.bases[realmA].dumps()), 1)
		w.pause("kdc2", false)
		w.sleep(time.Second)
		w.want("kdc2", status.Current)
		if !slices.Contains(w.host("kdc2").contents(), "second") {
			t.Error("the change is lost")
		}
	})
}
