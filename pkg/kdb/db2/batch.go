package db2

import (
	"bytes"
	"slices"
	"sync"
)

// batch is some items in one piece of memory.
type batch struct {
	mem []byte
	at  []uint32 // where in mem an item begins, in the order of the keys
}

func (b *batch) reset() { b.mem, b.at = b.mem[:0], b.at[:0] }

// begin notes that an item follows at the end of mem.
func (b *batch) begin() (at int) {
	b.at = append(b.at, uint32(len(b.mem)))
	return len(b.mem)
}

func (b *batch) item(i int) []byte { return cutItem(b.mem[b.at[i]:]) }
func (b *batch) key(i int) []byte  { return itemKey(b.mem[b.at[i]:]) }

// memory is how many bytes the batch takes.
func (b *batch) memory() int64 { return int64(cap(b.mem)) + 4*int64(cap(b.at)) }

// sort brings the items into ascending order and says whether they were. Of
// items with the same key it keeps the last and calls drop with the others.
func (b *batch) sort(drop func(item []byte) error) (sorted bool, err error) {
	for i := 1; i < len(b.at); i++ {
		if bytes.Compare(b.key(i-1), b.key(i)) >= 0 {
			return false, b.sortItems(drop)
		}
	}
	return true, nil
}

func (b *batch) sortItems(drop func(item []byte) error) error {
	keyAt := func(at uint32) []byte { return itemKey(b.mem[at:]) }
	slices.SortFunc(b.at, func(x, y uint32) int {
		if c := bytes.Compare(keyAt(x), keyAt(y)); c != 0 {
			return c
		}
		return int(int64(x) - int64(y)) // what came later is later in mem
	})
	n := 0
	for i, at := range b.at {
		if i+1 < len(b.at) && bytes.Equal(keyAt(at), keyAt(b.at[i+1])) {
			if err := drop(b.item(i)); err != nil {
				return err
			}
			continue
		}
		b.at[n] = at
		n++
	}
	b.at = b.at[:n]
	return nil
}

// batchPool has batches that are not in use. What sorting has taken of memory it
// shall take again, rather than wait for the garbage collector.
type batchPool struct {
	mu   sync.Mutex
	free []*batch
}

// get gives an empty batch, with room for about size bytes if it is new.
func (p *batchPool) get(size int) *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return &batch{mem: make([]byte, 0, size)}
	}
	b := p.free[n-1]
	p.free = p.free[:n-1]
	b.reset()
	return b
}

// put takes back a batch, unless it is so large that it is seldom needed.
func (p *batchPool) put(b *batch) {
	if b.memory() > largePiece {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, b)
}
