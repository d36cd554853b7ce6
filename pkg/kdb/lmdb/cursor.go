package lmdb

import (
	"errors"
	"io"
)

// Cursor gives the entries of a database in ascending order. It holds one page
// of each level and one value. It is not safe for concurrent use.
//
// It ends with an error unless every page is where the tree's depth demands it,
// keys ascend and all counts are those of the database's record: so it visits no
// page twice, however the pages point at each other.
type Cursor struct {
	env       *Env
	db        dbRecord
	wantFlags uint16 // nodeSub in the main database
	integers  bool   // keys are numbers of 8 bytes: the free list
	visit     func(first, pages uint64) error

	stack     []level
	depth     int // of stack in use
	prev      []byte
	value     []byte
	chainHead uint64 // page of the value, if it is in a chain
	seen      struct{ branches, leaves, chains, amount uint64 }
	err       error
}

// level is a page and the node that is next in it.
type level struct {
	page page
	next int
}

func (e *Env) cursor(db dbRecord) *Cursor { return &Cursor{env: e, db: db} }

// Next returns the next entry, and io.EOF after the last. Key and value are
// valid until the following call. Errors are a [*CorruptError] or those of the
// system; there is no way on after one.
func (c *Cursor) Next() (key, value []byte, err error) {
	if c.err == nil {
		key, value, c.err = c.advance()
	}
	return key, value, c.err
}

func (c *Cursor) advance() (key, value []byte, err error) {
	if c.stack == nil {
		if c.db.root == noPage {
			return nil, nil, io.EOF
		}
		c.stack = make([]level, c.db.depth)
		if err := c.descend(c.db.root); err != nil {
			return nil, nil, err
		}
	}
	for c.stack[c.depth-1].next == c.stack[c.depth-1].page.count {
		if c.depth--; c.depth == 0 {
			return nil, nil, c.end()
		}
	}
	for {
		top := &c.stack[c.depth-1]
		n := top.page.node(top.next)
		if top.page.leaf {
			return c.entry(top, n)
		}
		if top.next > 0 {
			if err := c.order(n, top); err != nil {
				return nil, nil, err
			}
		}
		top.next++
		if err := c.descend(n.child); err != nil {
			return nil, nil, err
		}
	}
}

// descend reads a page below the present one.
func (c *Cursor) descend(n uint64) error {
	top := &c.stack[c.depth]
	c.depth++
	leaf := c.depth == len(c.stack)
	if err := c.env.readPage(&top.page, n, leaf); err != nil {
		return err
	}
	top.next = 0
	if leaf {
		c.seen.leaves++
	} else {
		c.seen.branches++
	}
	if c.seen.leaves > c.db.leaves || c.seen.branches > c.db.branches {
		return c.env.src.corrupt(n, c.env.offset(n), "more pages than the database's record says")
	}
	if c.visit != nil {
		return c.visit(n, 1)
	}
	return nil
}

// order checks that a key is above all before it, and keeps it. A branch's key
// may be equal to the first that follows below it, but to none before: prev then
// holds an entry's key.
func (c *Cursor) order(n node, top *level) error {
	first := c.prev == nil
	if c.integers && len(n.key) != 8 {
		return c.fault(top, n, "a key of %d bytes in the free list", len(n.key))
	}
	if !first && !less(c.prev, n.key, c.integers) {
		return c.fault(top, n, "the key is not above the one before it")
	}
	if top.page.leaf {
		c.prev = append(c.prev[:0], n.key...)
	}
	return nil
}

func (c *Cursor) entry(top *level, n node) (key, value []byte, err error) {
	if err := c.order(n, top); err != nil {
		return nil, nil, err
	}
	if err := c.aboveSeparators(top, n); err != nil {
		return nil, nil, err
	}
	if n.flags&^nodeBig != c.wantFlags || n.flags&nodeBig != 0 && c.wantFlags != 0 {
		return nil, nil, c.fault(top, n, "node flags %#x", n.flags)
	}
	top.next++
	if c.seen.amount++; c.seen.amount > c.db.amount {
		return nil, nil, c.fault(top, n, "more entries than the database's record says")
	}
	c.chainHead = 0
	if n.flags&nodeBig == 0 {
		return n.key, n.data, nil
	}
	c.chainHead = le.Uint64(n.data)
	var pages uint64
	if c.value, pages, err = c.env.chain(c.value, c.chainHead, n.size); err != nil {
		var bad *CorruptError
		if errors.As(err, &bad) && !c.integers {
			bad.Record = string(n.key)
		}
		return nil, nil, err
	}
	if c.seen.chains += pages; c.seen.chains > c.db.chains {
		return nil, nil, c.fault(top, n, "more overflow pages than the database's record says")
	}
	if c.visit != nil {
		if err := c.visit(c.chainHead, pages); err != nil {
			return nil, nil, err
		}
	}
	return n.key, c.value, nil
}

// aboveSeparators checks the first entry of a leaf against the keys in the
// branches that led to it: a search would not find it if it were below.
func (c *Cursor) aboveSeparators(top *level, n node) error {
	if top.next > 0 {
		return nil
	}
	for i := c.depth - 2; i >= 0; i-- {
		branch := &c.stack[i]
		if branch.next < 2 {
			continue
		}
		if sep := branch.page.node(branch.next - 1); len(sep.key) == len(n.key) || !c.integers {
			if less(n.key, sep.key, c.integers) {
				return c.fault(top, n, "the key is below the one in the branch page")
			}
		}
		return nil
	}
	return nil
}

// end compares what was seen with what the record says.
func (c *Cursor) end() error {
	s := c.seen
	if s.branches != c.db.branches || s.leaves != c.db.leaves || s.chains != c.db.chains || s.amount != c.db.amount {
		return c.env.src.corrupt(c.db.root, c.env.offset(c.db.root),
			"the database has %d branch, %d leaf, %d overflow pages and %d entries, its record says %d, %d, %d and %d",
			s.branches, s.leaves, s.chains, s.amount, c.db.branches, c.db.leaves, c.db.chains, c.db.amount)
	}
	return io.EOF
}

// position is the page and the byte of the value that Next gave last.
func (c *Cursor) position() (page uint64, offset int64) {
	if c.chainHead != 0 {
		return c.chainHead, c.env.offset(c.chainHead) + headerSize
	}
	if c.depth == 0 {
		return c.db.root, c.env.offset(c.db.root)
	}
	top := &c.stack[c.depth-1]
	n := top.page.node(top.next - 1)
	return top.page.number, c.env.offset(top.page.number) + int64(n.at+8+len(n.key))
}

func (c *Cursor) fault(top *level, n node, format string, args ...any) error {
	return c.env.src.corrupt(top.page.number, c.env.offset(top.page.number)+int64(n.at), format, args...)
}
