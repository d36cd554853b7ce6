package db2

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
)

// ErrReadBack says that the files that were built do not hold what the dump
// held. It is a fault of this program, of the memory or of the disk.
var ErrReadBack = errors.New("the database that was built is not what the dump holds")

// ReadBack reads the files that were built again, makes the lines of a dump of
// what they hold, and compares number and digest with those of the dump: what the
// text said is what a dump of the database will say. The lockout fields are not
// compared. What differs gives an error that wraps [ErrReadBack].
func ReadBack(name string, b *Built) error {
	sum, principals, err := readBackFile(name, b, (*textSum).principalItem)
	if err != nil {
		return err
	}
	ofPolicies, policies, err := readBackFile(name+PolicySuffix, b, (*textSum).policyItem)
	switch {
	case err != nil:
		return err
	case principals != b.Principals || policies != b.Policies:
		return fmt.Errorf("%s: %w: it has %d principals and %d policies, not %d and %d",
			name, ErrReadBack, principals, policies, b.Principals, b.Policies)
	case sum+ofPolicies != b.sum:
		return fmt.Errorf("%s: %w: its records give other lines than those of the dump", name, ErrReadBack)
	}
	return nil
}

// readBackFile adds up what add makes of the items of a file.
func readBackFile(path string, b *Built, add func(*textSum, []byte) error) (sum uint64, n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	workers := runtime.GOMAXPROCS(0)
	rr := readAhead(2*workers+1, func(yield func(key, data []byte) error) error {
		return indexedRecords(f, st.Size(), path, yield)
	})
	var wg sync.WaitGroup
	sums, errs := make([]*textSum, workers), make([]error, workers)
	for i := range workers {
		sums[i] = newTextSum(b.seed)
		wg.Go(func() { errs[i] = rr.addAll(sums[i], add) })
	}
	wg.Wait()
	for i, s := range sums {
		err = errors.Join(err, errs[i])
		sum, n = sum+s.sum, n+s.n
	}
	if err = errors.Join(err, rr.err); err != nil {
		err = fmt.Errorf("%s: %w: %w", path, ErrReadBack, err)
	}
	return sum, n, err
}

// addAll takes part in adding up, until there is no more. After an error it
// only empties the channel.
func (rr *runReader) addAll(s *textSum, add func(*textSum, []byte) error) (err error) {
	for b := range rr.full {
		for i := range b.at {
			if err == nil {
				err = caught(func() error { return add(s, b.item(i)) })
			}
		}
		rr.empty <- b
	}
	return errors.Join(err, s.flush())
}
