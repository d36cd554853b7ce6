package schedule

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// setClock makes the service's clock another by the given time. It has no
// monotonic reading, which would hide that.
func (w *world) setClock(by time.Duration) {
	w.mu.Lock()
	w.ahead += by
	w.mu.Unlock()
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead).Round(0)
}

// However the clock is set, no longer than an interval passes between two
// scheduled runs, a change is propagated within one, and so is a retry done.
func TestClockIsSet(t *testing.T) {
	for _, c := range []struct {
		name string
		by   time.Duration
		spec string
		gap  time.Duration
	}{
		{"back an hour, every", -time.Hour, "@every 5m", 5 * time.Minute},
		{"back an hour, cron", -time.Hour, "*/5 * * * *", 5 * time.Minute},
		{"back a year", -366 * 24 * time.Hour, "@every 5m", 5 * time.Minute},
		{"forward a day, every", 24 * time.Hour, "@every 5m", 5 * time.Minute},
		{"forward a day, cron", 24 * time.Hour, "*/5 * * * *", 5 * time.Minute},
		{"back a second", -time.Second, "*/5 * * * *", 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, []string{"kdc2", "kdc3"}, func(w *world) {
				w.now = w.clock
				w.realm(realmA).Schedule = every(t, c.spec)
				w.start()
				w.sleep(7 * time.Minute)
				w.host("kdc3").fail(errRefused)
				w.change(realmA, "second")
				w.sleep(2*time.Minute + 30*time.Second)
				set := time.Now()
				w.setClock(c.by)
				w.change(realmA, "third")
				w.host("kdc3").fail(nil)
				w.sleep(c.gap + 31*time.Second)
				w.want("kdc2", status.Current)
				w.want("kdc3", status.Current)
				w.sleep(30 * time.Minute)
				w.change(realmA, "fourth")
				w.sleep(5*time.Minute + 31*time.Second)
				w.want("kdc2", status.Current)
				var before time.Time
				for _, at := range w.bases[realmA].dumps() {
					if at.After(set) && at.Sub(before) > c.gap+31*time.Second && !before.IsZero() {
						t.Errorf("nothing between %v and %v", before, at)
					}
					before = at
				}
				for _, check := range w.svc.Checks() {
					if !check.OK {
						t.Errorf("%+v", check)
					}
				}
			})
		})
	}
}

// A day's step forward is one run, and the ticks in between are counted.
func TestClockJumps(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.now = w.clock
		w.realm(realmA).Schedule = every(t, "@every 1h")
		w.start()
		w.sleep(time.Minute)
		w.setClock(24 * time.Hour)
		w.sleep(time.Minute)
		same(t, "dumps", len(w.bases[realmA].dumps()), 2)
		same(t, "missed", w.status(realmA).Skipped["missed"], 23)
	})
}

// A replica that was sent to when the clock was a year ahead is refreshed.
func TestClockWasAhead(t *testing.T) {
	inWorld(t, []string{"kdc2"}, func(w *world) {
		w.now = w.clock
		w.setClock(365 * 24 * time.Hour)
		w.start()
		w.sleep(time.Minute)
		w.stop()
		w.setClock(-365 * 24 * time.Hour)
		w.start()
		w.sleep(time.Minute)
		same(t, "attempts", len(w.host("kdc2").attempts()), 2)
		w.sleep(time.Hour)
		same(t, "attempts", len(w.host("kdc2").attempts()), 2)
		r := w.want("kdc2", status.Current)
		if r.NextRun.After(w.clock().Add(5 * time.Minute)) {
			t.Errorf("%+v", r)
		}
	})
}

// The service is asked while it works.
func TestStatusWhileWorking(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3", "kdc4"}, func(w *world) {
		w.realm(realmA).MinInterval = 0
		w.host("kdc4").fail(errRefused)
		w.start()
		asking := make(chan struct{})
		go func() {
			defer close(asking)
			for range 300 {
				checkDocument(t, w.svc.Status())
				if x, ok := w.svc.Run(1); ok {
					checkRun(t, x)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		for i := range 30 {
			w.bases[realmA].set(time.Unix(int64(i), 0).String())
			if _, err := w.svc.Now(t.Context(), nowFor()); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		<-asking
		synctest.Wait()
	})
}
