package schedule

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/internal/timetable"
	"github.com/kprop/kprop/pkg/kdb"
)

// realm propagates one realm's database. One goroutine, run, decides what
// happens when; it starts a dump, one at a time, and a transfer for each
// replica, one at a time, which go on beside it. So a replica that is slow
// misses runs, of which it gets the newest when it is done, and keeps nobody
// waiting.
type realm struct {
	name  string
	svc   *Service
	log   *zap.Logger
	wake  chan struct{}
	ended chan struct{} // closed when the realm is no longer configured
	work  sync.WaitGroup

	mu       sync.Mutex
	cfg      config.Realm
	sender   sender
	source   dumper
	gate     *gate
	watch    watching
	unwatch  func() // makes the watch begin anew; nil: there is none yet
	prepared dumper // whose directory is there
	kept     record.Realm
	replicas []*replica // in the order of the configuration
	current  *snapshot  // the newest, or nil
	alive    time.Time  // when the goroutine last looked around
	removed  bool       // it is no longer configured
	over     bool       // it begins no more runs

	alarm   *timetable.Alarm
	tickAt  time.Time // of a scheduled run that jitter delays; zero: none
	queue   []*run    // asked for, not begun
	dumping *run      // whose dump is under way, or nil

	last      uint64 // number of the last run
	dumps     uint64
	stages    []status.Stage // of the last dump
	engine    kdb.EngineChoice
	locked    time.Duration // see made
	runs      map[string]uint64
	skips     map[string]uint64
	err       string // of the last dump
	findings  []status.Finding
	failed    int       // dumps in a row
	failedAt  time.Time // the first of these
	redumpAt  time.Time // when a failed dump is tried again; zero: it is not
	redumpFor []*replica

	changes      changes
	files        *files // nil: none are configured
	unwatchFiles func() // makes their watch begin anew; nil: there is none yet
}

// sender propagates to one replica; *Sender is the real one.
type sender interface {
	propagate(ctx context.Context, t Target, d *sharedDump, o observer) Result
	port(t Target) string
}

// dumper takes a dump; *source is the real one.
type dumper interface {
	prepare() error
	take(ctx context.Context, stage func(string)) (*snapshot, []status.Stage, error)
	explain(err error) []status.Finding
	discard() error
}

// run decides until ctx ends or the realm is removed.
func (e *realm) run(ctx context.Context) {
	if _, err := e.dumper(); err != nil {
		e.log.Error("the directory of the dump cannot be used", zap.Error(err))
	}
	e.begin(e.svc.now())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.ended:
			return
		case <-e.wake:
		case <-timer.C:
		}
		now := e.svc.now()
		timer.Reset(max(e.step(ctx, now).Sub(now), time.Millisecond))
	}
}

// wakeUp makes the goroutine look around at once.
func (e *realm) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// begin makes all replicas take part in the first run. A run that the schedule
// had meanwhile is caught up with it, once.
func (e *realm) begin(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	reason := status.ByStart
	if next := e.kept.NextRun; !next.IsZero() && !next.After(now) {
		reason = status.ByMissed
	}
	for _, r := range e.replicas {
		e.welcome(r, reason, now)
	}
	e.files.want(reason)
	e.keepNext()
}

// welcome makes a replica take part in the next run. One with a schedule of its
// own is left to that, unless a run of it was missed or has failed.
func (e *realm) welcome(r *replica, reason status.Reason, now time.Time) {
	if r.alarm != nil && e.holds(r) && !r.cfg.Schedule.Next(r.kept.Holds.Time).Before(now) {
		return
	}
	r.want(reason)
}

// holds says that the replica has some content, and that nothing failed since.
func (e *realm) holds(r *replica) bool {
	return r.kept.Holds != nil && r.has(r.kept.Holds.Digest)
}

// step does what is due, and tells when to look again.
func (e *realm) step(ctx context.Context, now time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.alive = now
	e.tick(now)
	e.retry(ctx, now)
	e.redump(now)
	e.lookAtChanges(now)
	e.lookAtFiles(now)
	if e.dumping == nil {
		e.startRun(ctx, now)
	}
	if e.dumping == nil {
		e.startFiles(ctx, now)
	}
	return e.nextLook(now)
}

// tick marks those whose scheduled run is due.
func (e *realm) tick(now time.Time) {
	if due, missed := e.alarm.Due(now); due {
		e.skip("missed", missed)
		at := now
		if e.cfg.Jitter > 0 {
			at = now.Add(rand.N(e.cfg.Jitter))
		}
		// One that still waits comes first, else a long jitter puts it off for ever.
		e.tickAt = earlier(e.tickAt, at)
		e.keepNext()
	}
	if !e.tickAt.IsZero() && !now.Before(e.tickAt) {
		e.tickAt = time.Time{}
		e.files.want(status.BySchedule)
		e.tickAll()
	}
	for _, r := range e.replicas {
		if r.alarm == nil {
			continue
		}
		if due, missed := r.alarm.Due(now); due {
			e.skip("missed", missed)
			e.tickOne(r)
		}
	}
}

