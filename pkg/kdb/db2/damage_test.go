package db2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/pkg/dump"
)

// target is a file to be damaged.
type target struct {
	name     string
	good     []byte
	pageSize int
	decode   func(key, data []byte) error
	records  []record // in the order of the file
}

func targets(t testing.TB) (all []target) {
	t.Helper()
	for _, name := range []string{"principal", "principal.loaded", "principal.kadm5", "principal.hash"} {
		decode := decodePrincipal
		if name == "principal.kadm5" {
			decode = decodePolicy
		}
		all = append(all, target{name, contents(t, name), 4096, decode, records(t, open(t, name))})
	}
	// A tree of several levels, with keys on overflow pages on all of them.
	var some []record
	for i := range 150 {
		size := 20
		if i%5 == 0 {
			size = 500
		}
		p := dump.Principal{Name: fmt.Appendf(nil, "p%03d%s@R", i, strings.Repeat("x", size))}
		some = append(some, record{append(bytes.Clone(p.Name), 0), plainRecord(p.Name, i*7%400)})
	}
	deep := convert(some, true, 512)
	f, err := OpenBytes(deep, "deep")
	if err != nil {
		t.Fatal(err)
	}
	return append(all, target{"deep", deep, 512, decodePrincipal, records(t, f)})
}

// plainRecord is that of a principal with one value of n bytes.
func plainRecord(name []byte, n int) []byte {
	b := make([]byte, recHead)
	b[recLength], b[recTLCount] = recHead, 1
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)+1))
	b = append(append(b, name...), 0, 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(n))
	return append(b, make([]byte, n)...)
}

// damage calls try with damaged versions of a file, which it reuses. flips is
// whether a record may have changed unseen: a byte of one was changed, not a
// whole page.
func (g *target) damage(r *rand.Rand, try func(what string, b []byte, flips bool)) {
	b := bytes.Clone(g.good)
	pages := len(b) / g.pageSize
	page := func(n int) []byte { return b[n*g.pageSize : (n+1)*g.pageSize] }
	restore := func(n int) { copy(page(n), g.good[n*g.pageSize:]) }
	for _, n := range r.Perm(pages)[:min(pages, 25)] {
		for at := range 40 { // header and slots
			for _, mask := range []byte{0x01, 0x84} {
				page(n)[at] ^= mask
				try(fmt.Sprintf("page %d, byte %d ^ %#x", n, at, mask), b, true)
				restore(n)
			}
		}
		for range 40 {
			at, mask := r.IntN(g.pageSize), byte(1+r.IntN(255))
			page(n)[at] ^= mask
			try(fmt.Sprintf("page %d, byte %d ^ %#x", n, at, mask), b, true)
			restore(n)
		}
		for _, fill := range []byte{0, 0xff} {
			copy(page(n), bytes.Repeat([]byte{fill}, g.pageSize))
			try(fmt.Sprintf("page %d full of %#x", n, fill), b, false)
			restore(n)
			copy(page(n)[headerSize:], bytes.Repeat([]byte{fill}, g.pageSize))
			try(fmt.Sprintf("page %d full of %#x behind its header", n, fill), b, true)
			restore(n)
		}
		for range 10 {
			other := r.IntN(pages)
			copy(page(n), page(other))
			try(fmt.Sprintf("page %d as page %d", other, n), b, false)
			restore(n)
			for _, at := range []int{pageNumber, pagePrev, pageNext} { // loops among them
				for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
					order.PutUint32(page(n)[at:], uint32(other))
					try(fmt.Sprintf("page %d, number %d at %d", n, other, at), b, false)
					restore(n)
				}
			}
		}
		if n == 0 {
			continue // a file of 0 bytes is an empty database
		}
		try(fmt.Sprintf("cut at page %d", n), b[:n*g.pageSize], false)
		try(fmt.Sprintf("cut in page %d", n), b[:n*g.pageSize+r.IntN(g.pageSize)], false)
	}
}

