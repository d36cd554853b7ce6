package schedule

import (
	"strings"
	"sync"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/internal/timetable"
)

// replica is what is known of one receiver while kprop serve runs. All but
// persist is guarded by the mutex of its realm.
type replica struct {
	// persist is held while kept is changed and written, so that the file gets
	// the changes in their order. It is taken before the realm's mutex.
	persist sync.Mutex
	kept    record.Replica

	cfg      config.Replica
	alarm    *timetable.Alarm // of a schedule of its own, or nil
	wanted   status.Reason    // why it takes part in the next run; empty: it does not
	again    bool             // a run passed it over since it was busy
	transfer *transfer        // under way, or nil
	retryAt  time.Time        // of the next try after a failure; zero: none
	tries    int              // after the last failure that a run did not follow
	lacking  time.Time        // since when it lacks the database's content; zero: it does not, as far as is known
	recent   []status.Outcome // oldest first
	counters status.Counters
	address  string // that was last tried
	server   string // principal that was last asked for
	gone     bool   // no longer configured; the last transfer goes on
}

// transfer is an attempt that is under way.
type transfer struct {
	run     *run
	part    *part
	reason  status.Reason
	started time.Time
	stage   string
	sent    int64
	size    int64
	moved   time.Time // when the stage or the bytes changed last
	content string    // digest
	key     string    // targetKey of the receiver
}

// stalledAfter is when a transfer in which nothing moves is shown as stalled.
// One whose replica loads is not: of a load nothing is to be seen.
const stalledAfter = 5 * time.Second

func (t *transfer) describe(now time.Time) *status.Transfer {
	if t == nil {
		return nil
	}
	return &status.Transfer{
		Run: t.run.id, Reason: t.reason, Started: t.started.UTC(), Stage: t.stage, Sent: t.sent, Size: t.size,
		Stalled: t.stage != "load" && t.stage != "waiting" && now.Sub(t.moved) > stalledAfter,
	}
}

// target is where and how to send.
func (r *replica) target() Target {
	return Target{
		Name: r.cfg.Name, Host: r.cfg.Host, Address: r.cfg.Address, Port: r.cfg.Port,
		Principal: r.cfg.Principal, RateLimit: r.cfg.RateLimit,
	}
}

// active says that it takes part in runs.
func (r *replica) active() bool { return r.cfg.Enabled && !r.kept.Paused && !r.gone }

// has says that it has acknowledged the content, and that nothing has failed
// since.
func (r *replica) has(digest string) bool {
	return r.acknowledged(digest) && r.kept.Failures == 0 && r.kept.Pending == nil
}

// acknowledged says that this content was the last that it has acknowledged.
func (r *replica) acknowledged(digest string) bool {
	h := r.kept.Holds
	return h != nil && h.Digest == digest && h.Target == targetKey(r)
}

// targetKey says which receiver it is: what is known of one at another place is
// worth nothing.
func targetKey(r *replica) string {
	return strings.Join([]string{r.cfg.Host, r.cfg.Address, r.cfg.Port}, " ")
}

// want makes it take part in the next run. The weightier reason stays.
func (r *replica) want(reason status.Reason) {
	if weight(reason) > weight(r.wanted) {
		r.wanted = reason
	}
}

func weight(r status.Reason) int {
	switch r {
	case "":
		return 0
	case status.ByRetry:
		return 1
	case status.ByChange:
		return 2
	case status.ByRequest:
		return 4
	}
	return 3
}

// maxRecent is how many outcomes a status has.
const maxRecent = 30

func (r *replica) note(a *status.Attempt) {
	c := &r.counters
	if a.OK {
		c.Succeeded++
	} else {
		c.Failed++
	}
	c.Bytes += uint64(max(a.Bytes, 0))
	for _, stage := range a.Stages {
		c.AddStage(stage)
	}
	r.recent = append(r.recent, status.Outcome{Time: a.Started, OK: a.OK, Seconds: a.Seconds, Bytes: a.Bytes})
	if n := len(r.recent) - maxRecent; n > 0 {
		r.recent = append([]status.Outcome(nil), r.recent[n:]...)
	}
}

func (r *replica) skipped(why string) {
	if r.counters.Skipped == nil {
		r.counters.Skipped = map[string]uint64{}
	}
	r.counters.Skipped[why]++
}
