package schedule

import (
	"context"
	"sync"
	"time"
)

// gate bounds how many transfers work at once. A place in it belongs to a
// transfer only while something moves: one that stands still for stallTime gives
// its place to the next and goes on beside the others, and so does one whose
// replica loads. So stalled replicas, however many, never keep out the others.
type gate struct {
	places    chan struct{}
	stallTime time.Duration
}

const (
	// stallTime is short, since giving up a place too early costs little.
	defaultStallTime = 500 * time.Millisecond
	// comebackWait bounds how long an authenticated connection waits for a
	// place: kpropd closes it after a minute without a word.
	comebackWait = 20 * time.Second
)

func newGate(parallel int) *gate {
	return &gate{places: make(chan struct{}, parallel), stallTime: defaultStallTime}
}

// place is one transfer's claim to the gate.
type place struct {
	g     *gate
	mu    sync.Mutex
	held  bool
	timer *time.Timer
}

// enter waits for a place.
func (g *gate) enter(ctx context.Context) (*place, error) {
	p := &place{g: g}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	select {
	case g.places <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
	p.timer = time.AfterFunc(g.stallTime, p.leave)
	return p, nil
}

// moved says that the transfer goes on.
func (p *place) moved() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.timer.Reset(p.g.stallTime)
	}
}

// comeBack gets a place again where it was lost, or goes on without one after a
// while.
func (p *place) comeBack(ctx context.Context) {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held {
		p.moved()
		return
	}
	wait := time.NewTimer(comebackWait)
	defer wait.Stop()
	select {
	case p.g.places <- struct{}{}:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.held = true
		p.timer.Reset(p.g.stallTime)
	case <-wait.C:
	case <-ctx.Done():
	}
}

// leave gives the place up. It may be called again.
func (p *place) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	if p.held {
		p.held = false
		<-p.g.places
	}
}
