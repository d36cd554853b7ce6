package db2

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"runtime"
	"sync"

	"github.com/kprop/kprop/pkg/dump"
)

// BuildOptions are the options of a [Builder]. The zero value builds whatever is
// a well-formed dump.
type BuildOptions struct {
	// Verifier is given the same bytes, by a goroutine of its own; a fault that
	// it finds ends the build, and Finish closes it. Nil builds unverified.
	Verifier *dump.Verifier
	// SortMemory is how many bytes of records are held to sort a dump that is
	// not sorted, before sorted parts of it go to temporary files beside the
	// database; 0 means 256 MiB.
	SortMemory int64
	// MaxLine bounds a line, in bytes; 0 means [dump.DefaultMaxLine].
	MaxLine int
	// ReadBack has Finish call [ReadBack], while the files go to the disk.
	ReadBack bool

	piece int // of the dump goes to a worker at once, in bytes; 0 means pieceSize
}

// defaultSortMemory is what SortMemory means if it is 0.
const defaultSortMemory = 256 << 20

// ErrIprop refuses a dump that was made for incremental propagation.
var ErrIprop = errors.New("the dump was made by kdb5_util dump -i, for a load that sets the update log as well: only kdb5_util load -i does")

// Builder makes the two files of a database from a dump that arrives in pieces:
// what kdb5_util load of it makes, except where on the pages a record is
// (reference kdb-formats.md 1.7, 4.5, 4.7, 4.8). The dump must be as [dump.Reader]
// takes it, its header one of versions 4 to 7. Of principals with the same name
// the last is kept, and of policies.
//
// The records need not be in order; if they are, memory stays below 64 MiB. A
// Builder is for one goroutine, and uses more of its own. It ends by Finish or
// Abort.
type Builder struct {
	opts   BuildOptions
	names  [2]string
	tables [2]*table // principals, policies
	seed   maphash.Seed

	feed     feeder
	verify   chan *piece // nil without a Verifier
	work     chan *piece
	order    chan *piece // the same, as they came
	wg       sync.WaitGroup
	built    Built
	gone     *textSum // of what was replaced, as the sequencer saw it
	lines    int      // that the sequencer has seen
	failOnce sync.Once
	failed   chan struct{}
	err      error // once failed is closed
	verified error // of the Verifier, once its goroutine has ended
	over     bool
}

// Built is what was built.
type Built struct {
	Header     dump.Header
	Principals int // in the file
	Policies   int
	Replaced   int          // principals and policies that a later line replaced
	Sorted     bool         // the principals came in ascending order
	Bytes      int64        // of both files
	Report     *dump.Report // of BuildOptions.Verifier, also with an error; nil without one

	seed maphash.Seed
	sum  uint64 // see textSum
}

// NewBuilder makes the files name and name.kadm5, which must not exist, with
// mode 0600.
func NewBuilder(name string, opts BuildOptions) (*Builder, error) {
	if opts.SortMemory <= 0 {
		opts.SortMemory = defaultSortMemory
	}
	if opts.MaxLine <= 0 {
		opts.MaxLine = dump.DefaultMaxLine
	}
	if opts.piece <= 0 {
		opts.piece = pieceSize
	}
	opts.piece = max(opts.piece, minPiece)
	b := &Builder{opts: opts, names: [2]string{name, name + PolicySuffix}, seed: maphash.MakeSeed(), failed: make(chan struct{})}
	b.gone = newTextSum(b.seed)
	drops := [2]func([]byte) error{b.gone.principalItem, b.gone.policyItem}
	memory := [2]int64{opts.SortMemory, opts.SortMemory / 8}
	for i := range b.tables {
		var err error
		if b.tables[i], err = newTable(b.names[i], memory[i], drops[i]); err != nil {
			if i == 1 {
				err = errors.Join(err, b.tables[0].discard())
			}
			return nil, fmt.Errorf("build a database: %w", err)
		}
	}
	b.start()
	return b, nil
}

// start starts the goroutines.
func (b *Builder) start() {
	workers := runtime.GOMAXPROCS(0)
	b.feed.init(b, workers+4)
	b.work, b.order = make(chan *piece, workers), make(chan *piece, workers+4)
	for range workers {
		b.wg.Go(b.worker)
	}
	b.wg.Go(b.sequencer)
	if b.opts.Verifier != nil {
		b.verify = make(chan *piece, workers+4)
		b.wg.Go(b.verifier)
	}
}

// fail notes the first error, which ends the work.
func (b *Builder) fail(err error) {
	b.failOnce.Do(func() {
		b.err = err
		close(b.failed)
	})
}

