package delta

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"github.com/cespare/xxhash/v2"
)

// Stats are octets of a file.
type Stats struct {
	Literal int64 // that were sent
	Copied  int64 // that the other side has
}

// SourceError says that a file could not be read to its end. The instructions
// have ended in order.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return "read: " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// readSize is how much of a file is read at least, in octets.
const readSize = 256 << 10

// alarmsMargin is how many octets of blocks may be hashed in vain, besides twice
// the file's size, before no more are looked for.
const alarmsMargin = 16 << 20

// Diff writes the instructions for the size octets of src. It calls progress, if
// it is not nil, now and then. The error is a *SourceError if src was at fault,
// io.ErrUnexpectedEOF in it if that was shorter; or else that of w.
func Diff(w Writer, src io.Reader, size int64, s *Signature, progress func(Stats)) (Stats, error) {
	block := s.plan.Block
	d := &differ{
		encoder: encoder{w: w}, s: s, block: block, src: src, left: size,
		second: xxhash.NewWithSeed(s.plan.Seed), whole: sha256.New(), progress: progress,
		alarms: 2*size + alarmsMargin, buf: make([]byte, 2*block+readSize),
	}
	leaving := power(block)
	for c := range d.leaving {
		d.leaving[c] = uint64(c) * leaving
	}
	err := d.run()
	switch {
	case d.unread != nil:
		if err = d.finish(opGivenUp, nil); err == nil {
			err = &SourceError{d.unread}
		}
	case err == nil:
		err = d.finish(opComplete, d.whole.Sum(nil))
	}
	return d.stats, err
}

// differ looks for blocks of a base in a file. Of the file it holds what is
// looked at, buf[pos:end], and before it what was found nowhere, from sent on.
type differ struct {
	encoder
	s        *Signature
	block    int
	src      io.Reader
	left     int64 // octets to be read
	unread   error // why they cannot be
	second   *xxhash.Digest
	whole    hash.Hash
	stats    Stats
	progress func(Stats)
	alarms   int64 // octets that may still be hashed in vain
	flushed  int64 // octets done when the other side got all

	buf            []byte
	sent, pos, end int
	sum            uint64      // the first one of the block at pos
	leaving        [256]uint64 // what an octet counts that leaves the block
}

func (d *differ) run() error {
	for next := 0; ; { // the block that would go on from the one before
		full, err := d.more(d.block)
		var index int
		if err == nil && full {
			index, full, err = d.search(next)
		}
		switch {
		case err != nil || d.unread != nil:
			return err
		case !full:
			return d.rest()
		}
		if err := d.found(index, d.block); err != nil {
			return err
		}
		next = index + 1
	}
}

// search goes on octet by octet until there is a block at pos, or the file ends.
// Where nothing has changed it is the next one, and its second sum all there is
// to do.
func (d *differ) search(next int) (index int, ok bool, err error) {
	if next < len(d.s.strong) && d.s.strong[next] == d.strong(d.here()) {
		return next, true, nil
	}
	d.sum = extend(0, d.here())
	for {
		if candidates := d.s.candidates(d.sum); len(candidates) > 0 && d.alarms > 0 {
			if index, ok := d.s.among(candidates, d.strong(d.here())); ok {
				return index, true, nil
			}
			d.alarms -= int64(d.block)
		}
		for hit := false; !hit; hit = d.roll() {
			if full, err := d.more(d.block + 1); err != nil || !full {
				return 0, false, err
			}
		}
	}
}

// here is a block at pos.
func (d *differ) here() []byte { return d.buf[d.pos : d.pos+d.block] }

// strong is the second sum of a block.
func (d *differ) strong(block []byte) uint64 {
	d.second.ResetWithSeed(d.s.plan.Seed)
	_, _ = d.second.Write(block)
	return d.second.Sum64()
}

// roll moves pos to where there may be a block, or as far as a whole one can be.
func (d *differ) roll() bool {
	in := d.buf[d.pos+d.block : d.end]
	out := d.buf[d.pos:][:len(in)]
	sum, present, bit := d.sum, d.s.present, d.s.bit&63
	for i, c := range in {
		sum = sum*multiplier + (uint64(c) - d.leaving[out[i]])
		at := sum >> bit
		if present[at/64]>>(at%64)&1 != 0 {
			d.sum = sum
			d.pos += i + 1
			return true
		}
	}
	d.sum = sum
	d.pos += len(in)
	return false
}

// found sends what was found nowhere, and then a block of so many octets at pos.
func (d *differ) found(index, octets int) error {
	if err := d.literals(d.pos); err != nil {
		return err
	}
	d.pos += octets
	d.sent = d.pos
	d.stats.Copied += int64(octets)
	return d.copy(index)
}

// literals sends what was found nowhere, up to a place.
func (d *differ) literals(upTo int) error {
	octets := d.buf[d.sent:upTo]
	if len(octets) == 0 {
		return nil
	}
	d.sent = upTo
	d.stats.Literal += int64(len(octets))
	return d.literal(octets)
}

// more reads until there are so many octets at pos; false: there are not.
func (d *differ) more(octets int) (bool, error) {
	for d.end-d.pos < octets {
		if d.left == 0 || d.unread != nil {
			return false, nil
		}
		if err := d.makeRoom(); err != nil {
			return false, err
		}
		part := d.buf[d.end:]
		part = part[:min(int64(len(part)), d.left)]
		if _, err := io.ReadFull(d.src, part); err != nil {
			d.unread = unexpected(err)
			return false, nil
		}
		d.whole.Write(part)
		d.end += len(part)
		d.left -= int64(len(part))
		if d.progress != nil {
			d.progress(d.stats)
		}
	}
	return true, nil
}

// makeRoom has the other side go on, and room in the buffer for readSize.
func (d *differ) makeRoom() error {
	if done := d.stats.Literal + d.stats.Copied; done-d.flushed >= flushEach {
		d.flushed = done
		if err := errors.Join(d.settle(), d.w.Flush()); err != nil {
			return err
		}
	}
	if len(d.buf)-d.end >= readSize {
		return nil
	}
	if err := d.literals(d.pos); err != nil {
		return err
	}
	d.end = copy(d.buf, d.buf[d.pos:d.end])
	d.sent, d.pos = 0, 0
	return nil
}

// rest sends what is left, in which there is no whole block any more.
func (d *differ) rest() error {
	tail := d.s.plan.tail()
	if at := d.end - tail; d.s.plan.signsTail() && tail < d.block && at >= d.pos {
		last := d.buf[at:d.end]
		if extend(0, last) == d.s.tail.rolling && d.strong(last) == d.s.tail.strong {
			d.pos = at
			if err := d.found(d.s.plan.Blocks()-1, tail); err != nil {
				return err
			}
		}
	}
	return d.literals(d.end)
}
