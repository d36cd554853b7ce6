package db2

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/kprop/kprop/pkg/dump"
)

// worker makes items of lines.
func (b *Builder) worker() {
	var w *lineWorker
	for c := range b.work {
		if b.failure() == nil {
			if w == nil {
				w = newLineWorker(b)
			}
			if err := caught(func() error { w.piece(c); return nil }); err != nil {
				c.err = err
			}
		}
		c.ready <- struct{}{}
	}
}

// lineWorker is what a worker has for itself.
type lineWorker struct {
	b      *Builder
	parser *dump.LineParser
	sum    *textSum // of the lines
	gone   *textSum // of those that later ones in the piece replace
}

func newLineWorker(b *Builder) *lineWorker {
	return &lineWorker{b: b, parser: dump.NewLineParser(b.feed.header), sum: newTextSum(b.seed), gone: newTextSum(b.seed)}
}

// piece does all that can be done with a piece on its own. Lines are numbered
// from 2 on, as if the header were in front.
func (w *lineWorker) piece(c *piece) {
	// A record takes about 7 tenths of its line.
	c.batches[0] = w.b.tables[0].pool.get(len(c.text) / 4 * 3)
	c.batches[1] = w.b.tables[1].pool.get(0)
	w.sum.sum, w.gone.sum, w.gone.n = 0, 0, 0
	text, n := c.text[c.from:], 0
	for c.err == nil {
		line, rest, found := bytes.Cut(text, []byte{'\n'})
		if !found {
			break
		}
		n++
		c.err = w.line(c, n+1, line)
		text = rest
	}
	c.lines = n
	if c.err == nil && c.broken != nil {
		c.err = w.parser.Broken(n+2, c.broken)
	}
	if c.err == nil {
		c.err = w.sort(c)
	}
	c.sum, c.replaced = w.sum.sum-w.gone.sum, w.gone.n
}

func (w *lineWorker) sort(c *piece) (err error) {
	drops := [2]func([]byte) error{w.gone.principalItem, w.gone.policyItem}
	for i, b := range c.batches {
		if c.sorted[i], err = b.sort(drops[i]); err != nil {
			return err
		}
	}
	return errors.Join(w.sum.flush(), w.gone.flush())
}

// line adds the item of a line.
func (w *lineWorker) line(c *piece, n int, line []byte) error {
	if len(line) > w.b.opts.MaxLine {
		return w.parser.Broken(n, dump.ErrLongLine)
	}
	rec, err := w.parser.Parse(n, line)
	if err != nil {
		return err
	}
	switch r := rec.(type) {
	case *dump.Principal:
		if err := storable(n, r); err != nil {
			return err
		}
		b := c.batches[0]
		b.begin()
		b.mem = appendPrincipal(b.mem, r)
		if w.parser.Verbatim() && keysInOrder(r.Keys) {
			from, to := w.parser.LockoutFields()
			w.sum.verbatim(line, from, to)
			return nil
		}
		return w.sum.principal(r)
	case *dump.Policy:
		if i := argumentsIn(r.TL); i >= 0 {
			return &dump.FaultError{Line: n, Policy: string(r.Name), Field: tlField(i), Msg: isArguments}
		}
		b := c.batches[1]
		b.begin()
		b.mem = appendPolicy(b.mem, r)
		return w.sum.policy(r)
	}
	return nil
}

const isArguments = "is 32767 (arguments for the database module), which is never stored"

func tlField(i int) string { return "tl " + strconv.Itoa(i+1) + " type" }

// argumentsIn is the index of a value that MIT takes for no value, or -1.
func argumentsIn(tl []dump.TL) int {
	for i := range tl {
		if tl[i].Type == dump.TLDBArgs {
			return i
		}
	}
	return -1
}

// storable refuses what a record of DB2 cannot hold (reference kdb-formats.md 1.7, 2.2).
func storable(n int, p *dump.Principal) error {
	if len(p.EData) > 0 {
		return &dump.FaultError{Line: n, Principal: string(p.Name), Field: "e_data", Msg: "is not empty: a DB2 database cannot hold it"}
	}
	if i := argumentsIn(p.TL); i >= 0 {
		return &dump.FaultError{Line: n, Principal: string(p.Name), Field: tlField(i), Msg: isArguments}
	}
	return nil
}

// keysInOrder says that a dump has the keys in this order.
func keysInOrder(keys []dump.KeyData) bool {
	for i := 1; i < len(keys); i++ {
		if keys[i].KVNO > keys[i-1].KVNO {
			return false
		}
	}
	return true
}
