package dump

import (
	"bytes"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"slices"
)

// nameSet finds names that come twice. It keeps a hash of each name, 8 bytes,
// because a dump that turns out not to be sorted cannot be gone through again;
// with a secret seed two names share a hash by no one's design.
type nameSet struct {
	seed     maphash.Seed
	last     []byte
	count    int
	unsorted bool
	pieces   [][]uint64
}

const (
	piece       = 64 << 10
	maxTracked  = 1 << 20 // 8 MiB, twice that to sort them
	maxPolicies = 64 << 10
	maxListed   = 100
)

func (s *nameSet) init() { s.seed = maphash.MakeSeed() }

func (s *nameSet) add(name []byte) {
	if !s.unsorted && s.count > 0 && bytes.Compare(name, s.last) <= 0 {
		s.unsorted = true
	}
	if !s.unsorted {
		s.last = append(s.last[:0], name...)
	}
	if s.count++; s.count > maxTracked {
		s.pieces = nil // a sorted dump does not need them
		return
	}
	if n := len(s.pieces); n == 0 || len(s.pieces[n-1]) == piece {
		s.pieces = append(s.pieces, make([]uint64, 0, piece))
	}
	p := &s.pieces[len(s.pieces)-1]
	*p = append(*p, maphash.Bytes(s.seed, name))
}

// duplicates says how many names came before, and whether that is known.
func (s *nameSet) duplicates() (n int, known bool) {
	if !s.unsorted {
		return 0, true
	}
	if s.count > maxTracked {
		return 0, false
	}
	all := slices.Concat(s.pieces...)
	slices.Sort(all)
	return len(all) - len(slices.Compact(all)), true
}

// policySet is a bounded set of policy names.
type policySet struct {
	names map[string]struct{}
	full  bool
}

func (s *policySet) add(name []byte) {
	if _, ok := s.names[string(name)]; ok {
		return
	}
	if len(s.names) >= maxPolicies {
		s.full = true
		return
	}
	if s.names == nil {
		s.names = make(map[string]struct{})
	}
	s.names[string(name)] = struct{}{}
}

// without lists the names that o lacks.
func (s *policySet) without(o policySet) []string {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		if _, ok := o.names[name]; !ok && len(missing) < maxListed {
			missing = append(missing, name)
		}
	}
	return missing
}

// sampler keeps a random choice of the principals offered, each with the same
// chance (reservoir sampling).
type sampler struct {
	size, seen int
	chosen     []Principal
}

const (
	defaultSample = 64
	maxSample     = 4096
	sampleKeys    = 16
)

func (s *sampler) init(size int) {
	if size == 0 {
		size = defaultSample
	}
	s.size = min(max(size, 0), maxSample)
}

func (s *sampler) offer(p *Principal) {
	s.seen++
	if len(s.chosen) < s.size {
		s.chosen = append(s.chosen, sampleOf(p))
	} else if i := rand.IntN(s.seen); i < s.size {
		s.chosen[i] = sampleOf(p)
	}
}

// sampleOf copies what a trial of the master key needs.
func sampleOf(p *Principal) Principal {
	short := *p
	short.TL = nil
	if i := slices.IndexFunc(p.TL, func(t TL) bool { return t.Type == TLMKVNO }); i >= 0 {
		short.TL = p.TL[i : i+1]
	}
	short.Keys = p.Keys[:min(len(p.Keys), sampleKeys)]
	return *short.Clone()
}
