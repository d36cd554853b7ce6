package dump

import (
	"bytes"
	"fmt"
)

// A batch is a run of principals that are not equal byte by byte, and how many
// were between them. It goes through three hands, which work at the same time:
// one reads and joins the dumps, one compares, and that of Diff tells.
type batch struct {
	text  []byte // names and lines, one behind the other
	items []batchItem
	err   error // comes behind the items, and ends everything

	changes          []*Change
	same, loginsOnly int
}

// batchItem is a name, or two lines to compare.
type batchItem struct {
	kind   ChangeKind
	first  int // bytes of text: the name, or the line in the first dump
	second int // the line in the second
}

const (
	batchText  = 256 << 10
	batchItems = 1024
	batches    = 4
)

// principals compares the principals of both dumps.
func (d *differ) principals(in [2]*diffInput) error {
	j := &joiner{joined: make(chan *batch), empty: make(chan *batch, batches), stop: make(chan struct{}), now: new(batch)}
	for range batches - 1 {
		j.empty <- new(batch)
	}
	compared := make(chan *batch)
	go func() {
		defer close(j.joined)
		j.now.err = j.run(in, d.opts)
		j.send()
	}()
	go func() {
		defer close(compared)
		for b := range j.joined {
			d.batch(b, in)
			compared <- b
		}
	}()
	defer func() {
		close(j.stop)
		for range compared { // until the others have ended
		}
	}()
	for b := range compared {
		if err := d.tellOf(b); err != nil {
			return err
		}
		*b = batch{text: b.text[:0], items: b.items[:0]}
		j.empty <- b
	}
	return nil
}

func (d *differ) tellOf(b *batch) error {
	d.report.Principals.Same += b.same
	d.report.LoginsOnly += b.loginsOnly
	for _, c := range b.changes {
		if err := d.emit(&d.report.Principals, c); err != nil {
			return err
		}
	}
	return b.err
}

// batch compares what is in a batch.
func (d *differ) batch(b *batch, in [2]*diffInput) {
	text := b.text
	for _, item := range b.items {
		first, second := text[:item.first], text[item.first:item.first+item.second]
		text = text[item.first+item.second:]
		if item.kind != Changed {
			b.changes = append(b.changes, &Change{Kind: item.kind, Name: string(first)})
		} else if err := d.pair(b, in, first, second); err != nil {
			b.err = err
			return
		}
	}
}

// pair compares two principals of one name, whose lines differ.
func (d *differ) pair(to *batch, in [2]*diffInput, a, b []byte) error {
	if err := d.a.parsePrincipal(a); err != nil {
		return in[0].fail(fmt.Errorf("%w: %w", ErrDiffChanged, err))
	}
	if err := d.b.parsePrincipal(b); err != nil {
		return in[1].fail(fmt.Errorf("%w: %w", ErrDiffChanged, err))
	}
	x, y := &d.a.princ, &d.b.princ
	if d.told != "" && string(x.Name) == d.told {
		return nil
	}
	fields := d.compare(x, y)
	switch {
	case len(fields) > 0:
		to.changes = append(to.changes, &Change{Kind: Changed, Name: string(x.Name), Fields: fields})
		return nil
	case !d.opts.Logins && loginsDiffer(x, y):
		to.loginsOnly++
	}
	to.same++
	return nil
}

// joiner reads the principals of both dumps side by side.
type joiner struct {
	joined, empty chan *batch
	stop          chan struct{}
	now           *batch
}

// send hands the batch on, and says whether another is wanted.
func (j *joiner) send() bool {
	select {
	case j.joined <- j.now:
	case <-j.stop:
		return false
	}
	select {
	case j.now = <-j.empty:
		return true
	case <-j.stop:
		return false
	}
}

// put adds to the batch.
func (j *joiner) put(kind ChangeKind, first, second []byte) bool {
	b := j.now
	b.text = append(append(b.text, first...), second...)
	b.items = append(b.items, batchItem{kind: kind, first: len(first), second: len(second)})
	return len(b.text) < batchText && len(b.items) < batchItems || j.send()
}

// run joins the principals by name.
func (j *joiner) run(in [2]*diffInput, opts DiffOptions) error {
	a, okA, err := in[0].first(opts)
	if err != nil {
		return err
	}
	b, okB, err := in[1].first(opts)
	for more := true; more && err == nil && (okA || okB); {
		order := 0
		switch {
		case !okB:
			order = -1
		case !okA:
			order = 1
		default:
			order = bytes.Compare(a.name(), b.name())
		}
		switch {
		case order < 0:
			more = j.put(Removed, a.name(), nil)
		case order > 0:
			more = j.put(Added, b.name(), nil)
		case bytes.Equal(a.line(), b.line()):
			j.now.same++
		default:
			more = j.put(Changed, a.line(), b.line())
		}
		if order <= 0 {
			okA, err = a.next()
		}
		if err == nil && order >= 0 {
			okB, err = b.next()
		}
	}
	return err
}
