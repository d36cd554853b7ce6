package db2

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	"github.com/kprop/kprop/internal/osutil"
)

// run is sorted items in a file that has no name any more: a btree file like any
// other.
type run struct {
	f    *os.File
	size int64
}

// runBatch is how many bytes of a run are read ahead of the merge.
const runBatch = 128 << 10

// createFile makes a new file that only its owner can read.
func createFile(path string) (*os.File, error) {
	if err := osutil.Step("create", path); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func removeFile(path string) error {
	if err := osutil.Step("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// tempFile makes a file without a name in the directory of path.
func tempFile(path string) (*os.File, error) {
	dir := filepath.Dir(path)
	if err := osutil.Step("create", dir); err != nil {
		return nil, err
	}
	return osutil.UnnamedFile(dir)
}

// newRun takes a file that a packer has finished.
func newRun(f *os.File, pages uint32) *run {
	return &run{f: f, size: int64(pages) * pageSize}
}

func (r *run) close() { r.f.Close() }

// runReader is a source that a goroutine reads ahead for.
type runReader struct {
	full, empty chan *batch
	given       *batch // what next gave last
	quit        chan struct{}
	err         error // once full is closed
}

// runAhead is how many batches of a run are in memory.
const runAhead = 3

func (r *run) reader() *runReader {
	return readAhead(runAhead, func(yield func(key, data []byte) error) error {
		f, err := Open(&aheadReader{r: r.f, size: r.size}, r.size, r.f.Name())
		if err != nil {
			return err
		}
		return f.Records(yield)
	})
}

// readAhead reads records in a goroutine, into as many batches as are given.
func readAhead(batches int, records func(yield func(key, data []byte) error) error) *runReader {
	rr := &runReader{full: make(chan *batch, batches), empty: make(chan *batch, batches), quit: make(chan struct{})}
	for range batches {
		rr.empty <- new(batch)
	}
	go func() {
		defer close(rr.full)
		rr.err = caught(func() error { return rr.read(records) })
	}()
	return rr
}

var errQuit = errors.New("the reader is not wanted any more")

func (rr *runReader) read(records func(yield func(key, data []byte) error) error) error {
	var b *batch
	var last []byte
	err := records(func(key, data []byte) error {
		if bytes.Compare(last, key) >= 0 {
			return &RecordError{Record: recordName(key), Msg: "its key is not above that of the record before it"}
		}
		last = append(last[:0], key...)
		if b == nil {
			select {
			case b = <-rr.empty:
				b.reset()
			case <-rr.quit:
				return errQuit
			}
		}
		at := b.begin()
		b.mem = append(append(append(b.mem, make([]byte, leafHead)...), key...), data...)
		b.mem = endItem(b.mem, at, len(key))
		if len(b.mem) >= runBatch {
			rr.full <- b // never waits
			b = nil
		}
		return nil
	})
	if b != nil {
		rr.full <- b
	}
	return err
}

func (rr *runReader) next() (*batch, error) {
	if rr.given != nil {
		rr.empty <- rr.given
	}
	rr.given = <-rr.full
	if rr.given == nil {
		return nil, rr.err
	}
	return rr.given, nil
}

// stop ends the goroutine, if it has not come to the end.
func (rr *runReader) stop() {
	close(rr.quit)
	for range rr.full {
	}
}
