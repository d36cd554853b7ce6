package client

import (
	"context"
	"os"
	"sync"
	"time"
)

const (
	// patience is how long a host may be waited for before others take its
	// place.
	patience = 2 * time.Second
	// slowAnswer is the mean time of an answer from which a host is slow,
	// measured over at least patience.
	slowAnswer = 50 * time.Millisecond
	// lastWords is how long a server that has failed is listened to.
	lastWords = time.Second
)

// watched is a Session whose waits are bounded and measured. For a Session
// without deadlines it closes it when the time has come.
type watched struct {
	inner    Session
	patience time.Duration
	slow     func() // called when the host is waited for too long; often

	mu      sync.Mutex
	aborted bool
	read    time.Time // deadlines
	write   time.Time

	waited time.Duration
	waits  int
}

type deadlines interface {
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// watch begins to watch; the end of ctx ends pending and later reads and
// writes. stop must be called.
func watch(ctx context.Context, inner Session, patience time.Duration, slow func()) (w *watched, stop func() bool) {
	w = &watched{inner: inner, patience: patience, slow: slow}
	return w, context.AfterFunc(ctx, w.abort)
}

func (w *watched) abort() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aborted = true
	if d, ok := w.inner.(deadlines); ok {
		past := time.Unix(1, 0)
		_, _ = d.SetReadDeadline(past), d.SetWriteDeadline(past)
		return
	}
	go w.inner.Close()
}

func (w *watched) SetReadDeadline(t time.Time) error {
	return w.setDeadline(&w.read, t, func(d deadlines) error { return d.SetReadDeadline(t) })
}

func (w *watched) SetWriteDeadline(t time.Time) error {
	return w.setDeadline(&w.write, t, func(d deadlines) error { return d.SetWriteDeadline(t) })
}

func (w *watched) setDeadline(field *time.Time, t time.Time, set func(deadlines) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.aborted {
		return os.ErrDeadlineExceeded
	}
	*field = t
	if d, ok := w.inner.(deadlines); ok {
		return set(d)
	}
	return nil
}

func (w *watched) Read(p []byte) (int, error) {
	begin := time.Now()
	impatient := time.AfterFunc(w.patience, w.slow)
	n, err := w.within(&w.read, func() (int, error) { return w.inner.Read(p) })
	impatient.Stop()
	w.waited += time.Since(begin)
	w.waits++
	if w.waited > w.patience && w.waited/time.Duration(w.waits) > slowAnswer {
		w.slow()
	}
	return n, err
}

func (w *watched) Write(p []byte) (int, error) {
	impatient := time.AfterFunc(w.patience, w.slow)
	defer impatient.Stop()
	return w.within(&w.write, func() (int, error) { return w.inner.Write(p) })
}

// within does a read or write; if the Session knows no deadlines, it is closed
// at the deadline.
func (w *watched) within(deadline *time.Time, do func() (int, error)) (int, error) {
	w.mu.Lock()
	until, aborted := *deadline, w.aborted
	w.mu.Unlock()
	if aborted {
		return 0, os.ErrDeadlineExceeded
	}
	if _, ok := w.inner.(deadlines); ok || until.IsZero() {
		return do()
	}
	late := time.AfterFunc(time.Until(until), w.abort)
	n, err := do()
	if !late.Stop() && err != nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// closeWrite tells the server that nothing more comes, if that can be told.
func (w *watched) closeWrite() {
	if c, ok := w.inner.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // Close comes next, and tells it as well
	}
}

// Close closes the Session; an aborted one does not wait for the server if it
// can help it.
func (w *watched) Close() error {
	w.mu.Lock()
	aborted := w.aborted
	w.mu.Unlock()
	if a, ok := w.inner.(interface{ Abort() }); ok && aborted {
		a.Abort()
	}
	return w.inner.Close()
}
