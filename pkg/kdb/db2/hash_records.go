package db2

import "fmt"

// Records calls yield with every record, in the order of the buckets, which is
// that of kdb5_util dump. key and data are valid during the call only, and must
// not be changed. The error is that of yield, a [*CorruptError], or one of the
// file.
func (h *Hash) Records(yield func(key, data []byte) error) error {
	r := hashReader{Hash: h, left: h.pages}
	for b := uint32(0); b <= h.maxBucket; b++ {
		if err := r.bucket(b, yield); err != nil {
			return err
		}
	}
	if r.keys != uint64(h.keys) {
		return h.corrupt(0, hashKeys, fmt.Sprintf("the file has %d records, not %d as it says", r.keys, h.keys))
	}
	return nil
}

// hashReader is a pass over a hash file.
type hashReader struct {
	*Hash
	left  uint32 // how many pages it may read yet: each has one place
	keys  uint64
	buf   []byte // room for a page of a file that is not in memory
	large []byte // room for a page of a big pair
	key   []byte
	data  []byte
}

// hashPage is a page with a header that was found plausible.
type hashPage struct {
	number uint32
	data   []byte
}

func (r *hashReader) u16(p *hashPage, at int) int    { return int(r.order.Uint16(p.data[at:])) }
func (r *hashReader) u32(p *hashPage, at int) uint32 { return r.order.Uint32(p.data[at:]) }

// page reads a page, whose type must be kind.
func (r *hashReader) page(number uint64, kind byte, buf *[]byte) (p hashPage, err error) {
	if number < uint64(r.headPages) || number >= uint64(r.pages) {
		return p, r.corrupt(0, 0, fmt.Sprintf("page %d is referred to, but the file has %d", number, r.pages))
	}
	if r.left == 0 {
		return p, r.corrupt(uint32(number), 0, "more pages are referred to than the file has: some are used twice")
	}
	r.left--
	p.number = uint32(number)
	at := int64(number) * int64(r.pageSize)
	if r.mem != nil {
		p.data = r.mem[at : at+int64(r.pageSize)]
	} else {
		if *buf == nil {
			*buf = make([]byte, r.pageSize)
		}
		if _, err := r.r.ReadAt(*buf, at); err != nil {
			return p, fmt.Errorf("read %s, page %d: %w", r.name, number, err)
		}
		p.data = *buf
	}
	switch {
	case kind == hashBucket && p.data[hpType] == 0 && r.u32(&p, hpNumber) == 0 && r.u16(&p, hpEntries) == 0 && r.u32(&p, hpNext) == 0:
		p.data = nil // never used
	case r.u32(&p, hpNumber) != p.number:
		return p, r.corrupt(p.number, hpNumber, fmt.Sprintf("the page says that it is page %d", r.u32(&p, hpNumber)))
	case p.data[hpType] != kind:
		return p, r.corrupt(p.number, hpType, fmt.Sprintf("the page is of type %d instead of %d", p.data[hpType], kind))
	}
	return p, nil
}

// bucket reads the pages of a bucket.
func (r *hashReader) bucket(b uint32, yield func(key, data []byte) error) error {
	kind, n := byte(hashBucket), r.pageOfBucket(b)
	for {
		p, err := r.page(n, kind, &r.buf)
		if err != nil || p.data == nil {
			return err
		}
		if err := r.entries(b, &p, yield); err != nil {
			return err
		}
		next := r.u32(&p, hpNext)
		if next == hashNoPage {
			return nil
		}
		kind, n = hashOverflow, uint64(next)
	}
}

// entries reads the records of a page, which lie one behind the other from its
// end downwards.
func (r *hashReader) entries(b uint32, p *hashPage, yield func(key, data []byte) error) error {
	n := r.u16(p, hpEntries)
	bottom := hpHead + hpPair*n
	if bottom > len(p.data) {
		return r.corrupt(p.number, hpEntries, fmt.Sprintf("%d records do not fit the page", n))
	}
	end := len(p.data)
	for i := range n {
		at := hpHead + hpPair*i
		keyAt, dataAt := r.u16(p, at), r.u16(p, at+2)
		var key, data []byte
		switch {
		case keyAt == 0:
			if err := r.bigPair(uint32(dataAt)); err != nil {
				return err
			}
			key, data = r.key, r.data
		case keyAt > end || dataAt > keyAt || dataAt < bottom:
			return r.corrupt(p.number, at, fmt.Sprintf("record %d is said to be at %d and %d, where none can be", i, keyAt, dataAt))
		default:
			key, data, end = p.data[keyAt:end:end], p.data[dataAt:keyAt:keyAt], dataAt
		}
		if r.bucketOf(key) != b {
			return named(r.corrupt(p.number, at, fmt.Sprintf("record %d is in bucket %d, where a search does not find it", i, b)), key)
		}
		r.keys++
		if err := yield(key, data); err != nil {
			return err
		}
	}
	if free := r.u16(p, hpFree); free != (end-1)&0xffff {
		return r.corrupt(p.number, hpFree, fmt.Sprintf("the free space is said to end at %d, but the records begin at %d", free, end))
	}
	return nil
}

// bigPair reads the chain of pages of a record that is too large for one.
func (r *hashReader) bigPair(address uint32) error {
	r.key, r.data = r.key[:0], r.data[:0]
	for n := r.pageOfAddress(address); ; {
		p, err := r.page(n, hashBigPair, &r.large)
		if err != nil {
			return err
		}
		key, data := r.u16(&p, hpHead), r.u16(&p, hpHead+2)
		if hpBigHead+key+data > len(p.data) {
			return r.corrupt(p.number, hpHead, fmt.Sprintf("parts of %d and %d bytes do not fit the page", key, data))
		}
		if key > 0 && len(r.data) > 0 {
			return r.corrupt(p.number, hpHead, "a part of the key follows the data")
		}
		r.key = append(r.key, p.data[hpBigHead:hpBigHead+key]...)
		r.data = append(r.data, p.data[hpBigHead+key:hpBigHead+key+data]...)
		next := r.u32(&p, hpNext)
		if next == hashNoPage {
			return nil
		}
		n = uint64(next)
	}
}
