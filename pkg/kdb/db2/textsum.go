package db2

import (
	"bytes"
	"hash/maphash"

	"github.com/kprop/kprop/pkg/dump"
)

// textSum is a digest of records as lines of a dump of version 7, in whatever
// order: the sum of hashes of the lines, the three lockout fields taken for 0. It is
// for one goroutine.
type textSum struct {
	seed  maphash.Seed
	sum   uint64
	n     int          // of the lines
	w     *dump.Writer // into Write
	buf   []byte
	lines printer
	pol   dump.Policy
}

// newTextSum has principals printed as for iprop, which has no lockout fields.
func newTextSum(seed maphash.Seed) *textSum {
	return &textSum{seed: seed, lines: printer{header: dump.Header{Version: dump.Version7, Iprop: true, IpropVersion: 1}}}
}

// shortLine is up to where it is faster to copy a line than to hash it in parts.
const shortLine = 64 << 10

const noLockout = "0\t0\t0\t"

// verbatim adds a princ line, given without its LF, whose lockout fields are in
// from and to.
func (s *textSum) verbatim(line []byte, from, to int) {
	if len(line) > shortLine {
		var h maphash.Hash
		h.SetSeed(s.seed)
		_, _ = h.Write(line[:from])
		_, _ = h.WriteString(noLockout)
		_, _ = h.Write(line[to:])
		s.sum += h.Sum64()
		s.n++
		return
	}
	s.buf = append(append(append(s.buf[:0], line[:from]...), noLockout...), line[to:]...)
	s.add(s.buf)
}

func (s *textSum) add(line []byte) {
	s.sum += maphash.Bytes(s.seed, line)
	s.n++
}

// Write adds whole lines: it is for the dump.Writer.
func (s *textSum) Write(lines []byte) (int, error) {
	size := len(lines)
	for {
		line, rest, found := bytes.Cut(lines, []byte{'\n'})
		if !found {
			return size, nil
		}
		s.add(line)
		lines = rest
	}
}

// principal adds a principal, of which it changes the lockout fields and sorts the
// keys. It counts at the next flush.
func (s *textSum) principal(p *dump.Principal) error {
	p.LastSuccess, p.LastFailed, p.FailAuthCount = 0, 0, 0
	p.SortKeys()
	if err := s.open(); err != nil {
		return err
	}
	return s.w.WritePrincipal(p)
}

// policy adds a policy, as principal does.
func (s *textSum) policy(p *dump.Policy) error {
	p.Fields, p.RefCount = dump.PolicyFields11, 0
	if err := s.open(); err != nil {
		return err
	}
	return s.w.WritePolicy(p)
}

func (s *textSum) open() error {
	if s.w != nil {
		return nil
	}
	var err error
	before := *s
	if s.w, err = dump.NewWriter(s, dump.Header{Version: dump.Version7}); err != nil {
		return err
	}
	err = s.flush()
	s.sum, s.n = before.sum, before.n // the header is no record
	return err
}

func (s *textSum) flush() error {
	if s.w == nil {
		return nil
	}
	return s.w.Flush()
}

// principalItem and policyItem add what an item holds.
func (s *textSum) principalItem(item []byte) error {
	var err error
	if s.buf, err = s.lines.line(s.buf[:0], itemKey(item), itemData(item)); err == nil {
		s.add(s.buf[:len(s.buf)-1])
	}
	return err
}

func (s *textSum) policyItem(item []byte) error {
	if err := DecodePolicy(&s.pol, itemKey(item), itemData(item)); err != nil {
		return err
	}
	return s.policy(&s.pol)
}
