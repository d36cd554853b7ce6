package record

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// maxTogether bounds how many writes share a commit.
const maxTogether = 512

// write is a change that waits for its commit. Its function may be called more
// than once; only what the last call did counts.
type write struct {
	fn  func(*bbolt.Tx) error
	err chan error
}

// update applies fn and returns once it is durable. Writes that come while
// another is on its way to the disk share the next commit, so that hundreds of
// replicas that end together cost a few. (bbolt's own Batch would make each
// wait for a timer, and commits in a goroutine that guard does not reach.)
func (s *Store) update(fn func(*bbolt.Tx) error) error {
	w := &write{fn: fn, err: make(chan error, 1)}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return fmt.Errorf("record %s: %w", s.path, ErrClosed)
	}
	s.writes <- w
	s.mu.RUnlock()
	if err := <-w.err; err != nil {
		return fmt.Errorf("write record %s: %w", s.path, err)
	}
	return nil
}

// view calls fn with a reading transaction. fn may not keep the bytes it sees.
func (s *Store) view(fn func(*bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return fmt.Errorf("record %s: %w", s.path, ErrClosed)
	}
	err := s.reason.forReads()
	if err == nil {
		err = s.reason.note(guard(func() error { return s.db.View(fn) }))
	}
	if err != nil {
		return fmt.Errorf("read record %s: %w", s.path, err)
	}
	return nil
}

// writer commits what comes in until writes is closed.
func (s *Store) writer() {
	defer close(s.done)
	for w := range s.writes {
		s.commit(s.gather(w))
	}
}

// gather returns first and the writes that wait already.
func (s *Store) gather(first *write) []*write {
	together := []*write{first}
	for len(together) < maxTogether {
		select {
		case w, open := <-s.writes:
			if !open {
				return together
			}
			together = append(together, w)
		default:
			return together
		}
	}
	return together
}

// commit applies the writes in one transaction and tells each how it went. One
// that fails by itself is told so and left out; the others are tried again.
func (s *Store) commit(together []*write) {
	for len(together) > 0 {
		failed := -1
		err := s.reason.forWrites()
		if err == nil {
			err = s.reason.note(guard(func() error {
				return s.db.Update(func(tx *bbolt.Tx) error {
					for i, w := range together {
						if err := w.fn(tx); err != nil {
							failed = i
							return err
						}
					}
					return nil
				})
			}))
		}
		if err == nil || failed < 0 {
			for _, w := range together {
				w.err <- err
			}
			return
		}
		together[failed].err <- err
		together = append(together[:failed], together[failed+1:]...)
	}
}
