package schedule

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/check"
)

// start starts the transfer of the newest dump to a replica that has none.
func (e *realm) start(x *run, p *part) {
	now := e.svc.now()
	r, snap := p.replica, e.current.retain()
	t := &transfer{
		run: x, part: p, reason: p.reason, started: now, stage: "waiting",
		size: snap.db.Bytes, moved: now, content: snap.db.Digest, key: targetKey(r),
	}
	r.transfer, r.again, r.retryAt = t, false, time.Time{}
	if p.reason == status.ByRetry {
		r.counters.Retries++
	}
	job := &job{e: e, r: r, t: t, snap: snap, name: r.cfg.Name, gate: e.gate}
	e.work.Go(func() { job.do(e.svc.sending) })
}

// job is a transfer's work, with what it needs of a configuration that may
// change meanwhile: what holds when it begins, after waiting for its place.
type job struct {
	e      *realm
	r      *replica
	t      *transfer
	snap   *snapshot
	to     Target
	name   string
	gate   *gate
	sender sender
}

func (j *job) do(ctx context.Context) {
	result, leftOut := j.send(ctx)
	if leftOut == "" && result.Err != nil && ctx.Err() != nil {
		leftOut = interrupted
	}
	if leftOut != "" {
		j.leaveOut(leftOut)
		return
	}
	j.finished(result)
}

// interrupted is why nothing is known of a transfer when the service stops.
const interrupted = "interrupted"

// begin takes over what is configured by now. It tells why the transfer is not to
// begin after all, or nothing: keys must not go to a host that was taken out of
// the file while it waited.
func (j *job) begin() (leftOut string) {
	j.e.mu.Lock()
	defer j.e.mu.Unlock()
	switch r := j.r; {
	case r.gone || !r.cfg.Enabled:
		return "disabled"
	case r.kept.Paused && j.t.reason != status.ByRequest:
		return "paused"
	}
	j.to, j.sender, j.t.key = j.r.target(), j.e.sender, targetKey(j.r)
	return ""
}

// pending records that an attempt begins, of which nothing is known if this
// process ends before it does. One that only waits has not begun.
func (j *job) pending() {
	j.r.persist.Lock()
	defer j.r.persist.Unlock()
	j.e.mu.Lock()
	j.r.kept.Pending = &record.Pending{
		Run: j.t.run.id, Reason: j.t.reason, Started: j.t.started.UTC(), Digest: j.snap.db.Digest, Serial: j.snap.db.Serial,
	}
	kept, gone := j.r.kept, j.r.gone
	j.e.mu.Unlock()
	if !gone {
		j.e.svc.noteStore(j.e.svc.store.PutReplica(j.e.name, j.name, kept))
	}
}

// send gives the outcome, or why nothing was sent.
func (j *job) send(ctx context.Context) (result Result, leftOut string) {
	// What still waits when the service is told to stop does not begin.
	place, err := j.gate.enter(j.e.svc.running)
	if err != nil {
		return Result{}, interrupted
	}
	defer place.leave()
	if leftOut := j.begin(); leftOut != "" {
		return Result{}, leftOut
	}
	j.pending()
	return j.sender.propagate(ctx, j.to, j.snap.dump, observer{
		stage: func(name string) {
			switch name {
			case "send":
				place.comeBack(ctx)
			case "load":
				place.leave()
			default:
				place.moved()
			}
			j.update(func(t *transfer) { t.stage = name })
		},
		progress: func(sent, size int64) {
			place.moved()
			j.update(func(t *transfer) { t.sent, t.size = sent, size })
		},
	}), ""
}

func (j *job) update(change func(*transfer)) {
	now := j.e.svc.now()
	j.e.mu.Lock()
	defer j.e.mu.Unlock()
	change(j.t)
	j.t.moved = now
}

// leaveOut ends a transfer that has not begun, or whose outcome is not known,
// since kprop serve stops. The latter stays on record as pending.
func (j *job) leaveOut(why string) {
	j.e.mu.Lock()
	defer j.e.mu.Unlock()
	j.r.transfer = nil
	j.t.part.skipped = why
	if why != interrupted {
		j.r.skipped(why)
	}
	j.e.settle(j.t.run, j.e.svc.now())
	j.snap.drop()
}

// finished records the outcome, and plans what follows from it.
func (j *job) finished(result Result) {
	e, r := j.e, j.r
	a := j.attempt(result)
	r.persist.Lock()
	defer r.persist.Unlock()
	e.mu.Lock()
	failures := r.kept.Failures
	j.conclude(a)
	kept, gone := r.kept, r.gone
	e.mu.Unlock()
	// Whoever reads the status gets a only once Finish has numbered it.
	kept.Last = a
	if !gone {
		e.svc.noteStore(e.svc.store.Finish(e.name, j.name, kept, a))
	}
	// Before the run counts as done, so that whoever waits for it finds it.
	j.log(a, result)
	e.svc.hooks.finished(e, a, failures, kept.Failures)
	e.mu.Lock()
	j.publish(a, result)
	e.mu.Unlock()
	e.wakeUp()
}

