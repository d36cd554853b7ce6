package schedule

import (
	"slices"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/internal/timetable"
)

// at makes it that time for the service, in UTC.
func (w *world) at(text string) {
	w.t.Helper()
	then, err := time.Parse(time.DateTime, text)
	must(w.t, err)
	w.now = w.clock
	w.setClock(then.Sub(w.clock()))
}

// clocked are times as the service's clock, which was not set meanwhile, has
// shown them.
func (w *world) clocked(times []time.Time) []string {
	var texts []string
	for _, at := range times {
		texts = append(texts, at.Add(w.ahead).UTC().Format("01-02 15:04:05"))
	}
	return texts
}

func in(t *testing.T, zone, spec string) *timetable.Schedule {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	must(t, err)
	s, err := timetable.Parse(spec, loc)
	must(t, err)
	return s
}

// Each day has its run, also the one without that hour and the one with two of
// them; what goes by intervals, in the other realm, does not notice.
func TestDaylightSaving(t *testing.T) {
	for _, c := range []struct {
		zone, spec, from string
		want             []string // UTC
	}{
		{"Europe/Berlin", "30 2 * * *", "2026-03-28 00:00:00", []string{"03-28 01:30:00", "03-29 01:00:00", "03-30 00:30:00"}},
		{"Europe/Berlin", "30 2 * * *", "2026-10-24 00:00:00", []string{"10-24 00:30:00", "10-25 00:30:00", "10-26 01:30:00"}},
		{"America/New_York", "@daily", "2026-10-31 12:00:00", []string{"11-01 04:00:00", "11-02 05:00:00", "11-03 05:00:00"}},
		{"America/New_York", "30 1-3 8 3 *", "2026-03-08 00:00:00", []string{"03-08 06:30:00", "03-08 07:00:00", "03-08 07:30:00"}},
	} {
		t.Run(c.zone+" "+c.spec, func(t *testing.T) {
			inWorld(t, []string{"kdc2"}, func(w *world) {
				w.at(c.from)
				w.realm(realmA).Schedule = in(t, c.zone, c.spec)
				w.addRealm(realmB, "b2").Schedule = in(t, c.zone, "@every 1h")
				w.start()
				w.sleep(72 * time.Hour)
				same(t, "runs", w.clocked(w.bases[realmA].dumps()[1:]), c.want)
				others := w.bases[realmB].dumps()
				for i, at := range others[1:] {
					if d := at.Sub(others[i]); d.Round(time.Second) != time.Hour {
						t.Errorf("an interval of %v", d)
					}
				}
				same(t, "of the other realm", len(others), 73)
				same(t, "skipped", w.status(realmA).Skipped["missed"]+w.status(realmB).Skipped["missed"], 0)
			})
		})
	}
}

func TestLeapDay(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.at("2028-02-28 12:00:00")
		w.realm(realmA).Schedule = every(t, "0 0 29 2 *")
		w.start()
		w.sleep(48 * time.Hour)
		same(t, "runs", w.clocked(w.bases[realmA].dumps()), []string{"02-28 12:00:00", "02-29 00:00:00"})
		same(t, "next", w.status(realmA).NextRun, time.Date(2032, 2, 29, 0, 0, 0, 0, time.UTC))
	})
}

// The machine sleeps: its clock goes on, timers do not. One run makes up for all
// that were missed, within half a minute, for the realm and for a replica with a
// schedule of its own, and the next keeps its distance.
func TestAsleep(t *testing.T) {
	for _, c := range []struct {
		spec        string
		least, most string // when the next is, after the one that makes up
	}{
		{"@every 5m", "03-02 06:09:10", "03-02 06:09:40"},
		{"*/5 * * * *", "03-02 06:05:00", "03-02 06:05:00"},
	} {
		t.Run(c.spec, func(t *testing.T) {
			inWorld(t, []string{"kdc2", "own"}, func(w *world) {
				w.at("2026-03-01 22:00:00")
				w.realm(realmA).Schedule = every(t, c.spec)
				w.replicaConfig("own").Schedule = every(t, "@every 1h")
				w.start()
				w.sleep(4*time.Minute + 10*time.Second)
				w.setClock(8 * time.Hour) // asleep from 22:04:10 to 06:04:10
				w.bases[realmA].set("second")
				w.sleep(timetable.WaitLimit)
				w.want("kdc2", status.Current)
				w.want("own", status.Current)
				dumps := w.bases[realmA].dumps()
				same(t, "dumps", len(dumps), 2)
				if late := w.clocked(dumps)[1]; late < "03-02 06:04:10" || late > "03-02 06:04:40" {
					t.Errorf("made up for at %s", late)
				}
				// Of 96 and of 8 one each is made up for.
				same(t, "missed", w.status(realmA).Skipped["missed"], 95+7)
				w.sleep(5 * time.Minute)
				dumps = w.bases[realmA].dumps()
				same(t, "dumps", len(dumps), 3)
				if next := w.clocked(dumps[2:]); len(next) != 1 || next[0] < c.least || next[0] > c.most {
					t.Errorf("the next at %s, want %s to %s", next, c.least, c.most)
				}
			})
		})
	}
}

