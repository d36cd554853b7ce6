package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/kprop/kprop/internal/status"
)

// Buckets of the file. In metaBucket is the schema version, and its sequence
// counts the runs. In historyBucket there is a bucket for each replica, with
// the key of the replica, in which the key is the ID in eight big-endian
// bytes; the sequence of historyBucket counts the IDs.
const (
	metaBucket    = "kprop"
	realmBucket   = "realms"
	replicaBucket = "replicas"
	historyBucket = "history"
)

// separator of realm and replica in a key.
const separator = "\x00"

// checkName says why a name cannot be part of a key.
func checkName(kind, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name of the %s is empty", kind)
	case len(name) > MaxName:
		return fmt.Errorf("the name of the %s has %d bytes, at most %d are possible", kind, len(name), MaxName)
	case strings.Contains(name, separator):
		return fmt.Errorf("the name of the %s has a NUL byte: %q", kind, name)
	}
	return nil
}

func replicaKey(realm, name string) ([]byte, error) {
	if err := errors.Join(checkName("realm", realm), checkName("replica", name)); err != nil {
		return nil, err
	}
	return []byte(realm + separator + name), nil
}

func splitKey(key []byte) (realm, name string) {
	realm, name, _ = strings.Cut(string(key), separator)
	return realm, name
}

func idKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// get decodes the value of key into v; it reports whether there is one that can be read.
func get(b *bbolt.Bucket, key []byte, v any) bool {
	data := b.Get(key)
	return data != nil && json.Unmarshal(data, v) == nil
}

func (s *Store) put(bucket string, key []byte, v any) error {
	data, err := encodeState(v)
	if err != nil {
		return fmt.Errorf("write record %s: %w", s.path, err)
	}
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put(key, data) })
}

func encodeState(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err == nil && len(data) > MaxState {
		err = fmt.Errorf("a state of %d bytes; at most %d are possible", len(data), MaxState)
	}
	return data, err
}

// Realm returns the state of a realm, the zero value if none is recorded.
func (s *Store) Realm(name string) (Realm, error) {
	var r Realm
	err := s.view(func(tx *bbolt.Tx) error {
		if !get(tx.Bucket([]byte(realmBucket)), []byte(name), &r) {
			r = Realm{}
		}
		return nil
	})
	return r, err
}

// Realms returns the names of the realms of which a state is recorded.
func (s *Store) Realms() ([]string, error) {
	var names []string
	err := s.view(func(tx *bbolt.Tx) error {
		names = nil
		for _, key := range keysOf(tx.Bucket([]byte(realmBucket)), func([]byte) bool { return true }) {
			names = append(names, string(key))
		}
		return nil
	})
	return names, err
}

// PutRealm records the state of a realm.
func (s *Store) PutRealm(name string, r Realm) error {
	if err := checkName("realm", name); err != nil {
		return fmt.Errorf("write record %s: %w", s.path, err)
	}
	r.Changed, r.Dumped, r.Modified = r.Changed.UTC(), r.Dumped.UTC(), r.Modified.UTC()
	r.NextRun, r.LastRun = r.NextRun.UTC(), r.LastRun.UTC()
	return s.put(realmBucket, []byte(name), r)
}

// Replica returns the state of a replica, the zero value if none is recorded.
func (s *Store) Replica(realm, name string) (Replica, error) {
	var r Replica
	err := s.view(func(tx *bbolt.Tx) error {
		if !get(tx.Bucket([]byte(replicaBucket)), []byte(realm+separator+name), &r) {
			r = Replica{}
		}
		return nil
	})
	return r, err
}

// PutReplica records the state of a replica.
func (s *Store) PutReplica(realm, name string, r Replica) error {
	key, err := replicaKey(realm, name)
	if err != nil {
		return fmt.Errorf("write record %s: %w", s.path, err)
	}
	r = inUTC(r)
	if r.Last != nil {
		if r.Last, err = fit(*r.Last); err != nil {
			return fmt.Errorf("write record %s: %w", s.path, err)
		}
	}
	return s.put(replicaBucket, key, r)
}

