package rcache

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// The layout of a file2 replay cache (reference kprop-protocol.md 16).
const (
	seedLen      = 16
	recordLen    = 16 // tag, then 32-bit big-endian seconds; 0 seconds: empty
	firstRecords = 1023
	nextRecords  = 2048 // of the second table; each further one has twice as many
	maxFileEnd   = math.MaxInt32
)

// file is what the table needs of an open, locked file.
type file interface {
	io.ReaderAt
	io.WriterAt
}

type record struct {
	tag   [TagLen]byte
	stamp uint32
}

func (r *record) empty() bool { return r.stamp == 0 }

// usable reports whether the record's place may be written at the time now.
func (r *record) usable(now, skew uint32) bool {
	return r.empty() || now > saturatingAdd(r.stamp, skew)
}

func saturatingAdd(a, b uint32) uint32 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxUint32
}

// store looks for the tag, and writes it if it is not there. The file must be
// locked by the caller.
func store(f file, tag [TagLen]byte, now, skew uint32) error {
	seed, err := readSeed(f)
	if err != nil {
		return err
	}
	slot := int64(-1)
	offset, records := int64(seedLen), int64(firstRecords)
	for {
		if offset+records*recordLen > maxFileEnd {
			return fmt.Errorf("it is full of unexpired entries: %w", unix.EOVERFLOW)
		}
		at := offset + int64(siphash24(&seed, tag[:])%uint64(records))*recordLen
		pair, err := readPair(f, at)
		if err != nil {
			return err
		}
		if pair[0].holds(tag) || pair[1].holds(tag) {
			return ErrReplay
		}
		for i := range pair {
			if slot < 0 && pair[i].usable(now, skew) {
				slot = at + int64(i)*recordLen
			}
		}
		// A tag is never put into a later table while one of its two
		// places here is empty, so the search may end.
		if pair[0].empty() || pair[1].empty() {
			return writeRecord(f, slot, record{tag, now})
		}
		offset += records * recordLen
		records = max(nextRecords, 2*records)
		seed[0]++
	}
}

func (r *record) holds(tag [TagLen]byte) bool { return !r.empty() && r.tag == tag }

// readSeed reads the seed, and makes one for a file that has none.
func readSeed(f file) (seed [seedLen]byte, err error) {
	n, err := f.ReadAt(seed[:], 0)
	if n == seedLen {
		return seed, nil
	}
	if !errors.Is(err, io.EOF) {
		return seed, err
	}
	if _, err := rand.Read(seed[:]); err != nil {
		return seed, err
	}
	_, err = f.WriteAt(seed[:], 0)
	return seed, err
}

// readPair reads two records; what lies beyond the end of the file is empty.
func readPair(f file, at int64) (pair [2]record, err error) {
	var buf [2 * recordLen]byte
	n, err := f.ReadAt(buf[:], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return pair, err
	}
	for i := range pair {
		if b := buf[i*recordLen:]; n >= (i+1)*recordLen {
			pair[i].tag = [TagLen]byte(b)
			pair[i].stamp = binary.BigEndian.Uint32(b[TagLen:])
		}
	}
	return pair, nil
}

func writeRecord(f file, at int64, r record) error {
	var b bytes.Buffer
	b.Write(r.tag[:])
	b.Write(binary.BigEndian.AppendUint32(nil, r.stamp))
	_, err := f.WriteAt(b.Bytes(), at)
	return err
}

// seconds gives the file's form of a time.
func seconds(t time.Time) (uint32, error) {
	s := t.Unix()
	if s < 1 || s > math.MaxUint32 {
		return 0, fmt.Errorf("the time %v cannot be stored", t.UTC())
	}
	return uint32(s), nil
}
