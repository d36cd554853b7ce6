// Package record keeps what kprop serve must know after a restart, a kill -9 or
// a power cut: how each replica stands, what was tried, and what comes next. It
// is one bbolt file whose values are JSON of the types of package status.
//
// The file is bounded. Of each replica at most Keep attempts are kept, each of
// at most MaxAttempt bytes, so that the live data are at most
//
//	replicas * (Keep + 5) * 24 KiB
//
// where 24 KiB is what bbolt takes for a value of 16 KiB, half-filled pages
// included; a usual attempt takes 1 KiB. bbolt never writes over what is live,
// and enlarges a file by doubling it up to 16 MiB and by 16 MiB from there. So
// the file is at most about twice as long as the live data have ever been, plus
// 16 MiB.
//
// Beside the file lies another with ".lock" added to its name. It is never
// removed; what counts is the lock on it, which ends with the process.
package record

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kprop/kprop/internal/status"
)

// Limits of what is stored.
const (
	DefaultKeep = 500      // attempts for each replica
	MaxAttempt  = 16 << 10 // bytes of an attempt's JSON
	MaxState    = 32 << 10 // bytes of the JSON of a Realm or Replica
	MaxName     = 1 << 10  // bytes of the name of a realm or replica
)

// Errors on which a caller may decide.
var (
	// ErrLocked says that another process has the record open.
	ErrLocked = errors.New("in use by another program")
	// ErrNewer says that a newer version of kprop has written the file.
	ErrNewer = errors.New("written by a newer version of kprop")
	// ErrForeign says that the file is not a record, and was left alone.
	ErrForeign = errors.New("not a record of kprop serve")
	// ErrUnsafe says that others may write to the file.
	ErrUnsafe = errors.New("others may write to it")
	// ErrClosed is that of a closed Store.
	ErrClosed = errors.New("closed")
	// ErrBroken says that the file was damaged, or its disk failed, while it
	// was open. The store must be closed; opening it again moves a damaged file aside.
	ErrBroken = errors.New("cannot be used any more; restart kprop serve")
)

// Options of Open; the zero value works.
type Options struct {
	Keep int              // attempts kept for each replica; 0: DefaultKeep
	Now  func() time.Time // nil: time.Now; names a damaged file
}

// Store is an open record. It is safe for concurrent use.
type Store struct {
	path    string
	damaged string
	keep    atomic.Int64
	lock    *os.File
	file    *os.File // the one that db uses
	db      *bbolt.DB

	mu     sync.RWMutex // held for sending to writes, and for closing it
	closed bool
	writes chan *write
	done   chan struct{} // the writer has ended
	reason brokenReason
}

// Realm is the state of a realm.
type Realm struct {
	status.Database `json:"database"`
	NextRun         time.Time `json:"next_run,omitzero"`
	LastRun         time.Time `json:"last_run,omitzero"`
}

// Pending is an attempt that was begun.
type Pending struct {
	Run     uint64        `json:"run"`
	Reason  status.Reason `json:"reason"`
	Started time.Time     `json:"started"`
	Digest  string        `json:"digest,omitempty"`
	Serial  uint64        `json:"serial"`
}

// Replica is the state of a replica.
type Replica struct {
	Paused       bool            `json:"paused"`
	Holds        *status.Holding `json:"holds,omitempty"` // acknowledged last
	Last         *status.Attempt `json:"last,omitempty"`
	Failures     int             `json:"failures"` // in a row
	FailingSince time.Time       `json:"failing_since,omitzero"`
	// Pending is an attempt that was begun; it is still there after a crash
	// in its middle.
	Pending *Pending `json:"pending,omitempty"`
}

// Damaged returns the path to which a file that could not be read was moved
// when the record was opened; normally it is empty.
func (s *Store) Damaged() string { return s.damaged }

// SetKeep sets how many attempts are kept for each replica; n <= 0 stands for
// DefaultKeep. What is too much goes when the replica's next attempt ends.
func (s *Store) SetKeep(n int) {
	if n <= 0 {
		n = DefaultKeep
	}
	s.keep.Store(int64(n))
}

// Close waits for the writes under way and closes the file. A second call does
// nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.writes)
	s.mu.Unlock()
	<-s.done

	var err error
	if s.reason.unreadable() {
		// A transaction that broke off may hold bbolt's locks for ever.
		err = errors.Join(unflock(s.file), s.file.Close())
	} else {
		err = s.db.Close()
	}
	if err := errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close record %s: %w", s.path, err)
	}
	return nil
}