// conclude changes what is kept of the replica.
func (j *job) conclude(a *status.Attempt) {
	kept := &j.r.kept
	kept.Pending = nil
	if !a.OK {
		if kept.Failures == 0 {
			kept.FailingSince = a.Started
		}
		kept.Failures++
		return
	}
	kept.Failures, kept.FailingSince = 0, time.Time{}
	kept.Holds = &status.Holding{
		Target: j.t.key, Digest: a.Digest, Serial: a.Serial, Principals: a.Principals, Bytes: a.Bytes,
		Time: j.e.svc.now().UTC(), Seconds: a.Seconds,
	}
}

// publish makes the outcome known and plans the next attempt.
func (j *job) publish(a *status.Attempt, result Result) {
	e, r := j.e, j.r
	now := e.svc.now()
	r.transfer, r.kept.Last = nil, a
	j.t.part.result = a
	r.note(a)
	r.address = a.Address
	if len(result.Names.Server.Components) > 0 {
		r.server = result.Names.Server.String()
	}
	switch {
	case a.OK:
		r.tries = 0
		if a.Digest == e.kept.Digest {
			r.lacking = time.Time{}
		}
	default:
		if j.t.reason != status.ByRequest || r.tries == 0 {
			r.tries++ // whoever tries by hand does not make the others wait
		}
		at := now.Add(backoff(e.cfg.Retry, r.tries, rand.Float64()))
		if next := e.nextFor(r); next.IsZero() || at.Before(next) {
			r.retryAt = at
		}
		j.snap.spoilt = j.snap.spoilt || spoils(result.Err)
	}
	j.snap.drop()
	e.settle(j.t.run, now)
	// What a run brought while this replica was busy.
	if r.again && a.OK && r.active() && !r.has(e.current.db.Digest) {
		e.resend(e.svc.running, []*replica{r}, status.ByChange, now)
	}
	r.again = false
}

func (j *job) attempt(result Result) *status.Attempt {
	a := &status.Attempt{
		Run: j.t.run.id, Realm: j.e.name, Replica: j.name, Host: j.to.Host, Address: result.Address, Reason: j.t.reason,
		Started: j.t.started.UTC(), Seconds: result.Duration.Seconds(), Stages: result.Stages, OK: result.Err == nil,
		Bytes: j.snap.db.Bytes, Principals: j.snap.db.Principals, Serial: j.snap.db.Serial, Digest: j.snap.db.Digest,
		Engine: string(j.snap.engine.Engine), LockSeconds: j.snap.locked.Seconds(),
	}
	if f, odd := result.Warning(); odd {
		a.Warning = f.String()
	}
	if result.Err != nil {
		a.Bytes = j.sent()
		a.Error = errorText(result)
		a.Findings = findings(result.Findings(j.sender.port(j.to)))
	}
	return a
}

// sent is how much of the dump has gone out.
func (j *job) sent() int64 {
	j.e.mu.Lock()
	defer j.e.mu.Unlock()
	return j.t.sent
}

// errorText is what MIT's kprop prints, or what else is known.
func errorText(result Result) string {
	var lines []string
	for _, line := range MITLines("kprop", result.Err) {
		if line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return oneLine(result.Err)
	}
	return strings.Join(lines, "\n")
}

func findings(from []check.Finding) []status.Finding {
	var to []status.Finding
	for _, f := range from {
		to = append(to, status.Finding{Problem: f.Problem, Remedy: f.Remedy})
	}
	return to
}

func (j *job) log(a *status.Attempt, result Result) {
	fields := []zap.Field{
		zap.String("replica", a.Replica), zap.Uint64("run", a.Run), zap.String("reason", string(a.Reason)),
		zap.Int64("bytes", a.Bytes), zap.Int("principals", a.Principals), zap.Duration("duration", result.Duration),
	}
	switch {
	case a.OK:
		j.e.log.Info("propagated", fields...)
	default:
		fields = append(fields, zap.String("error", a.Error))
		j.e.log.Error("propagation failed", append(fields, findingFields(a.Findings)...)...)
	}
	if result.LastPropErr != nil {
		j.e.log.Warn("the mark of the propagation cannot be written", zap.Error(result.LastPropErr))
	}
}

// findingFields is the first finding for the log.
func findingFields(f []status.Finding) []zap.Field {
	if len(f) == 0 {
		return nil
	}
	return []zap.Field{zap.String("cause", f[0].Problem), zap.Strings("remedy", f[0].Remedy)}
}
