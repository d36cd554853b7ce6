package delta

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Sign writes the signature of a base as the plan divides it, and needs buf, of
// any size, to read. It reads no more than the plan has; should there be less, or
// should reading fail, what is missing gets a signature of nothing, since the
// other side waits for it, and the second error says so. The first one is that
// of writing.
func Sign(w Writer, base io.Reader, p Plan, buf []byte) (err, unread error) {
	second := xxhash.NewWithSeed(p.Seed)
	left, flushed := p.Size, p.Size
	for range p.Blocks() {
		var first uint64
		second.ResetWithSeed(p.Seed)
		for n := min(left, int64(p.Block)); n > 0; {
			part := buf[:min(n, int64(len(buf)))]
			if unread == nil {
				_, unread = io.ReadFull(base, part)
			}
			if unread == nil {
				first = extend(first, part)
				_, _ = second.Write(part)
			}
			n -= int64(len(part))
			left -= int64(len(part))
		}
		var sums [sumSize]byte
		if unread == nil && (left > 0 || p.signsTail()) {
			binary.BigEndian.PutUint64(sums[:], first)
			binary.BigEndian.PutUint64(sums[8:], second.Sum64())
		}
		if _, err := w.Write(sums[:]); err != nil {
			return err, unread
		}
		if flushed-left >= flushEach {
			flushed = left
			if err := w.Flush(); err != nil {
				return err, unread
			}
		}
	}
	return w.Flush(), unread
}

// Signature is that of a base, for looking up blocks.
type Signature struct {
	plan   Plan
	strong []uint64 // the second sums of the whole blocks
	tail   sums     // of the last block, if it is shorter

	sorted  []rolling // the whole blocks
	first   []uint32  // index in sorted by the upper bits of the first sum
	shift   int       // that leaves these bits
	present []uint64  // a bit for more of the upper bits: there may be such a block
	bit     int       // shift that leaves these
}

type sums struct{ rolling, strong uint64 }

// rolling is the first sum of a block.
type rolling struct {
	sum   uint64
	index uint32
}

// ReadSignature reads the signature of a base that the plan divides.
func ReadSignature(r io.Reader, p Plan) (*Signature, error) {
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	s := &Signature{plan: p}
	whole := p.Blocks()
	if p.tail() < p.Block {
		whole--
	}
	s.strong, s.sorted = make([]uint64, 0, whole), make([]rolling, 0, whole)
	var buf [256 * sumSize]byte
	for n := p.Blocks(); n > 0; {
		part := buf[:min(n*sumSize, len(buf))]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, unexpected(err)
		}
		n -= len(part) / sumSize
		for ; len(part) > 0; part = part[sumSize:] {
			one := sums{binary.BigEndian.Uint64(part), binary.BigEndian.Uint64(part[8:])}
			if len(s.strong) == whole {
				s.tail = one
				continue
			}
			s.sorted = append(s.sorted, rolling{one.rolling, uint32(len(s.strong))})
			s.strong = append(s.strong, one.strong)
		}
	}
	s.arrange()
	return s, nil
}

// compare orders blocks so that those with the same sums are together.
func (s *Signature) compare(a, b rolling) int {
	return cmp.Or(cmp.Compare(a.sum, b.sum), cmp.Compare(s.strong[a.index], s.strong[b.index]), cmp.Compare(a.index, b.index))
}

// arrange makes the tables.
func (s *Signature) arrange() {
	slices.SortFunc(s.sorted, s.compare)
	wide := bits.Len(uint(len(s.sorted)))
	s.shift, s.bit = 64-wide, 64-wide-5
	s.first = make([]uint32, 1<<wide+1)
	s.present = make([]uint64, max(1, 1<<(wide+5)/64))
	for _, b := range s.sorted {
		s.first[b.sum>>s.shift+1]++
		at := b.sum >> s.bit
		s.present[at/64] |= 1 << (at % 64)
	}
	for i := 1; i < len(s.first); i++ {
		s.first[i] += s.first[i-1]
	}
}

// candidates are the blocks with a first sum.
func (s *Signature) candidates(sum uint64) []rolling {
	at := sum >> s.shift
	bucket := s.sorted[s.first[at]:s.first[at+1]]
	from, found := slices.BinarySearchFunc(bucket, sum, func(b rolling, sum uint64) int { return cmp.Compare(b.sum, sum) })
	if !found {
		return nil
	}
	to, _ := slices.BinarySearchFunc(bucket, sum, func(b rolling, sum uint64) int {
		if b.sum <= sum {
			return -1
		}
		return 1
	})
	return bucket[from:to]
}

// among gives the first of some candidates with a second sum.
func (s *Signature) among(candidates []rolling, strong uint64) (index int, ok bool) {
	i, ok := slices.BinarySearchFunc(candidates, strong, func(b rolling, sum uint64) int { return cmp.Compare(s.strong[b.index], sum) })
	if !ok {
		return 0, false
	}
	return int(candidates[i].index), true
}
