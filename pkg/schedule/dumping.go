package schedule

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/status"
)

// newRun gives a run its number.
func (e *realm) newRun(reason status.Reason, now time.Time) *run {
	id, err := e.svc.store.NextRun()
	e.svc.noteStore(err)
	x := &run{id: id, realm: e, reason: reason, started: now, phase: "dump"}
	e.svc.runs.add(x)
	return x
}

// startRun starts the run that was asked for, if there is one, with those that
// are wanted by other reasons.
func (e *realm) startRun(ctx context.Context, now time.Time) {
	if ctx.Err() != nil || e.removed {
		return
	}
	var x *run
	if len(e.queue) > 0 {
		x, e.queue = e.queue[0], e.queue[1:]
		x.started, x.phase = now, "dump"
	}
	all := true // whom a change concerns take part
	for _, r := range e.replicas {
		reason := r.wanted
		r.wanted = ""
		switch {
		case x != nil && x.part(r) != nil:
			continue
		case reason == "" || !r.active():
			all = all && !r.followsChanges()
			continue
		case x == nil:
			x = e.newRun(reason, now)
		}
		if weight(reason) > weight(x.reason) {
			x.reason = reason
		}
		x.parts = append(x.parts, &part{replica: r, reason: reason})
	}
	if x == nil {
		return
	}
	if all {
		e.changes.seen()
	}
	e.dumping, e.last = x, x.id
	e.work.Go(func() { e.dump(ctx, x) })
}

func (e *realm) dump(ctx context.Context, x *run) {
	snap, stages, err := e.takeDump(ctx, x)
	now := e.svc.now()
	e.mu.Lock()
	e.dumping = nil
	e.stages = stages
	if err != nil {
		e.dumpFailed(ctx, x, err, now)
	} else {
		e.dumped(x, snap, now)
	}
	e.mu.Unlock()
	e.wakeUp()
}

func (e *realm) takeDump(ctx context.Context, x *run) (*snapshot, []status.Stage, error) {
	source, err := e.dumper()
	if err != nil {
		return nil, nil, err
	}
	return source.take(ctx, func(stage string) {
		e.mu.Lock()
		defer e.mu.Unlock()
		x.phase = stage
	})
}

// dumper gives what takes the dumps. After a change of the configuration that
// is another, which is prepared first.
func (e *realm) dumper() (dumper, error) {
	e.mu.Lock()
	source, former := e.source, e.prepared
	e.mu.Unlock()
	if source == former {
		return source, nil
	}
	err := source.prepare()
	if err == nil {
		e.mu.Lock()
		e.prepared = source
		e.mu.Unlock()
	}
	return source, err
}

// refuseQueue ends the runs that were asked for and will not begin.
func (e *realm) refuseQueue() {
	now := e.svc.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	why := errStopped.Error()
	if e.removed {
		why = "the realm is no longer configured"
	}
	for _, x := range e.queue {
		x.fail(why, now)
	}
	e.queue = nil
}

// close gives up the newest dump.
func (e *realm) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current.drop()
	e.current = nil
}

// dumpFailed ends a run. The dump is tried again after a while.
func (e *realm) dumpFailed(ctx context.Context, x *run, err error, now time.Time) {
	x.fail(oneLine(err), now)
	if ctx.Err() != nil {
		return
	}
	if e.failed == 0 {
		e.failedAt = now
	}
	e.failed++
	e.err, e.findings = x.err, e.source.explain(err)
	x.findings = e.findings
	at := now.Add(backoff(e.cfg.Retry, e.failed, rand.Float64()))
	e.changes.restTill = at // a change is no reason to try sooner
	if next := e.alarm.Next(); next.IsZero() || at.Before(next) {
		e.redumpAt = at
	}
	for _, p := range x.parts {
		if !slices.Contains(e.redumpFor, p.replica) {
			e.redumpFor = append(e.redumpFor, p.replica)
		}
	}
	e.log.Error("dump failed", append(findingFields(e.findings), zap.String("error", e.err), zap.Int("failures", e.failed))...)
	e.svc.hooks.dumpFailed(e, x.err, e.findings)
}

