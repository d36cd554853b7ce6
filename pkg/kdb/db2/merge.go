package db2

import "bytes"

// source gives batches one after the other, each valid until the next call, the
// keys ascending over all of them; nil at the end.
type source interface {
	next() (*batch, error)
}

// held is a source of one batch that is in memory.
type held struct{ b *batch }

func (h *held) next() (*batch, error) {
	b := h.b
	h.b = nil
	return b, nil
}

// merger joins sources into one ascending sequence.
type merger struct {
	heap []*input // the least first
}

// input is a source and where in it we are.
type input struct {
	from  source
	order int // a later source wins over an earlier one
	b     *batch
	i     int
	key   []byte
}

func (in *input) less(o *input) bool {
	c := bytes.Compare(in.key, o.key)
	return c < 0 || c == 0 && in.order > o.order
}

// advance goes to the next item and says whether there is one.
func (in *input) advance() (bool, error) {
	in.i++
	for in.b == nil || in.i >= len(in.b.at) {
		b, err := in.from.next()
		if b == nil || err != nil {
			return false, err
		}
		in.b, in.i = b, 0
	}
	in.key = in.b.key(in.i)
	return true, nil
}

// merge puts what the sources have into p, of items with the same key that of the
// last source; drop is called with the others.
func merge(p *packer, sources []source, drop func(item []byte) error) error {
	var m merger
	for i, s := range sources {
		in := &input{from: s, order: i}
		more, err := in.advance()
		if err != nil {
			return err
		}
		if more {
			m.heap = append(m.heap, in)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	for begun := false; len(m.heap) > 0; begun = true {
		least := m.heap[0]
		put := p.add
		if begun && bytes.Equal(p.last, least.key) {
			put = drop
		}
		if err := put(least.b.item(least.i)); err != nil {
			return err
		}
		more, err := least.advance()
		if err != nil {
			return err
		}
		if !more {
			last := len(m.heap) - 1
			m.heap[0] = m.heap[last]
			m.heap = m.heap[:last]
		}
		m.down(0)
	}
	return nil
}

// down moves the input at i behind those that are less.
func (m *merger) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(m.heap) {
			return
		}
		if other := least + 1; other < len(m.heap) && m.heap[other].less(m.heap[least]) {
			least = other
		}
		if !m.heap[least].less(m.heap[i]) {
			return
		}
		m.heap[i], m.heap[least] = m.heap[least], m.heap[i]
		i = least
	}
}
