package db2

import (
	"bytes"
	"errors"
	"os"

	"github.com/kprop/kprop/internal/osutil"
)

// table makes one of the two files. As long as batches come in order they go
// into its pages at once. From the first that does not, they are held; when
// they take too much memory, they are merged into a run.
type table struct {
	path   string
	memory int64     // how much may be held, in bytes
	pool   batchPool // of its batches
	drop   func(item []byte) error
	f      *os.File
	pack   *packer // into f; nil while runs are collected
	count  int     // items that are in the file
	size   int64   // of the file, once it is on the disk
	sorted bool

	held     []*batch
	heldSize int64
	runs     []*run // the earlier in front
}

// maxRuns bounds how many runs are open at a time.
const maxRuns = 64

// newTable makes the file. drop is called with each item that a later one
// replaces.
func newTable(path string, memory int64, drop func(item []byte) error) (*table, error) {
	f, err := createFile(path)
	if err != nil {
		return nil, err
	}
	return &table{path: path, memory: memory, drop: drop, f: f, pack: newPacker(f), sorted: true}, nil
}

// add takes a batch whose items are in order. It says whether the batch is to
// be left to the table.
func (t *table) add(b *batch) (kept bool, err error) {
	if len(b.at) == 0 {
		return false, nil
	}
	t.count += len(b.at)
	if t.pack != nil && bytes.Compare(t.pack.last, b.key(0)) < 0 {
		for i := range b.at {
			if err := t.pack.add(b.item(i)); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	if t.pack != nil {
		if err := t.unsorted(); err != nil {
			return false, err
		}
	}
	t.held = append(t.held, b)
	t.heldSize += b.memory()
	if t.heldSize < t.memory {
		return true, nil
	}
	return true, t.spill()
}

// unsorted makes the first run of what came in order, and the file anew.
func (t *table) unsorted() error {
	t.sorted = false
	p := t.pack
	t.pack = nil
	if err := p.finish(); err != nil {
		return err
	}
	t.runs = append(t.runs, newRun(t.f, p.w.next))
	t.f = nil
	if err := removeFile(t.path); err != nil {
		return err
	}
	var err error
	t.f, err = createFile(t.path)
	return err
}

// spill makes a run of what is held; if there are too many, one of all runs.
func (t *table) spill() error {
	if err := t.newRun(t.heldSources()); err != nil {
		return err
	}
	for _, b := range t.held {
		t.pool.put(b)
	}
	t.held, t.heldSize = t.held[:0], 0
	if len(t.runs) < maxRuns {
		return nil
	}
	old := t.runs
	t.runs = nil
	defer closeRuns(old)
	return t.newRun(runSources(old))
}

func (t *table) newRun(sources []source) error {
	f, err := tempFile(t.path)
	if err != nil {
		stop(sources)
		return err
	}
	p := newPacker(f)
	if err := t.merge(p, sources); err != nil {
		f.Close()
		return err
	}
	t.runs = append(t.runs, newRun(f, p.w.next))
	return nil
}

// merge fills p from the sources and finishes it.
func (t *table) merge(p *packer, sources []source) error {
	err := merge(p, sources, func(item []byte) error {
		t.count--
		return t.drop(item)
	})
	stop(sources)
	if err != nil {
		p.abandon()
		return err
	}
	return p.finish()
}

func (t *table) heldSources() (all []source) {
	for _, b := range t.held {
		all = append(all, &held{b})
	}
	return all
}

func runSources(runs []*run) (all []source) {
	for _, r := range runs {
		all = append(all, r.reader())
	}
	return all
}

func stop(sources []source) {
	for _, s := range sources {
		if rr, ok := s.(*runReader); ok {
			rr.stop()
		}
	}
}

func closeRuns(runs []*run) {
	for _, r := range runs {
		r.close()
	}
}

// finish completes the file, which is then not yet on the disk.
func (t *table) finish() error {
	if t.pack != nil {
		p := t.pack
		t.pack = nil
		return p.finish()
	}
	err := t.merge(newPacker(t.f), append(runSources(t.runs), t.heldSources()...))
	closeRuns(t.runs)
	t.runs, t.held = nil, nil
	return err
}

// sync brings the file to the disk and closes it.
func (t *table) sync() error {
	err := osutil.Step("fsync", t.path)
	if err == nil {
		err = t.f.Sync()
	}
	var st os.FileInfo
	if err == nil {
		st, err = t.f.Stat()
	}
	if err == nil {
		t.size = st.Size()
	}
	return errors.Join(err, t.close())
}

// discard removes what was made. It does nothing after close.
func (t *table) discard() error {
	if t.pack != nil {
		t.pack.abandon()
	}
	closeRuns(t.runs)
	t.pack, t.runs, t.held = nil, nil, nil
	if t.path == "" {
		return nil
	}
	path := t.path
	t.path = ""
	return errors.Join(t.close(), removeFile(path))
}

func (t *table) close() error {
	if t.f == nil {
		return nil
	}
	f := t.f
	t.f = nil
	return f.Close()
}
