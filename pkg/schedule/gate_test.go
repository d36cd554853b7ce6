package schedule

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// Twenty replicas stand still; the other thirty get the database in normal time.
func TestStalledLendTheirPlaces(t *testing.T) {
	for _, stage := range []string{"ticket", "connect", "authenticate", "send"} {
		t.Run(stage, func(t *testing.T) {
			var names []string
			for i := range 50 {
				names = append(names, fmt.Sprintf("kdc%d", i))
			}
			inWorld(t, names, func(w *world) {
				for i, name := range names {
					w.host(name).set(func(h *host) {
						h.took = 200 * time.Millisecond
						if i < 20 {
							h.stall, h.took = stage, time.Minute
						}
					})
				}
				w.start()
				// 30 good ones in 8 places take 0.8 s, and 20 bad ones give up
				// theirs after 0.5 s each.
				w.sleep(100*time.Millisecond + 3*time.Second)
				same(t, "states", w.states(), map[status.State]int{status.Running: 20, status.Current: 30})
				w.sleep(10 * time.Second)
				if x := w.replica(names[0]).Transfer; x == nil || !x.Stalled {
					t.Errorf("transfer: %+v", x)
				}
				w.sleep(time.Minute)
				same(t, "states", w.states(), map[status.State]int{status.Current: 50})
			})
		})
	}
}

// A replica that loads takes no place.
func TestLoadingTakesNoPlace(t *testing.T) {
	inWorld(t, []string{"kdc2", "kdc3", "kdc4"}, func(w *world) {
		w.realm(realmA).Parallel = 1
		for _, name := range []string{"kdc2", "kdc3", "kdc4"} {
			w.host(name).set(func(h *host) { h.load = time.Minute })
		}
		w.start()
		w.sleep(time.Second)
		for _, name := range []string{"kdc2", "kdc3", "kdc4"} {
			if x := w.replica(name).Transfer; x == nil || x.Stage != "load" || x.Stalled {
				t.Errorf("%s: %+v", name, x)
			}
		}
		w.sleep(time.Minute)
		w.want("kdc4", status.Current)
	})
}

// As long as all move, no more than parallel do at once.
func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(3)
		var mu sync.Mutex
		moving, most := 0, 0
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				p, err := g.enter(t.Context())
				must(t, err)
				mu.Lock()
				moving++
				most = max(most, moving)
				mu.Unlock()
				for range 30 {
					time.Sleep(100 * time.Millisecond)
					p.moved()
				}
				mu.Lock()
				moving--
				mu.Unlock()
				p.leave()
				p.leave() // again does nothing
			})
		}
		begun := time.Now()
		all.Wait()
		same(t, "at once", most, 3)
		same(t, "duration", time.Since(begun), 7*3*time.Second)
		same(t, "places taken", len(g.places), 0)
	})
}

func TestComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		slow, err := g.enter(t.Context())
		must(t, err)
		slow.comeBack(t.Context()) // it has its place
		same(t, "places taken", len(g.places), 1)
		time.Sleep(time.Second) // and loses it
		synctest.Wait()
		other, err := g.enter(t.Context())
		must(t, err)
		begun := time.Now()
		var all sync.WaitGroup
		all.Go(func() {
			for range 20 {
				time.Sleep(100 * time.Millisecond)
				other.moved()
			}
			other.leave()
		})
		slow.comeBack(t.Context())
		same(t, "waited", time.Since(begun), 2*time.Second)
		all.Wait()
		same(t, "places taken", len(g.places), 1)
		slow.moved()
		slow.leave()
		same(t, "places taken", len(g.places), 0)

		// One that gets no place goes on without.
		third, err := g.enter(t.Context())
		must(t, err)
		begun = time.Now()
		all.Go(func() {
			for range 300 {
				time.Sleep(100 * time.Millisecond)
				third.moved()
			}
			third.leave()
		})
		slow.comeBack(t.Context())
		same(t, "waited", time.Since(begun), comebackWait)
		slow.leave()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		slow.comeBack(ctx)
		if _, err := g.enter(ctx); err == nil {
			t.Error("entered after the end")
		}
		all.Wait()
		same(t, "places taken", len(g.places), 0)
	})
}
