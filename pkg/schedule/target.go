package schedule

import (
	"context"
	"io"
	"time"

	"golang.org/x/time/rate"

	"github.com/kprop/kprop/internal/status"
)

// Target is a replica as a propagation needs it.
type Target struct {
	Name      string // of the mark <dump>.NAME.last_prop; empty: Host
	Host      string // as the user names it; the principal follows from it
	Address   string // name or address to connect to; empty: Host
	Port      string // number or service name; empty: the Sender's
	Principal string // empty: host/<canonical name of Host>
	RateLimit int64  // bytes of the dump a second; 0: none
}

func (t *Target) address() string {
	if t.Address != "" {
		return t.Address
	}
	return t.Host
}

// observer hears how a propagation goes on, from the propagation's own
// goroutine. Each part may be nil.
type observer struct {
	stage    func(name string) // a stage begins
	progress func(sent, size int64)
}

// stopwatch measures the stages of a propagation, one after the other.
type stopwatch struct {
	hear   func(name string)
	stages []status.Stage
	since  time.Time
}

// enter ends the stage before, if there is one, and begins the next.
func (w *stopwatch) enter(name string) {
	w.stop()
	w.stages = append(w.stages, status.Stage{Name: name})
	w.since = time.Now()
	if w.hear != nil {
		w.hear(name)
	}
}

// stop ends the last stage. It may be called once more than there are stages.
func (w *stopwatch) stop() {
	if n := len(w.stages); n > 0 && !w.since.IsZero() {
		w.stages[n-1].Seconds = time.Since(w.since).Seconds()
		w.since = time.Time{}
	}
}

// limitedReader reads so many bytes a second, in steps of at most a second's
// worth.
type limitedReader struct {
	ctx context.Context
	r   io.Reader
	l   *rate.Limiter
}

// limited gives r with a limit in bytes a second, or r itself without one.
func limited(ctx context.Context, r io.Reader, perSecond int64) io.Reader {
	if perSecond <= 0 {
		return r
	}
	return &limitedReader{ctx: ctx, r: r, l: rate.NewLimiter(rate.Limit(perSecond), int(perSecond))}
}

func (r *limitedReader) Read(p []byte) (int, error) {
	p = p[:min(len(p), r.l.Burst())]
	n, err := r.r.Read(p)
	if n > 0 {
		if late := r.l.WaitN(r.ctx, n); late != nil && err == nil {
			err = late
		}
	}
	return n, err
}
