package schedule

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/internal/status"
)

// base is a database that is made up; it implements dumper.
type base struct {
	w        *world
	mu       sync.Mutex
	content  string
	took     time.Duration // of a dump; it has the content of its beginning
	err      error
	begun    []time.Time
	prepared int
	gone     int // how often the dump was discarded
}

func (b *base) set(content string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.content = content
}

func (b *base) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *base) takes(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.took = d
}

// dumps gives when dumps have begun.
func (b *base) dumps() []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.begun)
}

func (b *base) prepare() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prepared++
	return nil
}

func (b *base) take(ctx context.Context, stage func(string)) (*snapshot, []status.Stage, error) {
	b.mu.Lock()
	content, took, err := b.content, b.took, b.err
	b.begun = append(b.begun, time.Now())
	b.mu.Unlock()
	stage("dump")
	if !rest(ctx, took) {
		return nil, nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, []status.Stage{{Name: "dump", Seconds: took.Seconds()}}, err
	}
	stage("verify")
	s := &snapshot{
		dump: &sharedDump{path: content}, users: 1,
		db: status.Database{Digest: content, Principals: 10, Bytes: 1000},
	}
	b.w.mu.Lock()
	b.w.snapshots = append(b.w.snapshots, s)
	b.w.mu.Unlock()
	return s, []status.Stage{{Name: "dump", Seconds: took.Seconds()}, {Name: "verify"}}, nil
}

func (b *base) discard() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone++
	return nil
}

// discarded is how often.
func (b *base) discarded() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gone
}

func (b *base) explain(err error) []status.Finding {
	return []status.Finding{{Problem: "the dump failed: " + err.Error(), Remedy: []string{"kdb5_util dump"}}}
}

// rest waits; false if ctx ends before.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// host is a receiver that is made up.
type host struct {
	mu     sync.Mutex
	took   time.Duration // of the sending
	load   time.Duration
	stall  string        // stage in which it stands still for took
	err    error         // instead of success
	breaks bool          // the connection, when half is sent
	holds  string        // content
	got    []string      // contents, oldest first
	at     []time.Time   // when each transfer began
	busy   int           // transfers under way
	most   int           // of these at once
	hung   chan struct{} // if set, sending lasts until it is closed
	sentTo []Target
}

// host gives the receiver of that name.
func (w *world) host(name string) *host {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hosts[name] == nil {
		w.hosts[name] = &host{took: 50 * time.Millisecond}
	}
	return w.hosts[name]
}

func (h *host) fail(err error) { h.set(func(h *host) { h.err = err }) }

func (h *host) set(change func(h *host)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h)
}

// hang makes transfers that begin from now on last until release.
func (h *host) hang() { h.set(func(h *host) { h.hung = make(chan struct{}) }) }

func (h *host) release() {
	h.set(func(h *host) {
		close(h.hung)
		h.hung = nil
	})
	synctest.Wait()
}

// contents are those that it has got, oldest first.
func (h *host) contents() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

// attempts are when transfers to it began.
func (h *host) attempts() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.at)
}

func (w *world) port(Target) string { return "754" }

var errRefused error = &ConnectError{Address: "192.0.2.1:754", Err: syscall.ECONNREFUSED}

func (w *world) propagate(ctx context.Context, t Target, d *sharedDump, o observer) Result {
	h := w.host(t.Host)
	begin := time.Now()
	h.mu.Lock()
	h.at = append(h.at, begin)
	h.sentTo = append(h.sentTo, t)
	h.busy++
	h.most = max(h.most, h.busy)
	h.mu.Unlock()
	r := Result{Host: t.Host, Dump: d.path, Address: t.address() + ":754", Bytes: 1000}
	r.Names.Server = principal.New(realmA, "host", t.Host)
	sw := &stopwatch{hear: o.stage}
	r.Err = h.receive(ctx, d.path, sw, o)
	sw.stop()
	r.Stages, r.Duration = sw.stages, time.Since(begin)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy--
	if r.Err == nil {
		h.holds = d.path
		h.got = append(h.got, d.path)
	}
	return r
}

// receive is a transfer; what the host is to do is settled at its beginning.
func (h *host) receive(ctx context.Context, content string, sw *stopwatch, o observer) error {
	h.mu.Lock()
	took, load, stall, err, hung, breaks := h.took, h.load, h.stall, h.err, h.hung, h.breaks
	h.mu.Unlock()
	for _, stage := range []string{"ticket", "connect", "authenticate", "send"} {
		sw.enter(stage)
		if stage == stall && !rest(ctx, took) {
			return context.Cause(ctx)
		}
	}
	if err != nil {
		return err
	}
	if hung != nil {
		select {
		case <-hung:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	blocks := max(10, took/(100*time.Millisecond))
	for i := range blocks {
		if stall == "" && !rest(ctx, took/blocks) {
			return context.Cause(ctx)
		}
		o.progress(int64(1000*(i+1)/blocks), 1000)
		if breaks && 2*(i+1) == blocks {
			return syscall.EPIPE
		}
	}
	sw.enter("load")
	if !rest(ctx, load) {
		return context.Cause(ctx)
	}
	return nil
}