// tickAll is a tick of the realm's schedule. A run that is being dumped does for
// those that take part in it.
func (e *realm) tickAll() {
	// However long a failed dump would wait for its next try. Those with
	// schedules of their own have no part in this tick, and come along.
	for _, r := range e.redumpFor {
		if r.alarm != nil {
			r.want(status.ByRetry)
		}
	}
	e.redumpAt, e.redumpFor = time.Time{}, nil
	free, busy := 0, 0
	for _, r := range e.replicas {
		switch {
		case r.alarm != nil:
		case e.tickOne(r):
			free++
		case r.active():
			busy++
		}
	}
	if free == 0 && busy > 0 {
		e.skip("overlap", 1)
	}
}

// tickOne lets the scheduled run of a replica begin; false if it is under way or
// does not take part.
func (e *realm) tickOne(r *replica) bool {
	r.retryAt, r.tries = time.Time{}, 0
	switch {
	case !r.cfg.Enabled:
		return false
	case r.kept.Paused:
		r.skipped("paused")
		return false
	case r.transfer != nil:
		r.skipped("busy")
		r.again = true
		return false
	case e.inDump(r):
		return false
	}
	r.want(status.BySchedule)
	return true
}

// inDump says that the replica takes part in the run that is being dumped.
func (e *realm) inDump(r *replica) bool { return e.dumping != nil && e.dumping.part(r) != nil }

// retry tries again with the newest dump where the time has come, or with a new
// one if somebody has spoilt that. A replica of the run that is being dumped
// waits for that, which may leave it out.
func (e *realm) retry(ctx context.Context, now time.Time) {
	var due []*replica
	for _, r := range e.replicas {
		if r.retryAt.IsZero() || now.Before(r.retryAt) || r.transfer != nil || e.inDump(r) {
			continue
		}
		r.retryAt = time.Time{}
		if !r.active() {
			continue
		}
		if e.current == nil || e.current.spoilt {
			r.want(status.ByRetry)
			continue
		}
		due = append(due, r)
	}
	e.resend(ctx, due, status.ByRetry, now)
}

// resend starts a run without a dump of its own.
func (e *realm) resend(ctx context.Context, to []*replica, reason status.Reason, now time.Time) {
	if len(to) == 0 || ctx.Err() != nil {
		return
	}
	x := e.newRun(reason, now)
	x.phase, e.last = "send", x.id
	for _, r := range to {
		p := &part{replica: r, reason: reason}
		x.parts = append(x.parts, p)
		e.start(x, p)
	}
	e.count(reason)
}

// redump makes those take part in the next run for whom a dump has failed.
func (e *realm) redump(now time.Time) {
	if e.redumpAt.IsZero() || now.Before(e.redumpAt) {
		return
	}
	for _, r := range e.redumpFor {
		r.want(status.ByRetry)
	}
	e.redumpAt, e.redumpFor = time.Time{}, nil
}

// skip counts runs that did not take place.
func (e *realm) skip(why string, n int) {
	if n > 0 {
		e.skips[why] += uint64(n)
	}
}

func (e *realm) count(reason status.Reason) { e.runs[string(reason)]++ }

// nextLook is when something may be due next. Timers stand still while the
// machine sleeps and do not follow the clock when it is set, so it is never far.
func (e *realm) nextLook(now time.Time) time.Time {
	next := now.Add(timetable.WaitLimit)
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	sooner(e.alarm.Next())
	sooner(e.tickAt)
	sooner(e.redumpAt)
	if e.dumping == nil {
		sooner(e.changeDue())
		sooner(e.files.changeDue(&e.cfg))
	}
	for _, r := range e.replicas {
		if !e.inDump(r) {
			sooner(r.retryAt)
		}
		if r.alarm != nil {
			sooner(r.alarm.Next())
		}
	}
	return next
}

// nextFor is the next scheduled run of a replica.
func (e *realm) nextFor(r *replica) time.Time {
	switch {
	case r.alarm != nil:
		return r.alarm.Next()
	case !e.tickAt.IsZero():
		return e.tickAt
	}
	return e.alarm.Next()
}

// keepNext records when the next scheduled run is, so that it is known to be
// missed if nobody is there to do it.
func (e *realm) keepNext() {
	e.kept.NextRun = e.alarm.Next().UTC()
	e.keep()
}

// keep records the realm.
func (e *realm) keep() {
	if !e.removed {
		e.svc.noteStore(e.svc.store.PutRealm(e.name, e.kept))
	}
}
