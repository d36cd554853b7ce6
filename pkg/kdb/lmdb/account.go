package lmdb

import "io"

// FreeRecord is a record of the free list: how many pages stopped being used in
// a transaction (1.6).
type FreeRecord struct {
	Txn   uint64
	Pages uint64
}

// Usage tells what the pages of a file are for.
type Usage struct {
	Used uint64 // with the two meta pages
	Free uint64
	// Records are those of the free list, in ascending order.
	Records []FreeRecord
}

// Check reads all databases and the free list and demands that each page is used
// exactly once or free exactly once, which finds nearly every damage (4.4). The
// error is a [*CorruptError] or that of the system. It takes a bit of memory for
// each page of the file.
func (e *Env) Check() (Usage, error) {
	m, err := e.account()
	return m.Usage, err
}

// pageMap is a Usage with the pages.
type pageMap struct {
	Usage
	env  *Env
	seen bitmap // of the pages that are in the file
}

func (e *Env) account() (*pageMap, error) {
	inFile := min(e.meta.last+1, uint64(e.size)/uint64(e.meta.pageSize)+1)
	m := &pageMap{env: e, seen: newBitmap(inFile)}
	m.Used = 2
	trees := []dbRecord{e.meta.main}
	for _, n := range e.named {
		trees = append(trees, n.db)
	}
	for i, db := range trees {
		c := e.cursor(db)
		c.visit = m.use
		if i == 0 {
			c.wantFlags = nodeSub
		}
		if err := drain(c); err != nil {
			return m, err
		}
	}
	if err := m.freeList(); err != nil {
		return m, err
	}
	if m.Used+m.Free != e.meta.last+1 {
		return m, e.src.corrupt(uint64(e.meta.slot), e.offset(uint64(e.meta.slot))+136,
			"%d pages are used and %d are free, of %d", m.Used, m.Free, e.meta.last+1)
	}
	return m, nil
}

func drain(c *Cursor) error {
	for {
		if _, _, err := c.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// freeList walks the free list, whose own pages are in use.
func (m *pageMap) freeList() error {
	return m.env.eachFree(m.use, func(txn uint64, pages []byte) error {
		for i := 0; i < len(pages); i += 8 {
			if err := m.mark(le.Uint64(pages[i:]), true); err != nil {
				return err
			}
		}
		m.Records = append(m.Records, FreeRecord{txn, uint64(len(pages) / 8)})
		return nil
	})
}

// eachFree calls f with each record of the free list, once it was found to be as
// LMDB writes it: page numbers of 8 bytes each, in descending order.
func (e *Env) eachFree(visit func(first, pages uint64) error, f func(txn uint64, pages []byte) error) error {
	c := e.cursor(e.meta.free)
	c.integers, c.visit = true, visit
	for {
		key, value, err := c.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		page, at := c.position()
		txn := le.Uint64(key)
		if txn > e.meta.txn {
			return e.src.corrupt(page, at, "the free list has a record of transaction %d, after %d", txn, e.meta.txn)
		}
		// More room than entries is legal.
		if len(value) < 8 || le.Uint64(value) > uint64(len(value)/8-1) {
			return e.src.corrupt(page, at, "a record of the free list is cut")
		}
		pages := value[8 : 8+8*le.Uint64(value)]
		above := e.meta.last + 1
		for i := 0; i < len(pages); i += 8 {
			n := le.Uint64(pages[i:])
			if n < 2 || n >= above {
				return e.src.corrupt(page, at, "the free list names page %d, where 2 to %d was due", n, above-1)
			}
			above = n
		}
		if err := f(txn, pages); err != nil {
			return err
		}
	}
}

func (m *pageMap) use(first, pages uint64) error {
	for n := first; n < first+pages; n++ {
		if err := m.mark(n, false); err != nil {
			return err
		}
	}
	return nil
}

// mark notes what a page is for. Free pages may be behind the file's end: of
// those, only the number is known.
func (m *pageMap) mark(n uint64, free bool) error {
	switch {
	case m.seen.has(n):
		return m.env.src.corrupt(n, m.env.offset(n), "the page is in use twice or both used and free")
	case !m.seen.add(n) && !free:
		return m.env.src.corrupt(n, m.env.offset(n), "the page is behind the end of the file")
	}
	if free {
		m.Free++
	} else {
		m.Used++
	}
	return nil
}

// bitmap is a set of page numbers below a bound.
type bitmap []uint64

func newBitmap(below uint64) bitmap { return make(bitmap, below/64+1) }

func (b bitmap) has(n uint64) bool {
	return n/64 < uint64(len(b)) && b[n/64]&(1<<(n%64)) != 0
}

// add reports whether n is below the bound.
func (b bitmap) add(n uint64) bool {
	if n/64 >= uint64(len(b)) {
		return false
	}
	b[n/64] |= 1 << (n % 64)
	return true
}
