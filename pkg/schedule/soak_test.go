package schedule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/status"
)

// TestAnything does what comes to mind in any order, for hours. What holds of
// every status must hold all the while, no receiver may be sent to twice at
// once, and when all is mended, all are current soon.
func TestAnything(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, soakHosts, func(w *world) {
				s := &soak{world: w, rand: rand.New(rand.NewPCG(seed, 1)), hung: map[string]bool{}}
				w.addRealm(realmB, "b2")
				w.start()
				for range 100 {
					s.step()
					w.sleep(s.pause())
					w.document()
				}
				s.mend()
			})
		})
	}
}

// With nothing that asks for it, no replica gets a content twice.
func TestNothingTwice(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, soakHosts, func(w *world) {
				w.realm(realmA).Refresh = 0
				s := &soak{world: w, rand: rand.New(rand.NewPCG(seed, 2)), hung: map[string]bool{}, plain: true}
				w.addRealm(realmB, "b2")
				w.start()
				for range 150 {
					s.step()
					w.sleep(s.pause())
				}
				s.mend()
				for _, name := range soakHosts {
					got := w.host(name).contents()
					if len(got) < 2 {
						t.Errorf("%s got only %v", name, got)
					}
					if once := slices.Compact(slices.Clone(got)); len(once) != len(got) {
						t.Errorf("%s: %v", name, got)
					}
				}
			})
		})
	}
}

var soakHosts = []string{"kdc2", "kdc3", "kdc4", "kdc5"}

type soak struct {
	*world
	rand    *rand.Rand
	hung    map[string]bool
	content int
	plain   bool // no run is forced, and no replica goes or moves
	asked   []uint64
}

func (s *soak) pause() time.Duration {
	most := []time.Duration{10 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 20 * time.Minute}
	return time.Duration(s.rand.Int64N(int64(most[s.rand.IntN(len(most))])))
}

func (s *soak) host() string { return soakHosts[s.rand.IntN(len(soakHosts))] }

func (s *soak) step() {
	name := s.host()
	h := s.world.host(name)
	switch s.rand.IntN(17) {
	case 0, 1, 2:
		s.content++
		s.change(realmA, fmt.Sprint("content ", s.content))
	case 3:
		s.login(realmA)
	case 4:
		h.fail(errRefused)
	case 5:
		h.fail(nil)
	case 6:
		if !s.hung[name] {
			s.hung[name] = true
			h.hang()
		}
	case 7:
		s.free(name)
	case 8:
		_ = s.svc.SetPaused(s.t.Context(), []string{name}, s.rand.IntN(3) == 0)
	case 9:
		ids, err := s.svc.Now(s.t.Context(), control.NowRequest{Unchanged: !s.plain && s.rand.IntN(3) == 0})
		if err != nil && !errors.Is(err, control.ErrConflict) {
			s.t.Error(err)
		}
		s.asked = append(s.asked, ids...)
	case 10:
		ids, err := s.svc.Now(s.t.Context(), nowFor(name))
		if err != nil && !errors.Is(err, control.ErrConflict) && !errors.Is(err, control.ErrUnknown) {
			s.t.Error(err)
		}
		s.asked = append(s.asked, ids...)
	case 11:
		s.bases[realmA].fail(errors.New("no dump"))
	case 12:
		s.bases[realmA].fail(nil)
	case 13:
		s.bases[realmA].takes(time.Duration(s.rand.Int64N(int64(20 * time.Second))))
	case 14, 15:
		s.reconfigure()
		s.reload()
	case 16:
		if s.rand.IntN(4) == 0 {
			s.restart()
			s.asked = nil
		}
	}
}

func (s *soak) free(name string) {
	if s.hung[name] {
		delete(s.hung, name)
		s.world.host(name).release()
	}
}

// reconfigure makes a configuration that is another.
func (s *soak) reconfigure() {
	specs := []string{"@every 5m", "*/10 * * * *", "@hourly", "@every 3h"}
	r := s.realm(realmA)
	r.Schedule = every(s.t, specs[s.rand.IntN(len(specs))])
	r.OnChange = s.rand.IntN(4) > 0
	r.Parallel = 1 + s.rand.IntN(4)
	r.Jitter = []time.Duration{0, time.Minute}[s.rand.IntN(2)]
	r.Replicas = nil
	for _, name := range soakHosts {
		if !s.plain && s.rand.IntN(6) == 0 && !s.hung[name] {
			continue
		}
		cfg := replicaAt(name)
		cfg.Enabled = s.rand.IntN(6) > 0
		if s.rand.IntN(6) == 0 {
			cfg.Schedule = every(s.t, "@every 2h")
		}
		if !s.plain && s.rand.IntN(6) == 0 {
			cfg.Address = "192.0.2.9"
		}
		r.Replicas = append(r.Replicas, cfg)
	}
	if len(r.Replicas) == 0 {
		r.Replicas = []config.Replica{replicaAt("kdc2")}
	}
}

// mend puts everything right, after which all are current at the latest after
// their next scheduled run.
func (s *soak) mend() {
	s.bases[realmA].fail(nil)
	s.bases[realmA].takes(time.Second)
	for _, name := range soakHosts {
		s.free(name)
		s.world.host(name).fail(nil)
		_ = s.svc.SetPaused(s.t.Context(), []string{name}, false)
	}
	synctest.Wait()
	s.sleep(3*time.Hour + 2*time.Minute)
	for _, r := range s.status(realmA).Replicas {
		if r.State != status.Current && r.State != status.Disabled {
			s.t.Errorf("%s is %s: %+v", r.Name, r.State, r)
		}
		if h := s.world.host(r.Host); r.State == status.Current && h.holds != s.bases[realmA].content {
			s.t.Errorf("%s has %q and not %q", r.Name, h.holds, s.bases[realmA].content)
		}
		if h := s.world.host(r.Host); h.most > 1 {
			s.t.Errorf("%s: %d transfers at once", r.Name, h.most)
		}
	}
	for _, id := range s.asked {
		if x, known := s.svc.Run(id); known {
			checkRun(s.t, x)
			if !x.Done() {
				s.t.Errorf("run %d is not done: %+v", id, x)
			}
		}
	}
	if n := len(s.world.host("b2").attempts()); n == 0 {
		s.t.Error("nothing was sent in the other realm")
	}
}
