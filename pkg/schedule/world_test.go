package schedule

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/internal/timetable"
)

// world is a service with databases and replicas that are made up, on a real
// state file. It lives in a bubble of synctest, where time costs nothing.
type world struct {
	t         *testing.T
	path      string // of the state file
	cfg       *config.Config
	loadErr   error // of the next reload
	bases     map[string]*base
	hosts     map[string]*host
	now       func() time.Time
	grace     time.Duration
	databases string        // in front of the realm
	ahead     time.Duration // of the clock, see clock
	store     *record.Store
	svc       *Service
	stopServe context.CancelFunc
	served    chan struct{}
	snapshots []*snapshot
	files     *fakeFiles // sends the files of a realm that has some
	mu        sync.Mutex
}

const (
	realmA = "A.TEST"
	realmB = "B.TEST"
)

// inWorld runs a test in a bubble, with one realm with the given hosts.
func inWorld(t *testing.T, hosts []string, test func(w *world)) {
	t.Helper()
	dir := stateDir(t)
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, databases: "/nonexistent/", path: filepath.Join(dir, "kprop.db"), bases: map[string]*base{}, hosts: map[string]*host{},
			cfg: &config.Config{Path: "kprop.yaml", History: 50, Hooks: config.Hooks{Failure: config.Hook{After: 3}}},
		}
		w.addRealm(realmA, hosts...)
		defer w.stop()
		test(w)
	})
}

// stateDir is a directory that is in memory where the system has such a place:
// each of hundreds of writes is synced.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "kprop-schedule-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

func (w *world) addRealm(name string, hosts ...string) *config.Realm {
	r := config.Realm{
		Name: name, Schedule: every(w.t, "@every 5m"), Timezone: "UTC", OnChange: true, Settle: 2 * time.Second,
		MinInterval: 10 * time.Second, Refresh: 24 * time.Hour, Parallel: 8, IdleTimeout: time.Minute,
		Retry: config.Retry{Initial: 5 * time.Second, Max: 5 * time.Minute, Factor: 2},
	}
	for _, h := range hosts {
		r.Replicas = append(r.Replicas, replicaAt(h))
	}
	w.cfg.Realms = append(w.cfg.Realms, r)
	if w.bases[name] == nil {
		w.bases[name] = &base{w: w, content: "first", took: 100 * time.Millisecond}
	}
	return w.realm(name)
}

func replicaAt(host string) config.Replica {
	return config.Replica{Name: host, Host: host, Enabled: true}
}

// realm is the configuration of a realm, to be changed before start or reload.
func (w *world) realm(name string) *config.Realm {
	i := slices.IndexFunc(w.cfg.Realms, func(r config.Realm) bool { return r.Name == name })
	return &w.cfg.Realms[i]
}

func (w *world) replicaConfig(name string) *config.Replica {
	for i := range w.cfg.Realms {
		for j := range w.cfg.Realms[i].Replicas {
			if r := &w.cfg.Realms[i].Replicas[j]; r.Name == name {
				return r
			}
		}
	}
	w.t.Fatalf("no replica %s", name)
	return nil
}

func every(t *testing.T, spec string) *timetable.Schedule {
	t.Helper()
	s, err := timetable.Parse(spec, time.UTC)
	must(t, err)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start starts the service on the state file.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.store, err = record.Open(w.path, record.Options{Keep: w.cfg.History})
	must(w.t, err)
	w.svc, err = NewService(ServiceOptions{
		Config: w.copyConfig(), Store: w.store, StateDir: filepath.Dir(w.path), StopGrace: w.grace, now: w.now,
		pollTime: 100 * 24 * time.Hour,
		Load: func() (*config.Config, error) {
			if w.loadErr != nil {
				return nil, w.loadErr
			}
			return w.copyConfig(), nil
		},
		open: func(_ *Service, cfg config.Realm) (*plan, error) {
			if w.bases[cfg.Name] == nil {
				return nil, fmt.Errorf("realm %s is not known", cfg.Name)
			}
			p := &plan{name: cfg.Name, cfg: cfg, sender: w, source: w.bases[cfg.Name], database: w.databases + cfg.Name}
			if cfg.Files != "" {
				p.files = w.files
			}
			return p, nil
		},
	})
	must(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	w.stopServe, w.served = cancel, make(chan struct{})
	go func() {
		defer close(w.served)
		_ = w.svc.Serve(ctx)
	}()
	synctest.Wait()
}

// copyConfig keeps the service's configuration apart from the test's.
func (w *world) copyConfig() *config.Config {
	c := *w.cfg
	c.Realms = slices.Clone(c.Realms)
	for i := range c.Realms {
		c.Realms[i].Replicas = slices.Clone(c.Realms[i].Replicas)
	}
	return &c
}

// stop ends the service and waits for it.
func (w *world) stop() {
	if w.svc == nil {
		return
	}
	w.stopServe()
	<-w.served
	must(w.t, w.store.Close())
	w.svc = nil
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

func (w *world) reload() {
	w.t.Helper()
	must(w.t, w.svc.Reload(w.t.Context()))
	synctest.Wait()
}

// sleep lets time pass.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// engine is a realm of the running service.
func (w *world) engine(name string) *realm {
	for _, e := range w.svc.allRealms() {
		if e.name == name {
			return e
		}
	}
	w.t.Fatalf("no realm %s", name)
	return nil
}

// change changes a database as an administrator does.
func (w *world) change(realm, content string) {
	w.bases[realm].set(content)
	w.engine(realm).noteChange()
	synctest.Wait()
}

// login changes the files of a database, but not its content.
func (w *world) login(realm string) {
	w.engine(realm).noteChange()
	synctest.Wait()
}

func (w *world) ask(q control.NowRequest) uint64 {
	w.t.Helper()
	ids, err := w.svc.Now(w.t.Context(), q)
	must(w.t, err)
	if len(ids) != 1 {
		w.t.Fatalf("runs %v, want one", ids)
	}
	synctest.Wait()
	return ids[0]
}

func (w *world) run(id uint64) *status.Run {
	w.t.Helper()
	x, ok := w.svc.Run(id)
	if !ok {
		w.t.Fatalf("run %d is not known", id)
	}
	return x
}

func (w *world) pause(name string, paused bool) {
	w.t.Helper()
	must(w.t, w.svc.SetPaused(w.t.Context(), []string{name}, paused))
	synctest.Wait()
}

// document is the status, which is checked for what must always hold.
func (w *world) document() *status.Document {
	w.t.Helper()
	d := w.svc.Status()
	checkDocument(w.t, d)
	return d
}

func (w *world) status(realm string) status.Realm {
	w.t.Helper()
	for _, r := range w.document().Realms {
		if r.Name == realm {
			return r
		}
	}
	w.t.Fatalf("no realm %s", realm)
	return status.Realm{}
}

func (w *world) replica(name string) status.Replica {
	w.t.Helper()
	for _, realm := range w.document().Realms {
		for _, r := range realm.Replicas {
			if r.Name == name {
				return r
			}
		}
	}
	w.t.Fatalf("no replica %s", name)
	return status.Replica{}
}

// states counts the replicas in each state.
func (w *world) states() map[status.State]int {
	w.t.Helper()
	n := map[status.State]int{}
	for _, realm := range w.document().Realms {
		for _, r := range realm.Replicas {
			n[r.State]++
		}
	}
	return n
}

func (w *world) want(name string, state status.State) status.Replica {
	w.t.Helper()
	r := w.replica(name)
	if r.State != state {
		w.t.Errorf("%s is %s, want %s: %+v", name, r.State, state, r)
	}
	return r
}

// same complains if two values differ.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