// dumped sends the dump to those of the run who need it.
func (e *realm) dumped(x *run, snap *snapshot, now time.Time) {
	e.dumps++
	if e.failed > 0 {
		e.log.Info("dump succeeded again", zap.Int("failures", e.failed))
		e.svc.hooks.dumpRecovered(e)
		e.changes.restTill = time.Time{}
	}
	e.err, e.findings, e.failed = "", nil, 0
	changed := e.newContent(snap, now)
	e.kept.LastRun = x.started.UTC()
	e.keep()
	e.current.drop()
	e.current = snap
	if e.engine != snap.engine {
		e.log.Info("the engine of the dumps", zap.Stringer("engine", snap.engine))
	}
	e.engine, e.locked = snap.engine, snap.locked
	if snap.left != nil {
		e.log.Warn("the engine cannot read the database, and kdb5_util has dumped it", zap.Error(snap.left))
	}
	if snap.warning != "" {
		e.log.Warn("kdb5_util complained about a dump that is good", zap.String("error", snap.warning))
	}
	if x.reason == status.ByChange {
		e.changes.looked(changed, x.started, now)
	}
	x.phase = "send"
	sends := 0
	for _, p := range x.parts {
		if e.decide(x, p, changed, now) {
			sends++
		}
	}
	if sends > 0 || x.reason == status.ByRequest {
		e.count(x.reason)
	} else {
		e.skip(x.idle(), 1)
	}
	level := zap.InfoLevel
	if sends == 0 && !changed {
		level = zap.DebugLevel // on a busy KDC, logins make one of these every few seconds
	}
	e.log.Log(level, "dumped", zap.Uint64("run", x.id), zap.String("reason", string(x.reason)), zap.Bool("changed", changed),
		zap.Uint64("serial", e.kept.Serial), zap.Int("principals", snap.db.Principals), zap.Int64("bytes", snap.db.Bytes),
		zap.Duration("duration", now.Sub(x.started)), zap.Int("replicas", sends),
		zap.Stringer("engine", snap.engine), zap.Duration("locked", snap.locked))
	e.settle(x, now)
}

// newContent takes over what the dump holds, and says whether that is new.
func (e *realm) newContent(snap *snapshot, now time.Time) bool {
	db, former := snap.db, e.kept.Database
	db.Dumped, db.Serial, db.Changed = now.UTC(), former.Serial, former.Changed
	changed := db.Digest != former.Digest
	if changed {
		db.Serial++
		db.Changed = now.UTC()
		for _, r := range e.replicas {
			switch {
			case r.acknowledged(db.Digest):
				r.lacking = time.Time{} // what it has is there again
			case r.lacking.IsZero():
				r.lacking = now
			}
		}
	}
	e.kept.Database = db
	snap.db = db
	return changed
}

// decide sends the newest dump to a replica, or says why not.
func (e *realm) decide(x *run, p *part, changed bool, now time.Time) bool {
	r := p.replica
	switch digest := e.current.db.Digest; {
	case !r.cfg.Enabled || r.gone:
		p.skipped = "disabled"
	case r.kept.Paused && p.reason != status.ByRequest:
		p.skipped = "paused"
	case r.transfer != nil:
		p.skipped = "busy"
		r.again = r.again || r.transfer.content != digest || r.transfer.key != targetKey(r)
	case !p.force && r.has(digest) && !e.stale(r, now):
		p.skipped = "unchanged"
		r.lacking = time.Time{}
	case p.reason == status.ByChange && !changed && r.kept.Failures > 0:
		p.skipped = "waiting" // a login is no reason to try again sooner
	default:
		e.start(x, p)
		return true
	}
	r.skipped(p.skipped)
	return false
}

// stale says that the replica's content is to be sent again, though it should
// have it: somebody may have tampered with it. A scheduled run that comes a
// little before the time does it, else one a day would refresh every other day.
func (e *realm) stale(r *replica, now time.Time) bool {
	age := now.Sub(r.kept.Holds.Time)
	early := min(e.nextFor(r).Sub(now)/2, e.cfg.Refresh/10)
	// From the future: the clock was wrong then, or is now.
	return e.cfg.Refresh > 0 && (age >= e.cfg.Refresh-max(early, 0) || age < -maxAhead)
}

// maxAhead is by how much a time of the past may lie ahead of the clock.
const maxAhead = time.Minute

// settle ends a run of which nothing is under way any more.
func (e *realm) settle(x *run, now time.Time) {
	if x.settle(now) {
		e.svc.hooks.heartbeat(e.svc.allCurrent)
	}
}
