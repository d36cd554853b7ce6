package schedule

import (
	"sync"
	"time"

	"github.com/kprop/kprop/internal/status"
)

// run is one run over a realm: one dump, sent to those that need it. It is
// guarded by the mutex of its realm.
type run struct {
	id       uint64
	realm    *realm
	reason   status.Reason
	started  time.Time
	ended    time.Time
	phase    string // "queued", "dump", "verify", "send", "done"
	err      string
	findings []status.Finding
	parts    []*part
}

// part is a replica's part of a run.
type part struct {
	replica *replica
	reason  status.Reason
	force   bool // send also if it has the content
	result  *status.Attempt
	skipped string
}

// open says that the part is still under way.
func (p *part) open() bool { return p.result == nil && p.skipped == "" }

func (r *run) part(rep *replica) *part {
	for _, p := range r.parts {
		if p.replica == rep {
			return p
		}
	}
	return nil
}

// settle ends the run if nothing of it is under way, and says whether it did.
func (r *run) settle(now time.Time) bool {
	if r.phase != "send" {
		return false
	}
	for _, p := range r.parts {
		if p.open() {
			return false
		}
	}
	r.phase, r.ended = "done", now
	return true
}

// fail ends a run that has no dump.
func (r *run) fail(why string, now time.Time) {
	for _, p := range r.parts {
		p.skipped = "no dump"
	}
	r.phase, r.ended, r.err = "done", now, why
}

// idle says why a run that sends nothing did not take place.
func (r *run) idle() string {
	for _, p := range r.parts {
		if p.skipped != "busy" {
			return "unchanged"
		}
	}
	return "overlap"
}

func (r *run) describe(now time.Time) *status.Run {
	d := &status.Run{
		ID: r.id, Realm: r.realm.name, Reason: r.reason, Started: r.started.UTC(), Ended: r.ended.UTC(),
		Phase: r.phase, Error: r.err, Findings: r.findings, Replicas: []status.RunReplica{},
	}
	for _, p := range r.parts {
		part := status.RunReplica{Name: p.replica.cfg.Name, Result: p.result, Skipped: p.skipped}
		if t := p.replica.transfer; t != nil && t.run == r {
			part.Transfer = t.describe(now)
		}
		d.Replicas = append(d.Replicas, part)
	}
	return d
}

// runs remembers the last runs by their numbers.
type runs struct {
	mu   sync.Mutex
	byID map[uint64]*run
	ids  []uint64 // oldest first
	last uint64   // the greatest
}

// maxRuns is how many can be asked for.
const maxRuns = 200

// add remembers a run. One whose number another has, or that has none, gets one
// of its own: a state file that could not be written for a while does not know
// of those that were given meanwhile.
func (r *runs) add(x *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[uint64]*run{}
	}
	if x.id == 0 || r.byID[x.id] != nil {
		x.id = r.last + 1
	}
	r.last = max(r.last, x.id)
	r.byID[x.id] = x
	r.ids = append(r.ids, x.id)
	if len(r.ids) > maxRuns {
		delete(r.byID, r.ids[0])
		r.ids = append([]uint64(nil), r.ids[1:]...)
	}
}

func (r *runs) get(id uint64) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}
