package record

import (
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// Forget removes the states and histories of the replicas of a realm that are
// not in keep. The histories of FilesOf stay while files are configured.
func (s *Store) Forget(realm string, keep []string, files bool) error {
	return s.forget(func(r, name string) bool {
		return r == realm && !slices.Contains(keep, name) && !(files && strings.HasPrefix(name, filesPrefix))
	}, func(string) bool { return false })
}

// ForgetRealms removes all that is recorded of the realms that are not in keep.
func (s *Store) ForgetRealms(keep []string) error {
	gone := func(realm string) bool { return !slices.Contains(keep, realm) }
	return s.forget(func(realm, _ string) bool { return gone(realm) }, gone)
}

func (s *Store) forget(replica func(realm, name string) bool, realm func(string) bool) error {
	gone := func(key []byte) bool { return replica(splitKey(key)) }
	return s.update(func(tx *bbolt.Tx) error {
		history, replicas, realms := tx.Bucket([]byte(historyBucket)), tx.Bucket([]byte(replicaBucket)), tx.Bucket([]byte(realmBucket))
		for _, k := range keysOf(history, gone) {
			if err := history.DeleteBucket(k); err != nil {
				return err
			}
		}
		for _, k := range keysOf(replicas, gone) {
			if err := replicas.Delete(k); err != nil {
				return err
			}
		}
		for _, k := range keysOf(realms, func(k []byte) bool { return realm(string(k)) }) {
			if err := realms.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// keysOf returns copies of the keys for which want is true.
func keysOf(b *bbolt.Bucket, want func(key []byte) bool) [][]byte {
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if want(k) {
			keys = append(keys, slices.Clone(k))
		}
	}
	return keys
}
