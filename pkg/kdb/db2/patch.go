package db2

import (
	"bytes"
	"fmt"
	"os"

	"github.com/kprop/kprop/internal/osutil"
)

// lockoutSize is how long the three fields from recSuccess on are, in bytes.
const lockoutSize = recTLCount - recSuccess

// Patch writes lockout data into the principals of a btree file that no program
// uses yet: last_success, last_failed and fail_auth_count, which are at a fixed
// place of each record (reference kdb-formats.md 4.5), so that nothing else
// moves. It holds the pages above the leaves and 256 KiB of leaves. It is for one
// goroutine.
type Patch struct {
	f       *os.File
	file    *File
	upper   map[uint32][]byte // pages above the leaves, by number
	window  window
	leaf    page // where the last record was; no data: nowhere
	item    int
	patched int
	dirty   bool
}

// OpenPatch opens the file.
func OpenPatch(path string) (*Patch, error) {
	f, err := osutil.OpenRegular(path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	p := &Patch{f: f, upper: map[uint32][]byte{}}
	st, err := f.Stat()
	if err == nil {
		p.file, err = Open(f, st.Size(), path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	p.window.reset(f, p.file)
	return p, nil
}

// Patched is how many times a principal was given other data.
func (p *Patch) Patched() int { return p.patched }

// Dirty says that something was written since the last Sync.
func (p *Patch) Dirty() bool { return p.dirty }

// Flush writes what is not written yet.
func (p *Patch) Flush() error {
	p.leaf = page{}
	return p.window.flush()
}

// Sync makes durable what was written.
func (p *Patch) Sync() error {
	if err := p.Flush(); err != nil {
		return err
	}
	if !p.dirty {
		return nil
	}
	if err := osutil.Step("fsync", p.f.Name()); err != nil {
		return err
	}
	if err := p.f.Sync(); err != nil {
		return err
	}
	p.dirty = false
	return nil
}

// Close gives up what is not written.
func (p *Patch) Close() error { return p.f.Close() }

// set is a visitor.
func (p *Patch) set(key, from []byte) error {
	if len(from) < recHead {
		return nil
	}
	return p.setLockout(key, from[recSuccess:recTLCount])
}

// setLockout gives the principal of that key other lockout data. One that is not
// in the file is none of its concern. Calls in ascending order of the keys are
// fast, any other goes down the tree.
func (p *Patch) setLockout(key, lockout []byte) error {
	if p.file.pages == 0 {
		return nil
	}
	found, err := p.find(key)
	if err != nil || !found {
		return err
	}
	it, err := p.leaf.leaf(p.item)
	if err != nil {
		return err
	}
	if it.flags&bigData != 0 {
		return p.setBig(it.data, lockout)
	}
	if len(it.data) < recHead {
		return p.leaf.fault(headerSize+slotSize*p.item, "a record is too short for a principal")
	}
	if own := it.data[recSuccess:recTLCount]; !bytes.Equal(own, lockout) {
		copy(own, lockout)
		p.window.mark(p.leaf.number)
		p.patched++
		p.dirty = true
	}
	return nil
}

// setBig is for a record on overflow pages, of which the first has all three
// fields, whatever the size of pages.
func (p *Patch) setBig(ref, lockout []byte) error {
	n, length := p.file.ref(ref)
	if n < rootPage || n >= p.file.pages || length < recHead {
		return p.leaf.fault(0, "an item refers to overflow pages that do not exist")
	}
	var own [lockoutSize]byte
	at := int64(n)*int64(p.file.pageSize) + headerSize + recSuccess
	if _, err := p.f.ReadAt(own[:], at); err != nil {
		return err
	}
	if bytes.Equal(own[:], lockout) {
		return nil
	}
	if err := osutil.Step("write", p.f.Name()); err != nil {
		return err
	}
	p.patched++
	p.dirty = true
	_, err := p.f.WriteAt(lockout, at)
	return err
}

// find sets leaf and item. Keys in ascending order are mostly on the same leaf,
// or on one of the next.
func (p *Patch) find(key []byte) (bool, error) {
	const steps = 4 // leaves; further is nearer by way of the tree
	if p.leaf.data == nil {
		return p.descend(key)
	}
	for range steps {
		for p.item < p.leaf.items {
			c, err := p.leaf.compare(key, p.item)
			switch {
			case err != nil:
				return false, err
			case c == 0:
				return true, nil
			case c < 0 && p.item > 0:
				before, err := p.leaf.compare(key, p.item-1)
				if err != nil || before > 0 {
					return false, err
				}
				return p.descend(key)
			case c < 0:
				return p.descend(key)
			}
			p.item++
		}
		n := p.leaf.next()
		if n == 0 {
			return false, p.stay()
		}
		if err := p.load(n); err != nil {
			return false, err
		}
	}
	return p.descend(key)
}

// stay leaves the place behind the last item, where the next key is looked for.
func (p *Patch) stay() error {
	p.item = max(0, p.leaf.items-1)
	return nil
}

// descend goes down the tree. It leaves the place where the key would be.
func (p *Patch) descend(key []byte) (bool, error) {
	n := uint32(rootPage)
	for range maxDepth {
		at, err := p.above(n)
		if err != nil {
			return false, err
		}
		if at.kind == typeLeaf {
			if err := p.load(n); err != nil {
				return false, err
			}
			i, exact, err := p.leaf.place(key)
			p.item = i
			return exact, err
		}
		i, exact, err := at.place(key)
		if err != nil {
			return false, err
		}
		if !exact && i > 0 {
			i--
		}
		if i >= at.items {
			return false, at.fault(pageLower, "a page above the leaves has no entries")
		}
		it, err := at.internal(i)
		if err != nil {
			return false, err
		}
		n = it.child
	}
	return false, p.file.corrupt(n, 0, tooDeep)
}

// above gives a page that is kept, or a leaf, which is not.
func (p *Patch) above(n uint32) (page, error) {
	if data, ok := p.upper[n]; ok {
		return p.file.parsePage(n, data)
	}
	// The kind is looked at by way of the window, where a leaf is to be.
	at, err := p.pageAt(n)
	if err != nil {
		return at, err
	}
	switch at.kind {
	case typeInternal:
		at.data = bytes.Clone(at.data)
		p.upper[n] = at.data
	case typeOverflow:
		return at, at.fault(pageFlags, "an overflow page is used as one of the tree")
	}
	return at, nil
}

// load makes a leaf the place.
func (p *Patch) load(n uint32) error {
	at, err := p.pageAt(n)
	if err != nil {
		return err
	}
	if at.kind != typeLeaf {
		return at.fault(pageFlags, fmt.Sprintf("page %d is used as a leaf", n))
	}
	p.leaf, p.item = at, 0
	return nil
}

func (p *Patch) pageAt(n uint32) (page, error) {
	if n < rootPage || n >= p.file.pages {
		return page{}, p.file.corrupt(n, 0, fmt.Sprintf("there is no such page: the file has %d", p.file.pages))
	}
	data, err := p.window.page(n)
	if err != nil {
		return page{}, err
	}
	return p.file.parsePage(n, data)
}
