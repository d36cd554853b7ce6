package schedule

import (
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/status"
)

// changes decides when a change of the database's files starts a run, or one of
// the files around it, for which there is no rest. Every
// login changes them too, which only a dump can tell; so a dump that found
// nothing new is followed by a rest of ten times as long as it took, and looking
// costs at most a tenth of one processor.
type changes struct {
	first    time.Time // change that no dump has seen; zero: none
	last     time.Time // the latest of these
	lastRun  time.Time // start of the last run for a change
	restTill time.Time
}

const (
	restFactor = 10
	// restLimit bounds the rest where a dump takes minutes.
	restLimit = 15 * time.Minute
	// settlesWithin bounds the wait for a database that changes all the time,
	// as a multiple of the settle time.
	settlesWithin = 3
)

// noteChange is called when the database's files have changed.
func (e *realm) noteChange() {
	e.noteIn(func() *changes { return &e.changes })
}

// noteFilesChange is called when the distfile or one of its sources has changed.
func (e *realm) noteFilesChange() {
	e.noteIn(func() *changes {
		if e.files == nil {
			return nil // taken out of the configuration meanwhile
		}
		return &e.files.changes
	})
}

func (e *realm) noteIn(of func() *changes) {
	now := e.svc.now()
	e.mu.Lock()
	if c := of(); c != nil {
		if c.first.IsZero() {
			c.first = now
		}
		c.last = now
	}
	e.mu.Unlock()
	e.wakeUp()
}

// changeDue is when a change that was seen starts a run; zero if there is none.
func (e *realm) changeDue() time.Time { return e.changes.due(&e.cfg) }

func (c *changes) due(cfg *config.Realm) time.Time {
	if c.first.IsZero() || !cfg.OnChange {
		return time.Time{}
	}
	due := c.last.Add(cfg.Settle)
	if limit := c.first.Add(settlesWithin * cfg.Settle); due.After(limit) {
		due = limit
	}
	if !c.lastRun.IsZero() {
		due = later(due, c.lastRun.Add(cfg.MinInterval))
	}
	return later(due, c.restTill)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// lookAtChanges makes the replicas take part in a run for a change.
func (e *realm) lookAtChanges(now time.Time) {
	due := e.changeDue()
	if due.IsZero() || now.Before(due) || e.dumping != nil {
		return
	}
	for _, r := range e.replicas {
		if r.followsChanges() {
			r.want(status.ByChange)
		}
	}
	if !e.anyWanted() {
		e.changes.first = time.Time{} // nobody to tell
	}
}

// followsChanges says that a change concerns the replica: not if it has a
// schedule of its own.
func (r *replica) followsChanges() bool { return r.active() && r.alarm == nil }

func (e *realm) anyWanted() bool {
	for _, r := range e.replicas {
		if r.wanted != "" {
			return true
		}
	}
	return false
}

// seen says that a dump which begins now will have the changes so far, and that
// all whom they concern take part.
func (c *changes) seen() { c.first, c.last = time.Time{}, time.Time{} }

// looked tells what a run for a change has found, which began at started.
func (c *changes) looked(found bool, started, now time.Time) {
	if found {
		c.lastRun = started
		return
	}
	c.restTill = now.Add(min(restFactor*now.Sub(started), restLimit))
}
