package child

import (
	"context"
	"io"
	"time"
)

// WatchWriter is WatchProgress for work of this process that ends in writes to w:
// the context ends, with a *StalledError as its cause, when none has returned for
// the limit. Stop must be called when the work is over.
func WatchWriter(ctx context.Context, limit time.Duration, w io.Writer) (_ context.Context, _ io.Writer, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(&StalledError{limit}) })
	return ctx, &watchedWriter{w, timer, limit}, func() {
		timer.Stop()
		cancel(nil)
	}
}

type watchedWriter struct {
	w     io.Writer
	timer *time.Timer
	limit time.Duration
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.timer.Reset(w.limit)
	return n, err
}
