package child

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// StalledError is why WatchProgress has ended a context.
type StalledError struct{ Limit time.Duration }

func (e *StalledError) Error() string {
	return fmt.Sprintf("it was stopped after %v without progress", e.Limit)
}

// WatchProgress gives a context that ends, with a *StalledError as its cause,
// when a program has made no progress for the limit: neither its processor time
// nor its input and output has grown, nor those of its children. Started must be
// told its process number, and stop be called when it has ended.
func WatchProgress(ctx context.Context, limit time.Duration) (_ context.Context, started func(pid int), stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var (
		pid  atomic.Int64
		done = make(chan struct{})
	)
	go func() {
		defer close(done)
		tick := time.NewTicker(min(time.Second, max(limit/10, time.Millisecond)))
		defer tick.Stop()
		last, since := "", time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if now := work(int(pid.Load())); now != last {
				last, since = now, time.Now()
			}
			if time.Since(since) > limit {
				cancel(&StalledError{limit})
				return
			}
		}
	}()
	return ctx, func(n int) { pid.Store(int64(n)) }, func() {
		cancel(nil)
		<-done
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
