package record

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"sync"
	"syscall"
)

// fault is a panic of bbolt, or an access to a page of the mapped file that
// could not be read: the file is damaged, was cut short, or its disk fails.
type fault struct{ cause any }

func (f *fault) Error() string { return fmt.Sprintf("damaged: %v", f.cause) }

// guard calls fn and returns a panic or a memory fault in it as a *fault. What
// fn starts in other goroutines is not guarded.
func guard(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if cause := recover(); cause != nil {
			err = &fault{cause}
		}
	}()
	return fn()
}

// brokenReason is why an open store cannot be used any more.
type brokenReason struct {
	mu    sync.Mutex
	err   error
	reads bool // cannot be read either
}

func (b *brokenReason) unreadable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

func (b *brokenReason) forWrites() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *brokenReason) forReads() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.reads {
		return nil
	}
	return b.err
}

// note looks at the error of a transaction, remembers it if it is the last
// that can be done, and returns what the caller is told.
func (b *brokenReason) note(err error) error {
	var f *fault
	isFault := errors.As(err, &f)
	if err == nil || !isFault && !lostWrites(err) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads = b.reads || isFault
	if b.err == nil {
		b.err = fmt.Errorf("%w (%v)", ErrBroken, err)
	}
	return b.err
}

// lostWrites says whether the system may have dropped data that it had taken:
// after a failed fdatasync, whose error bbolt passes on as a bare number, pages
// count as written although they are not, and a later commit would refer to them.
func lostWrites(err error) bool {
	var errno syscall.Errno
	var op *fs.PathError
	return errors.As(err, &errno) && (!errors.As(err, &op) || errno == syscall.EIO)
}
