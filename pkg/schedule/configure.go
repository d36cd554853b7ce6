package schedule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/internal/timetable"
	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/rdist/client"
	"github.com/kprop/kprop/pkg/transport"
)

// plan is what a realm is made of, with all that krb5.conf and kdc.conf add.
type plan struct {
	name     string
	cfg      config.Realm
	sender   sender
	source   dumper
	database string // path, without the endings of the files

	kept     record.Realm
	replicas map[string]*replica // as the state file has them, by name
	files    distributor         // nil: none are configured
}

// openAll resolves the realms of a configuration, and reads what is recorded of
// them: all that may fail, so that putting it into force cannot.
func (s *Service) openAll(c *config.Config) ([]*plan, error) {
	var all []*plan
	seen := map[string]bool{}
	for _, cfg := range c.Realms {
		p, err := s.o.open(s, cfg)
		if errors.Is(err, profile.ErrNoDefaultRealm) {
			// Its own text speaks of an option that kprop serve does not have.
			return nil, fmt.Errorf("%s names no realm, and there is %s: write into it the line realm: EXAMPLE.COM, with your realm",
				c.Path, check.Configuration(err)[0].Problem)
		}
		if err != nil {
			return nil, err
		}
		if seen[p.name] {
			return nil, fmt.Errorf("%s: the realm %s is there twice: once by its name and once as default_realm of krb5.conf", c.Path, p.name)
		}
		seen[p.name] = true
		if err := s.recall(p); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// recall reads what is recorded of a realm.
func (s *Service) recall(p *plan) (err error) {
	if p.kept, err = s.store.Realm(p.name); err != nil {
		return err
	}
	p.replicas = map[string]*replica{}
	for _, cfg := range p.cfg.Replicas {
		r := &replica{}
		if r.kept, err = s.store.Replica(p.name, cfg.Name); err != nil {
			return err
		}
		if r.recent, err = s.store.Recent(p.name, cfg.Name, maxRecent); err != nil {
			return err
		}
		if r.kept.Last != nil {
			r.address = r.kept.Last.Address
		} else if r.kept.Holds == nil {
			r.lacking = s.now() // it is new, so it is not late
		}
		p.replicas[cfg.Name] = r
	}
	return nil
}

// minDumpStall is the least time in which a dump must get on: the disk may be
// slow, and nobody waits for it but the next dump.
const minDumpStall = time.Minute

func (s *Service) openRealm(cfg config.Realm) (*plan, error) {
	own, err := profile.Load(profile.Options{Realm: cfg.Name})
	if err != nil {
		return nil, err
	}
	name, err := own.DefaultRealm()
	if err != nil {
		return nil, fmt.Errorf("which realm is it: %w", err)
	}
	kdc, err := profile.Load(profile.Options{KDC: true, Realm: name})
	if err != nil {
		return nil, err
	}
	info, err := kdc.RealmConfig(name)
	if err != nil {
		return nil, fmt.Errorf("realm %s: %w", name, err)
	}
	p := &plan{name: name, cfg: cfg, database: info.DatabaseName}
	if cfg.Database != "" {
		p.database = cfg.Database
	}
	p.sender = &Sender{
		Profile: own, Realm: name, Keytab: cfg.Keytab, ConnectTimeout: min(cfg.IdleTimeout, 30*time.Second),
		Timeouts: transport.Timeouts{Handshake: cfg.IdleTimeout, Idle: cfg.IdleTimeout},
	}
	path := cfg.Dump
	if path == "" {
		path = s.dumpPath(name)
	}
	if what := overwritten(path, p.database, info.StashFile, info.ACLFile); what != "" {
		return nil, fmt.Errorf("realm %s: the dump would overwrite %s: set dump: to another path", name, what)
	}
	m := maker{
		util: kdb.Util{
			Path: kdb5Util(cfg.KDB5Util), Realm: name, Database: cfg.Database, Stall: max(cfg.IdleTimeout, minDumpStall),
		},
		query: kdb.EngineQuery{Want: kdb.Engine(cfg.Engine), Realm: &info, Database: p.database}, masterKeyName: info.MasterKeyName, digest: true,
	}
	if cfg.KDB5Util != "" {
		m.query.Named = "kdb5_util in kprop.yaml"
	}
	p.source = &source{maker: m, path: path, own: cfg.Dump == ""}
	if cfg.Files != "" {
		p.files = &distfileSender{
			path: cfg.Files,
			dialer: client.Kerberos{Dialer: &transport.Dialer{
				Profile: own, Realm: name, AsHost: true, Keytab: cfg.Keytab, Port: cfg.FilesPort, ConnectTimeout: min(cfg.IdleTimeout, 30*time.Second),
			}},
		}
	}
	return p, nil
}

// overwritten names what a dump at path would overwrite: kdb5_util asks nobody.
func overwritten(path, database string, others ...string) string {
	for _, suffix := range []string{"", ".kadm5", ".kadm5.lock", ".ok", ".ulog", ".mdb", ".mdb-lock", ".lockout.mdb", ".lockout.mdb-lock"} {
		if sameFile(path, database+suffix) {
			return "the database, " + database + suffix
		}
	}
	for _, other := range others {
		if sameFile(path, other) {
			return other
		}
	}
	return ""
}

// sameFile reports whether two paths are one, or lead to one file.
func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	sa, errA := os.Stat(a)
	sb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(sa, sb)
}

// kdb5Util is the program to dump with.
func kdb5Util(configured string) string {
	if configured != "" {
		return configured
	}
	standard := profile.DefaultLayout().KDB5Util
	for _, name := range []string{standard, "kdb5_util"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return standard
}

// dumpPath is where the dump of a realm is, unless the configuration says so.
func (s *Service) dumpPath(realm string) string {
	return filepath.Join(s.o.StateDir, "dumps", fileName(realm))
}

// fileName is the name of a realm's dump. A realm may have any letter in it.
func fileName(realm string) string {
	return strings.NewReplacer("%", "%25", "/", "%2F", "\x00", "%00").Replace(realm) + ".dump"
}

func (s *Service) newRealm(p *plan) *realm {
	e := &realm{
		name: p.name, svc: s, kept: p.kept, log: s.log.With(zap.String("realm", p.name)),
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
		runs: map[string]uint64{}, skips: map[string]uint64{},
	}
	e.configure(p, s.now())
	return e
}

// configure puts a configuration into force, and gives the replicas that are
// gone with it. What is under way goes on.
func (e *realm) configure(p *plan, now time.Time) (gone []*replica) {
	former := e.cfg
	e.cfg, e.sender, e.source = p.cfg, p.sender, p.source
	watched := e.files
	e.files = e.files.configure(p.cfg.Files, p.files)
	if e.files != watched && e.unwatchFiles != nil {
		e.unwatchFiles()
	}
	if e.gate == nil || former.Parallel != p.cfg.Parallel {
		e.gate = newGate(p.cfg.Parallel)
	}
	if !sameSchedule(former.Schedule, p.cfg.Schedule) {
		e.alarm = timetable.NewAlarm(p.cfg.Schedule, now)
	}
	if e.watch.database != p.database {
		e.watch = watching{database: p.database}
		if e.unwatch != nil {
			e.unwatch()
			e.changes.first, e.changes.last = now, now
		}
	}
	return e.configureReplicas(p, now)
}

func (e *realm) configureReplicas(p *plan, now time.Time) (gone []*replica) {
	former := map[string]*replica{}
	for _, r := range e.replicas {
		former[r.cfg.Name] = r
	}
	var next []*replica
	for _, cfg := range p.cfg.Replicas {
		r := former[cfg.Name]
		delete(former, cfg.Name)
		if r == nil {
			r = p.replicas[cfg.Name]
		}
		r.configure(cfg, now)
		next = append(next, r)
	}
	for _, r := range former {
		r.gone = true
		gone = append(gone, r)
	}
	e.replicas = next
	return gone
}

// configure takes over what the file says of a replica.
func (r *replica) configure(cfg config.Replica, now time.Time) {
	switch {
	case cfg.Schedule == nil:
		r.alarm = nil
	case r.alarm == nil || !sameSchedule(r.cfg.Schedule, cfg.Schedule):
		r.alarm = timetable.NewAlarm(cfg.Schedule, now)
	}
	former := targetKey(r)
	known := r.cfg.Host != ""
	r.cfg = cfg
	if known && targetKey(r) != former {
		// It is another receiver, of which nothing is known.
		r.lacking, r.retryAt, r.tries = now, time.Time{}, 0
	}
}

func sameSchedule(a, b *timetable.Schedule) bool {
	return a != nil && b != nil && a.String() == b.String() && a.Location().String() == b.Location().String()
}

// scheduleOf is the schedule that applies to a replica.
func (e *realm) scheduleOf(r *replica) *timetable.Schedule {
	if r.cfg.Schedule != nil {
		return r.cfg.Schedule
	}
	return e.cfg.Schedule
}

// Reload reads the configuration again and puts it into force. Transfers that
// are under way go on. With an error the former one stays in force.
func (s *Service) Reload(context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	err := s.reload()
	s.mu.Lock()
	s.cfgErr = err
	if err == nil {
		s.cfgTime = s.now()
		s.reloads++
	}
	s.mu.Unlock()
	if err != nil {
		s.log.Error("the new configuration is refused, the former one stays in force", zap.Error(err))
		return err
	}
	s.log.Info("configuration read again")
	return nil
}

func (s *Service) reload() error {
	if s.o.Load == nil {
		return errors.New("the configuration cannot be read again")
	}
	c, err := s.o.Load()
	if err != nil {
		return err
	}
	opened, err := s.openAll(c)
	if err != nil {
		return err
	}
	if s.o.Reloaded != nil {
		if err := s.o.Reloaded(c); err != nil {
			return err
		}
	}
	s.apply(c, opened)
	return nil
}

func (s *Service) apply(c *config.Config, opened []*plan) {
	gone := s.replaceRealms(c, opened)
	s.store.SetKeep(c.History)
	s.hooks.configure(c.Hooks)
	for _, r := range gone {
		r.waitWritten()
	}
	s.noteStore(s.forget(opened))
}

// replaceRealms puts a configuration into force, and gives the replicas that
// are gone with it.
func (s *Service) replaceRealms(c *config.Config, opened []*plan) (gone []*replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	former := map[string]*realm{}
	for _, e := range s.realms {
		former[e.name] = e
	}
	var next []*realm
	for _, p := range opened {
		e := former[p.name]
		delete(former, p.name)
		if e == nil {
			e = s.newRealm(p)
			if s.running != nil && s.running.Err() == nil {
				s.launch(e)
			}
		} else {
			gone = append(gone, e.reconfigure(p, s.now())...)
		}
		next = append(next, e)
	}
	for _, e := range former {
		gone = append(gone, e.end()...)
	}
	s.cfg, s.realms = c, next
	return gone
}

// waitWritten waits for a write of the replica's state that is under way. What
// ends later knows that the replica is gone.
func (r *replica) waitWritten() {
	r.persist.Lock()
	defer r.persist.Unlock()
}

// end ends a realm that is no longer configured, and gives its replicas.
func (e *realm) end() []*replica {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.removed = true
	for _, r := range e.replicas {
		r.gone = true
	}
	close(e.ended)
	return e.replicas
}

// reconfigure is configure for a realm that runs: what is new takes part in the
// next run.
func (e *realm) reconfigure(p *plan, now time.Time) (gone []*replica) {
	e.mu.Lock()
	defer e.mu.Unlock()
	enabled := map[*replica]bool{}
	for _, r := range e.replicas {
		enabled[r] = r.cfg.Enabled
	}
	gone = e.configure(p, now)
	for _, r := range e.replicas {
		// One that had a schedule of its own may lack what the others have.
		late := e.cfg.OnChange && r.alarm == nil && !r.has(e.kept.Digest)
		if !enabled[r] || !e.holds(r) || late {
			e.welcome(r, status.ByStart, now)
		}
	}
	e.keepNext()
	e.wakeUp()
	return gone
}

// watchLoop follows the database that is configured, and calls ready once it
// does.
func (e *realm) watchLoop(ctx context.Context, ready func()) {
	defer ready()
	for ctx.Err() == nil {
		watch, cancel := context.WithCancel(ctx)
		e.mu.Lock()
		database := e.watch.database
		e.unwatch = cancel
		e.mu.Unlock()
		watchDatabase(watch, database, e.svc.o.pollTime, func(w watching) {
			e.watches(w)
			ready()
		}, e.noteChange)
		cancel()
	}
}

// watches takes over how the database is watched.
func (e *realm) watches(w watching) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watch.database != w.database {
		return
	}
	if w.err != nil && (e.watch.err == nil || e.watch.err.Error() != w.err.Error()) {
		e.log.Warn("changes of the database are only seen by polling", zap.Error(w.err))
	}
	e.watch = w
}