// TestDamage: whatever is wrong with a file, reading it gives an error, or the
// records that it had before. Check tells of all that Records tells of. Neither
// takes long or much memory.
func TestDamage(t *testing.T) {
	r := random(t)
	total, noticed := 0, 0
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	taken := func() uint64 { metrics.Read(allocated); return allocated[0].Value.Uint64() }
	for _, g := range targets(t) {
		g.damage(r, func(what string, b []byte, flips bool) {
			if total++; t.Failed() {
				return
			}
			before := taken()
			read, err := g.everything(t, b, total%16 == 0)
			if n := taken() - before; n > 16<<20 {
				t.Errorf("%s, %s: %d bytes were allocated", g.name, what, n)
			}
			if err != nil {
				noticed++
				return
			}
			if d := g.differences(read); d > 1 || d == 1 && !flips {
				t.Errorf("%s, %s: %d records are others, and no error", g.name, what, d)
			}
		})
	}
	t.Logf("%d of %d damages are noticed", noticed, total)
	if total < 10000 || noticed < total/3 {
		t.Error("these are too few")
	}
}

// differences counts the records that are not those of the sound file. Their
// order may be another.
func (g *target) differences(read []record) int {
	if len(read) != len(g.records) {
		return max(len(read), len(g.records))
	}
	left := make(map[string]int)
	for _, rec := range g.records {
		left[string(rec.key)+string(rec.data)]++
	}
	n := 0
	for _, rec := range read {
		if left[string(rec.key)+string(rec.data)]--; left[string(rec.key)+string(rec.data)] < 0 {
			n++
		}
	}
	return n
}

// everything reads a file in all ways. The error is one of reading it, or of a
// record that cannot be decoded.
func (g *target) everything(t *testing.T, b []byte, files bool) (read []record, err error) {
	t.Helper()
	file, err := OpenRecordsBytes(b, "damaged")
	if err != nil {
		typed(t, err)
		return nil, err
	}
	var undecoded error
	err = file.Records(func(key, data []byte) error {
		read = append(read, record{key, data})
		if isBig := len(data) > g.pageSize || len(key) > g.pageSize; isBig || len(g.records) == 150 {
			read[len(read)-1] = record{bytes.Clone(key), bytes.Clone(data)}
		}
		if err := g.decode(key, data); err != nil {
			typed(t, err)
			undecoded = err
		}
		return nil
	})
	typed(t, err)
	rep, checkErr := Check(file, g.decode)
	switch {
	case checkErr != nil:
		t.Errorf("%s: check: %v", g.name, checkErr)
	case err != nil && rep.Counts[FaultStructure] == 0:
		t.Errorf("%s: Check does not notice %v: %+v", g.name, err, rep)
	case undecoded != nil && rep.Good():
		t.Errorf("%s: Check does not notice %v", g.name, undecoded)
	case err == nil && undecoded == nil && rep.Good() && rep.Records != uint64(len(read)):
		t.Errorf("%s: Check finds %d records, not %d", g.name, rep.Records, len(read))
	}
	if f, is := file.(*File); is {
		for _, rec := range read {
			_, err := f.Search(rec.key)
			typed(t, err)
		}
	}
	if files {
		g.sameFromFile(t, b, len(read), err, rep)
	}
	if err == nil {
		err = undecoded
	}
	return read, err
}

// sameFromFile reads a file that is not in memory.
func (g *target) sameFromFile(t *testing.T, b []byte, want int, wantErr error, wantRep *CheckReport) {
	t.Helper()
	file, err := OpenRecords(bytes.NewReader(b), int64(len(b)), "damaged")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = file.Records(func(_, _ []byte) error { n++; return nil })
	if n != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%s: %d records and %v, in memory %d and %v", g.name, n, err, want, wantErr)
	}
	if rep, err := Check(file, g.decode); err != nil || !cmp.Equal(rep, wantRep) {
		t.Errorf("%s: check: %v, %s", g.name, err, cmp.Diff(wantRep, rep))
	}
}

// typed says that an error is one that the package documents.
func typed(t testing.TB, err error) {
	t.Helper()
	var corrupt *CorruptError
	var bad *RecordError
	switch {
	case err == nil, errors.Is(err, ErrFormat), errors.Is(err, ErrNotFound), errors.As(err, &bad) && bad.Msg != "":
	case errors.As(err, &corrupt) && corrupt.Path != "" && corrupt.Msg != "":
	default:
		t.Errorf("an error of another kind: %v", err)
	}
}
