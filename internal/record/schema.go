package record

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"go.etcd.io/bbolt"
)

const (
	schemaKey = "schema"
	schema    = 1
	// maxSequence is far more than can come, and exact in any JSON reader.
	maxSequence = 1 << 53
)

// fill makes the content of a new file.
func fill(tx *bbolt.Tx) error {
	for _, name := range bucketNames() {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	return tx.Bucket([]byte(metaBucket)).Put([]byte(schemaKey), []byte(strconv.Itoa(schema)))
}

func bucketNames() []string { return []string{metaBucket, realmBucket, replicaBucket, historyBucket} }

// checkContent looks whether a sound bbolt file is a record of our version.
func checkContent(db *bbolt.DB) error {
	var highest, sequence uint64
	err := db.View(func(tx *bbolt.Tx) error {
		if err := checkSchema(tx); err != nil {
			return err
		}
		history := tx.Bucket([]byte(historyBucket))
		sequence = max(history.Sequence(), tx.Bucket([]byte(metaBucket)).Sequence())
		if sequence > maxSequence {
			return damage("a counter stands at %d", sequence)
		}
		sequence = history.Sequence()
		for _, p := range histories(tx, "", "") {
			highest = max(highest, p.id)
		}
		if highest > maxSequence {
			return damage("an attempt has the ID %d", highest)
		}
		return nil
	})
	if err != nil || highest <= sequence {
		return err
	}
	// Otherwise new attempts would take the places of old ones.
	return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(historyBucket)).SetSequence(highest) })
}

func checkSchema(tx *bbolt.Tx) error {
	var missing string
	var ours bool
	for _, name := range bucketNames() {
		if tx.Bucket([]byte(name)) == nil {
			missing = name
		} else {
			ours = true
		}
	}
	if !ours {
		return fmt.Errorf("%w: it is a bbolt file of another program", ErrForeign)
	}
	var found int
	if b := tx.Bucket([]byte(metaBucket)); b != nil {
		n, err := strconv.Atoi(string(b.Get([]byte(schemaKey))))
		if err == nil {
			found = n
		}
	}
	switch {
	case found > schema:
		return fmt.Errorf("%w (schema %d; this one knows %d): install that version, or name another file", ErrNewer, found, schema)
	case missing != "":
		return damage("its bucket %s is missing", missing)
	case found != schema:
		return damage("its schema version cannot be read")
	}
	return checkValues(tx)
}

// checkValues refuses buckets where there should be values, and the reverse.
func checkValues(tx *bbolt.Tx) error {
	for _, name := range bucketNames() {
		c := tx.Bucket([]byte(name)).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if (v == nil) != (name == historyBucket) {
				return damage("in its bucket %s, %q is of the wrong kind", name, k)
			}
			if name == historyBucket {
				if err := checkHistory(tx.Bucket([]byte(name)).Bucket(k)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func checkHistory(b *bbolt.Bucket) error {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if v == nil || len(k) != binary.Size(uint64(0)) {
			return damage("in its history, %q is not an attempt", k)
		}
	}
	return nil
}
