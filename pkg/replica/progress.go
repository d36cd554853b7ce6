package replica

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// stalled watches a program and ends its context when it has made no progress
// for a time: neither its processor time nor its input and output has grown,
// nor those of its children. Tell it the process with started.
type stalled struct {
	limit  time.Duration
	cancel context.CancelCauseFunc
	pid    atomic.Int64
}

// watchProgress gives a context that ends when the program stands still, or
// stop is called.
func watchProgress(ctx context.Context, limit time.Duration) (_ context.Context, w *stalled, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w = &stalled{limit: limit, cancel: cancel}
	go w.run(ctx)
	return ctx, w, func() { cancel(nil) }
}

func (w *stalled) started(pid int) { w.pid.Store(int64(pid)) }

func (w *stalled) run(ctx context.Context) {
	tick := time.NewTicker(min(time.Second, max(w.limit/10, time.Millisecond)))
	defer tick.Stop()
	last, since := "", time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := work(int(w.pid.Load())); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) > w.limit {
			w.cancel(fmt.Errorf("it was stopped after %v without progress", w.limit))
			return
		}
	}
}

// work is a text that changes while the process and its children work; see
// proc(5). It is always the same where the system does not tell.
func work(pid int) string {
	if pid == 0 {
		return ""
	}
	dir := "/proc/" + strconv.Itoa(pid)
	out := used(dir)
	children, _ := os.ReadFile(dir + "/task/" + strconv.Itoa(pid) + "/children")
	for i, child := range bytes.Fields(children) {
		const most = 8
		if i < most {
			out += used("/proc/" + string(child))
		}
	}
	return out
}

func used(dir string) string {
	stat, _ := os.ReadFile(dir + "/stat")
	io, err := os.ReadFile(dir + "/io")
	if err != nil {
		// Where kpropd is confined, only the thread that has started the
		// program may read that. How often it ran says nearly as much.
		io, _ = os.ReadFile(dir + "/schedstat")
	}
	// Behind the name in parentheses, which may hold blanks, utime to cstime
	// are the fields 12 to 15.
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	f := bytes.Fields(rest)
	if len(f) < 15 {
		return string(io)
	}
	return string(bytes.Join(f[11:15], []byte(" "))) + string(io)
}
