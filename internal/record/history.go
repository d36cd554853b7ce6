package record

import (
	"encoding/binary"
	"encoding/json"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/kprop/kprop/internal/status"
)

// DefaultLimit is how many attempts History returns unless told.
const DefaultLimit = 100

// History returns attempts, the newest first, of one replica or of all that
// match: an empty realm or name stands for any. It returns at most limit, 100
// if that is not positive. One that cannot be read is left out.
func (s *Store) History(realm, name string, limit int) ([]status.Attempt, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	var attempts []status.Attempt
	err := s.view(func(tx *bbolt.Tx) error {
		attempts = nil
		all := histories(tx, realm, name)
		for len(attempts) < limit {
			i := newest(all)
			if i < 0 {
				break
			}
			if a := all[i].attempt(); a != nil {
				attempts = append(attempts, *a)
			}
			all[i].back()
		}
		return nil
	})
	return attempts, err
}

// Recent returns the outcomes of the last n attempts of a replica, the oldest
// first.
func (s *Store) Recent(realm, name string, n int) ([]status.Outcome, error) {
	var outcomes []status.Outcome
	err := s.view(func(tx *bbolt.Tx) error {
		outcomes = nil
		b := tx.Bucket([]byte(historyBucket)).Bucket([]byte(realm + separator + name))
		if b == nil {
			return nil
		}
		for at := last(b); at.value != nil && len(outcomes) < n; at.back() {
			if a := at.attempt(); a != nil {
				outcomes = append(outcomes, status.Outcome{Time: a.Started, OK: a.OK, Seconds: a.Seconds, Bytes: a.Bytes})
			}
		}
		return nil
	})
	slices.Reverse(outcomes)
	return outcomes, err
}

// position is a place in the history of one replica; past its end value is nil.
type position struct {
	cursor *bbolt.Cursor
	id     uint64
	value  []byte
}

func last(b *bbolt.Bucket) *position {
	p := &position{cursor: b.Cursor()}
	p.set(p.cursor.Last())
	return p
}

// back goes to the attempt before.
func (p *position) back() { p.set(p.cursor.Prev()) }

func (p *position) set(k, v []byte) {
	for ; k != nil; k, v = p.cursor.Prev() {
		if len(k) == 8 && v != nil {
			p.id, p.value = binary.BigEndian.Uint64(k), v
			return
		}
	}
	p.value = nil
}

// attempt returns what is recorded here, nil if it cannot be read.
func (p *position) attempt() *status.Attempt {
	a := new(status.Attempt)
	if json.Unmarshal(p.value, a) != nil {
		return nil
	}
	a.ID = p.id
	return a
}

// histories returns the newest position in the history of each replica that matches.
func histories(tx *bbolt.Tx, realm, name string) []*position {
	var all []*position
	parent := tx.Bucket([]byte(historyBucket))
	c := parent.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if r, n := splitKey(k); v != nil || realm != "" && r != realm || name != "" && n != name {
			continue
		}
		all = append(all, last(parent.Bucket(k)))
	}
	return all
}

// newest returns the index of the position with the greatest ID, -1 if all are past their ends.
func newest(all []*position) int {
	found := -1
	for i, p := range all {
		if p.value != nil && (found < 0 || p.id > all[found].id) {
			found = i
		}
	}
	return found
}
