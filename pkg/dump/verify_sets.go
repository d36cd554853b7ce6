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
	piece       = 32 << 10
	smallPiece  = 256     // the first grows, since most realms are small
	maxTracked  = 1 << 20 // 8 MiB
	maxPolicies = 16 << 10
	maxPolicy   = 1 << 20 // bytes of all their names
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
	if n := len(s.pieces); n == 0 {
		s.pieces = append(s.pieces, make([]uint64, 0, smallPiece))
	} else if len(s.pieces[n-1]) >= piece {
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
	for _, p := range s.pieces {
		slices.Sort(p)
	}
	return equalNeighbours(s.pieces), true
}

// equalNeighbours merges sorted pieces, without the memory that a merged one
// would take, and counts the values that equal the one before.
func equalNeighbours(sorted [][]uint64) (n int) {
	heads := slices.Clone(sorted)
	var last uint64
	for begun := false; ; begun = true {
		least := -1
		for i, h := range heads {
			if len(h) > 0 && (least < 0 || h[0] < heads[least][0]) {
				least = i
			}
		}
		if least < 0 {
			return n
		}
		if begun && heads[least][0] == last {
			n++
		}
		last, heads[least] = heads[least][0], heads[least][1:]
	}
}

// policySet is a bounded set of policy names.
type policySet struct {
	names map[string]struct{}
	bytes int
	full  bool
}

func (s *policySet) add(name []byte) {
	if _, ok := s.names[string(name)]; ok {
		return
	}
	if len(s.names) >= maxPolicies || s.bytes+len(name) > maxPolicy {
		s.full = true
		return
	}
	s.bytes += len(name)
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
	place      int // where put puts the principal that take said yes to
}

const (
	defaultSample = 64
	maxSample     = 4096
	sampleKeys    = 16
	maxSampleKey  = 4 << 10 // with its salt, in bytes; no key of a known enctype comes near
)

func (s *sampler) init(size int) {
	if size == 0 {
		size = defaultSample
	}
	s.size = min(max(size, 0), maxSample)
}

// take says whether the next principal is to be put.
func (s *sampler) take() bool {
	s.seen++
	if s.place = s.seen - 1; s.place >= s.size {
		s.place = rand.IntN(s.seen)
	}
	return s.place < s.size
}

func (s *sampler) put(p *Principal) {
	if s.place == len(s.chosen) {
		s.chosen = append(s.chosen, Principal{})
	}
	s.chosen[s.place] = sampleOf(p)
}

// sampleOf copies what a trial of the master key needs.
func sampleOf(p *Principal) Principal {
	short := *p
	short.TL = nil
	if i := slices.IndexFunc(p.TL, func(t TL) bool { return t.Type == TLMKVNO }); i >= 0 {
		short.TL = p.TL[i : i+1]
	}
	short.Keys = nil
	for i := range p.Keys {
		k := &p.Keys[i]
		if len(short.Keys) < sampleKeys && len(k.Contents[0])+len(k.Contents[1]) <= maxSampleKey {
			short.Keys = append(short.Keys, *k)
		}
	}
	return *short.Clone()
}
