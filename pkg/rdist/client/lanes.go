package client

import (
	"context"
	"sync"
)

// maxSlow is how many hosts that are only waited for may be there besides those
// that are worked on.
const maxSlow = 64

// lanes bound how many hosts are worked on. One that is waited for gives its
// place to another, so that dead and slow hosts do not hold up the rest.
type lanes struct {
	fast chan struct{}
	slow chan struct{}
}

func newLanes(n int) *lanes {
	return &lanes{fast: make(chan struct{}, n), slow: make(chan struct{}, maxSlow)}
}

// enter waits for a place; with ctx ended nobody waits any more.
func (l *lanes) enter(ctx context.Context) *lane {
	select {
	case l.fast <- struct{}{}:
		return &lane{lanes: l, fast: true}
	case <-ctx.Done():
		return &lane{lanes: l, left: true}
	}
}

// lane is the place of one host.
type lane struct {
	lanes *lanes
	mu    sync.Mutex
	fast  bool // it has a place
	gave  bool // it gave it away
	left  bool
}

// give gives the place to others, as long as there are not too many that did.
func (l *lane) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fast || l.left {
		return
	}
	select {
	case l.lanes.slow <- struct{}{}:
		l.fast, l.gave = false, true
		<-l.lanes.fast
	default:
	}
}

func (l *lane) slow() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gave
}

func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.left:
	case l.fast:
		<-l.lanes.fast
	case l.gave:
		<-l.lanes.slow
	}
	l.left = true
}
