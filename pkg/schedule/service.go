package schedule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/buildinfo"
	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
)

// DefaultStopGrace is how long transfers may go on after the service was told
// to stop.
const DefaultStopGrace = 15 * time.Second

// ServiceOptions is what a Service needs. Config, Store and StateDir must be set.
type ServiceOptions struct {
	Config   *config.Config
	Store    *record.Store
	StateDir string // where dumps are kept whose place is not configured
	// Load reads the configuration again, for Reload.
	Load func() (*config.Config, error)
	// Reloaded is called with a configuration before it takes effect; an error
	// refuses it.
	Reloaded  func(*config.Config) error
	Log       *zap.Logger   // nil: nothing is logged
	StopGrace time.Duration // 0: DefaultStopGrace

	now      func() time.Time
	pollTime time.Duration
	open     func(*Service, config.Realm) (*plan, error)
}

// Service keeps the replicas of all configured realms as their primary is, by
// schedule and by change, as "kprop serve" does. It implements control.Service.
type Service struct {
	o       ServiceOptions
	log     *zap.Logger
	store   *record.Store
	now     func() time.Time
	started time.Time
	host    string
	hooks   *hooks
	runs    runs
	// Contexts of Serve: running ends first, and nothing new begins; sending
	// ends when transfers must.
	running, sending context.Context

	reloading sync.Mutex // one reload at a time
	mu        sync.Mutex
	cfg       *config.Config
	cfgTime   time.Time
	cfgErr    error
	reloads   uint64
	realms    []*realm // in the order of the configuration
	realmLoop sync.WaitGroup

	storeMu  sync.Mutex // taken while any other is held
	storeErr error
}

var _ control.Service = (*Service)(nil)

// NewService prepares a service. The error is one of the configuration or of
// Kerberos' own, such as a realm that is not known.
func NewService(o ServiceOptions) (*Service, error) {
	s := &Service{o: o, log: o.Log, store: o.Store, now: o.now, cfg: o.Config}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.o.StopGrace == 0 {
		s.o.StopGrace = DefaultStopGrace
	}
	if s.o.pollTime == 0 {
		s.o.pollTime = pollInterval
	}
	if s.o.open == nil {
		s.o.open = (*Service).openRealm
	}
	s.started = s.now()
	s.cfgTime = s.started
	s.hooks = newHooks(o.Config.Hooks, s.log)
	s.host, _ = os.Hostname()
	opened, err := s.openAll(o.Config)
	if err != nil {
		return nil, err
	}
	for _, p := range opened {
		s.realms = append(s.realms, s.newRealm(p))
	}
	return s, errors.Join(s.discardOld(), s.forget(opened))
}

// discardOld removes the dumps of realms that are recorded, but no longer
// configured.
func (s *Service) discardOld() error {
	recorded, err := s.store.Realms()
	for _, name := range recorded {
		if !slices.ContainsFunc(s.realms, func(e *realm) bool { return e.name == name }) {
			old := source{path: s.dumpPath(name), own: true}
			s.noteDiscard(name, old.discard())
		}
	}
	return err
}

// hookGrace is how long hooks may go on after the last transfer: what that had to
// tell is told only once.
const hookGrace = 5 * time.Second

// Serve works until ctx ends, and then waits for transfers, up to StopGrace, and
// for hooks.
func (s *Service) Serve(ctx context.Context) error {
	sending, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	s.mu.Lock()
	s.running, s.sending = ctx, sending
	for _, e := range s.realms {
		s.launch(e)
	}
	s.mu.Unlock()
	telling, stopTelling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopTelling()
	var hooksLoop sync.WaitGroup
	hooksLoop.Go(func() { s.hooks.run(telling) })
	<-ctx.Done()
	grace := time.AfterFunc(s.o.StopGrace, func() { abort(errStopped) })
	defer grace.Stop()
	s.realmLoop.Wait()
	s.hooks.finish()
	last := time.AfterFunc(hookGrace, stopTelling)
	defer last.Stop()
	hooksLoop.Wait()
	return nil
}

var errStopped = errors.New("kprop serve was stopped")

// launch starts a realm. It ends with the service, or when it is no longer
// configured, once its transfers have.
func (s *Service) launch(e *realm) {
	ctx, cancel := context.WithCancel(s.running)
	s.realmLoop.Go(func() {
		defer cancel()
		var loops sync.WaitGroup
		// Before the first dump, so that nothing is missed between.
		var watched sync.WaitGroup
		watched.Add(2)
		loops.Go(func() { e.watchLoop(ctx, sync.OnceFunc(watched.Done)) })
		loops.Go(func() { e.filesLoop(ctx, sync.OnceFunc(watched.Done)) })
		watched.Wait()
		e.run(ctx)
		e.refuseQueue()
		cancel()
		loops.Wait()
		e.work.Wait()
		e.close()
		s.discard(e)
	})
}

// discard removes the dump of a realm that has been taken out of the
// configuration, and not put into it again meanwhile.
func (s *Service) discard(e *realm) {
	e.mu.Lock()
	removed, source := e.removed, e.source
	e.mu.Unlock()
	if !removed || slices.ContainsFunc(s.allRealms(), func(other *realm) bool { return other.name == e.name }) {
		return
	}
	s.noteDiscard(e.name, source.discard())
}