// inUTC returns a copy of r, but for Last, with its times in UTC.
func inUTC(r Replica) Replica {
	r.FailingSince = r.FailingSince.UTC()
	if r.Holds != nil {
		h := *r.Holds
		h.Time = h.Time.UTC()
		r.Holds = &h
	}
	if r.Pending != nil {
		p := *r.Pending
		p.Started = p.Started.UTC()
		r.Pending = &p
	}
	return r
}

// NextRun returns a number for a new run, greater than all before, also those
// before a restart. After damage (see Damaged) the numbers begin anew.
func (s *Store) NextRun() (uint64, error) {
	var n uint64
	err := s.update(func(tx *bbolt.Tx) (err error) {
		n, err = tx.Bucket([]byte(metaBucket)).NextSequence()
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Finish records the end of an attempt, all or nothing: it sets a.ID, which
// ascends over the whole store, adds a to the history, removes what is more
// than Keep there, and records r with a as its last attempt. What is recorded
// of a is cut to MaxAttempt bytes. If it fails, a.ID is 0.
func (s *Store) Finish(realm, name string, r Replica, a *status.Attempt) error {
	a.ID = 0
	key, err := replicaKey(realm, name)
	if err != nil {
		return fmt.Errorf("write record %s: %w", s.path, err)
	}
	fitted, err := fit(*a)
	if err != nil {
		return fmt.Errorf("write record %s: %w", s.path, err)
	}
	r = inUTC(r)
	r.Last = fitted
	var id uint64
	err = s.update(func(tx *bbolt.Tx) (err error) {
		id, err = s.finish(tx, key, r)
		return err
	})
	if err == nil {
		a.ID = id
	}
	return err
}

func (s *Store) finish(tx *bbolt.Tx, key []byte, r Replica) (uint64, error) {
	id, err := s.addAttempt(tx, key, r.Last)
	if err != nil {
		return 0, err
	}
	state, err := encodeState(r)
	if err != nil {
		return 0, err
	}
	return id, tx.Bucket([]byte(replicaBucket)).Put(key, state)
}

// addAttempt numbers an attempt and adds it to a history.
func (s *Store) addAttempt(tx *bbolt.Tx, key []byte, a *status.Attempt) (uint64, error) {
	all := tx.Bucket([]byte(historyBucket))
	id, err := all.NextSequence()
	if err != nil {
		return 0, err
	}
	a.ID = id
	attempt, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	history, err := all.CreateBucketIfNotExists(key)
	if err != nil {
		return 0, err
	}
	history.FillPercent = 0.9 // the keys ascend
	if err := history.Put(idKey(id), attempt); err != nil {
		return 0, err
	}
	return id, prune(history, int(s.keep.Load()))
}

// FilesOf is the name under which the history of a host's files stands, besides
// that of a replica; an empty host is the distfile itself.
func FilesOf(host string) string { return filesPrefix + host }

// filesPrefix no replica's name begins with.
const filesPrefix = "\tfiles "

// AddFiles records what came of the files on a host, as Finish does, but for the
// state of a replica.
func (s *Store) AddFiles(realm, host string, a *status.Attempt) error {
	a.ID = 0
	key, err := replicaKey(realm, FilesOf(host))
	var fitted *status.Attempt
	if err == nil {
		fitted, err = fit(*a)
	}
	if err != nil {
		return fmt.Errorf("write record %s: %w", s.path, err)
	}
	err = s.update(func(tx *bbolt.Tx) error {
		_, err := s.addAttempt(tx, key, fitted)
		return err
	})
	if err == nil {
		a.ID = fitted.ID
	}
	return err
}

// prune leaves the newest keep attempts.
func prune(history *bbolt.Bucket, keep int) error {
	c := history.Cursor()
	k, _ := c.Last()
	for ; k != nil && keep > 0; keep-- {
		k, _ = c.Prev()
	}
	var old [][]byte
	for ; k != nil; k, _ = c.Prev() {
		old = append(old, append([]byte(nil), k...))
	}
	for _, k := range old {
		if err := history.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
