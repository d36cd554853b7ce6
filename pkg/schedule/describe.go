package schedule

import (
	"maps"
	"slices"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// describe is the realm's part of the status.
func (e *realm) describe(now time.Time) status.Realm {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := status.Realm{
		Name: e.name, Schedule: e.cfg.Schedule.String(), Timezone: e.cfg.Schedule.Location().String(),
		OnChange: e.cfg.OnChange, Watching: e.watch.events, NextRun: utc(e.alarm.Next()), LastRun: utc(e.kept.LastRun),
		Runs: maps.Clone(e.runs), Skipped: maps.Clone(e.skips), Database: e.kept.Database,
		Error: e.err, Findings: e.findings, Dumps: e.dumps, Stages: slices.Clone(e.stages),
		Engine: string(e.engine.Engine), EngineReason: e.engine.Reason, LockSeconds: e.locked.Seconds(),
		Run: e.last, Replicas: []status.Replica{},
	}
	d.Files = e.describeFiles(now)
	if e.dumping != nil {
		d.Phase = e.dumping.phase
	}
	for _, r := range e.replicas {
		d.Replicas = append(d.Replicas, e.describeReplica(r, now))
	}
	return d
}

func (e *realm) describeReplica(r *replica, now time.Time) status.Replica {
	d := status.Replica{
		Name: r.cfg.Name, Host: r.cfg.Host, Address: r.address, Principal: r.server, State: e.state(r), Paused: r.kept.Paused,
		Failures: r.kept.Failures, FailingSince: utc(r.kept.FailingSince), Holds: r.kept.Holds, Last: r.kept.Last,
		Transfer: r.transfer.describe(now), Recent: slices.Clone(r.recent), Counters: r.counters,
	}
	d.Counters.Skipped = maps.Clone(d.Counters.Skipped)
	d.Counters.Stages = slices.Clone(d.Counters.Stages)
	if r.active() {
		d.NextRun = utc(e.nextFor(r))
		switch {
		case !r.retryAt.IsZero():
			d.NextRun, d.Retry = utc(r.retryAt), true
		case !e.redumpAt.IsZero() && slices.Contains(e.redumpFor, r):
			d.NextRun, d.Retry = utc(e.redumpAt), e.failed > 0
		}
		d.Overdue = e.overdue(r, now)
	}
	if since := e.lacksSince(r); !since.IsZero() {
		d.LagSeconds = max(now.Sub(since).Seconds(), 0)
		if h := r.kept.Holds; h != nil && h.Target == targetKey(r) && h.Serial < e.kept.Serial {
			d.Behind = e.kept.Serial - h.Serial
		}
	}
	return d
}

// state says how a replica stands.
func (e *realm) state(r *replica) status.State {
	switch {
	case !r.cfg.Enabled:
		return status.Disabled
	case r.transfer != nil:
		return status.Running
	case r.kept.Paused:
		return status.Paused
	case r.kept.Failures > 0:
		return status.Failing
	case e.kept.Digest == "" || !r.has(e.kept.Digest):
		return status.Behind
	}
	return status.Current
}

// lacksSince is since when the replica has lacked the database's content; zero
// if it does not. After a restart, where that is not known any more, it is when
// the content was first seen.
func (e *realm) lacksSince(r *replica) time.Time {
	if e.kept.Digest == "" || r.acknowledged(e.kept.Digest) {
		return time.Time{}
	}
	if !r.lacking.IsZero() {
		return r.lacking
	}
	return e.kept.Changed
}

// overdue says that a scheduled run should have mended what is wrong with the
// replica, or with the dump; or that it never got the database at all.
func (e *realm) overdue(r *replica, now time.Time) bool {
	if r.kept.Holds == nil && (r.kept.Failures > 0 || e.failed > 0) {
		return true
	}
	since := e.lacksSince(r)
	if r.kept.Failures > 0 {
		since = earlier(since, r.kept.FailingSince)
	}
	if e.failed > 0 {
		since = earlier(since, e.failedAt)
	}
	if since.IsZero() {
		return false
	}
	due := e.scheduleOf(r).Next(since)
	if due.IsZero() {
		return false
	}
	if r.alarm == nil {
		due = due.Add(e.cfg.Jitter)
	}
	if r.transfer != nil {
		// The scheduled run may just be at it.
		due = due.Add(2 * e.cfg.IdleTimeout)
	}
	return now.After(due)
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// utc is t as it is shown; the zero time stays what it is.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}