func (s *Service) noteDiscard(realm string, err error) {
	if err != nil {
		s.log.Warn("the dump of a realm that is no longer configured cannot be removed", zap.String("realm", realm), zap.Error(err))
	}
}

// isRunning says whether Serve has begun and has not been told to stop.
func (s *Service) isRunning() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running != nil && s.running.Err() == nil
}

// forget removes what is recorded of what is no more configured.
func (s *Service) forget(opened []*plan) error {
	var names []string
	for _, p := range opened {
		names = append(names, p.name)
		var replicas []string
		for _, r := range p.cfg.Replicas {
			replicas = append(replicas, r.Name)
		}
		if err := s.store.Forget(p.name, replicas, p.cfg.Files != ""); err != nil {
			return err
		}
	}
	return s.store.ForgetRealms(names)
}

// noteStore keeps an error of the state file for the checks; it is logged once.
func (s *Service) noteStore(err error) {
	s.storeMu.Lock()
	defer s.storeMu.Unlock()
	if err != nil && (s.storeErr == nil || s.storeErr.Error() != err.Error()) {
		s.log.Error("the state cannot be recorded", zap.Error(err))
	}
	s.storeErr = err
}

func (s *Service) allRealms() []*realm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.realms)
}

// Status describes the present.
func (s *Service) Status() *status.Document {
	now := s.now()
	d := &status.Document{
		Version: status.Version, Host: s.host, Program: buildinfo.Text("kprop"), PID: os.Getpid(),
		Started: utc(s.started), Now: utc(now), Realms: []status.Realm{},
	}
	s.mu.Lock()
	d.Config, d.ConfigTime, d.Reloads = s.cfg.Path, utc(s.cfgTime), s.reloads
	if s.cfgErr != nil {
		d.ConfigError = s.cfgErr.Error()
	}
	s.mu.Unlock()
	d.HookErrors, d.HookError = s.hooks.state()
	for _, e := range s.allRealms() {
		d.Realms = append(d.Realms, e.describe(now))
	}
	return d
}

// allCurrent says that nothing is wrong with any realm: each has a dump, and
// each replica that takes part has its content.
func (s *Service) allCurrent() bool {
	for _, e := range s.allRealms() {
		if !e.allCurrent() {
			return false
		}
	}
	return true
}

func (e *realm) allCurrent() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.replicas {
		if r.active() && e.state(r) != status.Current {
			return false
		}
	}
	return e.failed == 0 && e.dumps > 0
}

// Run describes a run by its number.
func (s *Service) Run(id uint64) (*status.Run, bool) {
	x := s.runs.get(id)
	if x == nil {
		return nil, false
	}
	x.realm.mu.Lock()
	defer x.realm.mu.Unlock()
	return x.describe(s.now()), true
}

// History gives attempts, newest first. A host may have several replicas.
func (s *Service) History(q control.HistoryQuery) ([]status.Attempt, error) {
	if q.Replica == "" {
		if _, err := s.find(q.Realm, nil); err != nil {
			return nil, err
		}
		return s.store.History(q.Realm, "", q.Limit)
	}
	list, err := s.find(q.Realm, []string{q.Replica})
	if err != nil {
		return nil, err
	}
	var all []status.Attempt
	for _, f := range list {
		for _, name := range []string{f.name, record.FilesOf(f.replica.host(f.realm))} {
			attempts, err := s.store.History(f.realm.name, name, q.Limit)
			if err != nil {
				return nil, err
			}
			all = append(all, attempts...)
		}
	}
	slices.SortFunc(all, func(a, b status.Attempt) int { return cmp.Compare(b.ID, a.ID) })
	if q.Limit <= 0 {
		q.Limit = record.DefaultLimit
	}
	return all[:min(len(all), q.Limit)], nil
}

// Checks are the checks of readiness.
func (s *Service) Checks() []control.Check {
	now := s.now()
	var list []control.Check
	for _, e := range s.allRealms() {
		list = append(list, e.checks(now)...)
	}
	s.storeMu.Lock()
	list = append(list, checkOf("state", s.storeErr))
	s.storeMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(list, checkOf("configuration", s.cfgErr))
}

func checkOf(name string, err error) control.Check {
	if err != nil {
		return control.Check{Name: name, Text: err.Error()}
	}
	return control.Check{Name: name, OK: true}
}

// loopLimit is how long a realm's goroutine may do one thing.
const loopLimit = 2 * time.Minute

func (e *realm) checks(now time.Time) []control.Check {
	e.mu.Lock()
	defer e.mu.Unlock()
	loop := control.Check{Name: "loop " + e.name, OK: true}
	if idle := now.Sub(e.alive); e.alive.IsZero() || idle > loopLimit {
		loop.OK, loop.Text = false, fmt.Sprintf("it has not looked around for %v", idle.Truncate(time.Second))
	}
	dump := control.Check{Name: "dump " + e.name, OK: e.err == "" && e.dumps > 0, Text: e.err}
	if e.err == "" && e.dumps == 0 {
		dump.Text = "none was made yet"
	}
	return []control.Check{loop, dump}
}