// A clock that is set back by an hour neither stops the runs for that hour nor
// makes more of them.
func TestSetBackAnHour(t *testing.T) {
	for _, c := range []struct {
		spec       string
		least, max int // in the hour that follows
	}{
		{"@every 5m", 12, 12},
		{"*/5 * * * *", 12, 12},
		{"30 * * * *", 1, 1},
	} {
		t.Run(c.spec, func(t *testing.T) {
			inWorld(t, []string{"kdc2"}, func(w *world) {
				w.at("2026-03-01 10:00:00")
				w.realm(realmA).Schedule = every(t, c.spec)
				w.start()
				w.sleep(32 * time.Minute)
				before := len(w.bases[realmA].dumps())
				w.setClock(-time.Hour)
				w.sleep(time.Hour)
				if n := len(w.bases[realmA].dumps()) - before; n < c.least || n > c.max {
					t.Errorf("%d runs in the hour that is there twice", n)
				}
				same(t, "missed", w.status(realmA).Skipped["missed"], 0)
			})
		})
	}
}

// A replica that is busy when the others get something new by schedule gets it as
// soon as it is done, and not an hour later.
func TestTickWhileBusy(t *testing.T) {
	inWorld(t, []string{"kdc2", "slow"}, func(w *world) {
		w.realm(realmA).OnChange = false
		w.realm(realmA).Schedule = every(t, "@every 1h")
		w.host("slow").hang()
		w.start()
		w.sleep(30 * time.Minute)
		w.bases[realmA].set("second")
		w.sleep(30*time.Minute + time.Second)
		same(t, "contents", w.host("kdc2").contents(), []string{"first", "second"})
		same(t, "busy", w.replica("slow").Counters.Skipped["busy"], 1)
		same(t, "overlap", w.status(realmA).Skipped["overlap"], 0)
		w.host("slow").release()
		w.sleep(time.Second)
		same(t, "contents", w.host("slow").contents(), []string{"first", "second"})
		same(t, "dumps", len(w.bases[realmA].dumps()), 2)
		same(t, "at once", w.host("slow").most, 1)
	})
}

// A realm in which all are busy has overlaps; the other one has none of them.
func TestOverlapIsOfOneRealm(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.addRealm(realmB, "b2")
		w.host("kdc2").hang()
		w.start()
		w.sleep(15*time.Minute + time.Second)
		same(t, "overlaps of A", w.status(realmA).Skipped["overlap"], 3)
		same(t, "overlaps of B", w.status(realmB).Skipped["overlap"], 0)
		same(t, "dumps of A", len(w.bases[realmA].dumps()), 1)
		same(t, "dumps of B", len(w.bases[realmB].dumps()), 4)
		w.host("kdc2").release()
	})
}

// A schedule of its own is kept to the second, not to the half minute in which
// the service looks around anyway.
func TestOwnScheduleIsPunctual(t *testing.T) {
	inWorld(t, []string{"kdc2", "own"}, func(w *world) {
		w.at("2026-03-01 10:00:07")
		w.realm(realmA).Schedule = every(t, "@yearly")
		w.replicaConfig("own").Schedule = every(t, "*/10 * * * *")
		w.start()
		w.sleep(45 * time.Minute)
		got := w.clocked(w.bases[realmA].dumps())
		want := []string{"03-01 10:00:07", "03-01 10:10:00", "03-01 10:20:00", "03-01 10:30:00", "03-01 10:40:00"}
		if !slices.Equal(got, want) {
			t.Errorf("runs at %q, want %q", got, want)
		}
	})
}
