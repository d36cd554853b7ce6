package server

import (
	"context"
	"io"
	"os"
	"sync"
	"time"
)

// interruptible is a stream whose deadlines are over when a context is.
type interruptible struct {
	io.ReadWriter
	mu   sync.Mutex
	over bool
}

// newInterruptible watches ctx until stop is called.
func newInterruptible(ctx context.Context, rw io.ReadWriter) (i *interruptible, stop func() bool) {
	i = &interruptible{ReadWriter: rw}
	return i, context.AfterFunc(ctx, i.interrupt)
}

var past = time.Unix(1, 0)

func (i *interruptible) interrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	_ = i.set(past, true)
	_ = i.set(past, false)
}

// SetReadDeadline is for wire.Conn. Streams that have no deadlines are waited
// for.
func (i *interruptible) SetReadDeadline(t time.Time) error { return i.later(t, true) }

// SetWriteDeadline is SetReadDeadline for writes.
func (i *interruptible) SetWriteDeadline(t time.Time) error { return i.later(t, false) }

func (i *interruptible) later(t time.Time, read bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		t = past
	}
	return i.set(t, read)
}

func (i *interruptible) set(t time.Time, read bool) error {
	if rw, ok := i.ReadWriter.(interface{ SetReadDeadline(time.Time) error }); ok && read {
		return rw.SetReadDeadline(t)
	}
	if rw, ok := i.ReadWriter.(interface{ SetWriteDeadline(time.Time) error }); ok && !read {
		return rw.SetWriteDeadline(t)
	}
	return os.ErrNoDeadline
}