// failure is the error so far.
func (b *Builder) failure() error {
	select {
	case <-b.failed:
		return b.err
	default:
		return nil
	}
}

// verifier gives the pieces to the Verifier. It goes on when others have found
// a fault, so that the first line with one is what is told.
func (b *Builder) verifier() {
	for c := range b.verify {
		if b.verified == nil {
			if b.verified = caught(func() error { _, err := b.opts.Verifier.Write(c.text); return err }); b.verified != nil {
				b.fail(b.verified)
			}
		}
		b.feed.release(c)
	}
}

// sequencer puts what the workers have made into the files, in the order of the
// dump.
func (b *Builder) sequencer() {
	for c := range b.order {
		<-c.ready
		if b.failure() == nil {
			if err := caught(func() error { return b.put(c) }); err != nil {
				b.fail(err)
			}
		}
		b.feed.release(c)
	}
}

func (b *Builder) put(c *piece) error {
	if c.err != nil {
		var fault *dump.FaultError
		if errors.As(c.err, &fault) {
			fault.Line += b.lines
		}
		return c.err
	}
	b.lines += c.lines
	b.built.sum += c.sum
	b.built.Replaced += c.replaced
	for i, t := range b.tables {
		t.sorted = t.sorted && c.sorted[i]
		kept, err := t.add(c.batches[i])
		if err != nil {
			return fmt.Errorf("build %s: %w", b.names[0], err)
		}
		if !kept {
			t.pool.put(c.batches[i])
		}
		c.batches[i] = nil
	}
	return nil
}

// Write takes the next piece of the dump. A fault is returned by one of the calls
// behind the one that brought it.
func (b *Builder) Write(p []byte) (int, error) {
	n, err := b.feed.readFrom(bytes.NewReader(p))
	return int(n), err
}

// ReadFrom is Write for all that r has, and saves a copy of each byte.
func (b *Builder) ReadFrom(r io.Reader) (int64, error) { return b.feed.readFrom(r) }

// Finish ends the dump. Without an error both files are complete and on the disk,
// though their names need not be; with one, nothing of them is left. The error is
// a [*dump.FaultError] for a line that is not as it must be, one of the Verifier,
// or wraps [ErrIprop], [ErrReadBack] or one of the system. Built is never nil.
func (b *Builder) Finish() (*Built, error) {
	if b.over {
		return &b.built, errors.New("build a database: it is finished, or was given up")
	}
	b.feed.end()
	err := b.wait()
	if err == nil {
		err = b.complete()
	}
	if err != nil {
		return &b.built, errors.Join(err, b.discard())
	}
	return &b.built, nil
}

// Abort removes what was made. After Finish it does nothing.
func (b *Builder) Abort() error {
	if b.over {
		return nil
	}
	b.fail(errors.New("build a database: it was given up"))
	_ = b.wait()
	return b.discard()
}

// wait ends the goroutines, and tells the first error.
func (b *Builder) wait() error {
	b.over = true
	close(b.work)
	close(b.order)
	if b.verify != nil {
		close(b.verify)
	}
	b.wg.Wait()
	if b.verify != nil {
		err := b.verified
		if b.built.Report = b.opts.Verifier.Report(); err == nil && b.failure() == nil {
			b.built.Report, err = b.opts.Verifier.Close()
		}
		if err != nil {
			return err
		}
	}
	return b.failure()
}

func (b *Builder) discard() error {
	return errors.Join(b.tables[0].discard(), b.tables[1].discard())
}

// complete writes the rest, brings all to the disk and reads it again.
func (b *Builder) complete() error {
	r := &b.built
	r.Header, r.seed, r.Sorted = b.feed.header, b.seed, b.tables[0].sorted
	for _, t := range b.tables {
		if err := t.finish(); err != nil {
			return fmt.Errorf("build %s: %w", b.names[0], err)
		}
	}
	if err := b.gone.flush(); err != nil {
		return err
	}
	r.sum -= b.gone.sum
	r.Replaced += b.gone.n
	r.Principals, r.Policies = b.tables[0].count, b.tables[1].count

	var errs [3]error
	var wg sync.WaitGroup
	for i, t := range b.tables {
		wg.Go(func() { errs[i] = caught(t.sync) })
	}
	if b.opts.ReadBack {
		errs[2] = ReadBack(b.names[0], r)
	}
	wg.Wait()
	for _, t := range b.tables {
		r.Bytes += t.size
	}
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("build %s: %w", b.names[0], err)
	}
	return nil
}
