package db2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// many makes n records of the size of a usual principal's, as a btree.
func many(t testing.TB, n int) *File {
	t.Helper()
	all := make([]record, n)
	for i := range all {
		all[i] = record{fmt.Appendf(nil, "user%08d@EXAMPLE\x00", i), bytes.Repeat([]byte{byte(i)}, 261)}
	}
	f, err := OpenBytes(convert(all, false, 4096), "many")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// BenchmarkRecords is the speed of reading a file in memory.
func BenchmarkRecords(b *testing.B) {
	f := many(b, 200_000)
	b.SetBytes(int64(len(f.mem)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := f.Records(func(key, data []byte) error { n += len(key); return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheck is the speed of the whole check.
func BenchmarkCheck(b *testing.B) {
	f := many(b, 200_000)
	b.SetBytes(int64(len(f.mem)))
	for b.Loop() {
		if rep, err := Check(f, func(_, _ []byte) error { return nil }); err != nil || !rep.Good() {
			b.Fatal(rep, err)
		}
	}
}

// TestRecordsAllocate: nothing for a record.
func TestRecordsAllocate(t *testing.T) {
	f := many(t, 5000)
	n := testing.AllocsPerRun(3, func() {
		if err := f.Records(func(_, _ []byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
	if n > 10 {
		t.Errorf("%v allocations for 5000 records", n)
	}
}

// TestYieldError ends the reading and comes back as it is.
func TestYieldError(t *testing.T) {
	stop := errors.New("stop")
	for _, name := range []string{"principal", "principal.hash"} {
		n := 0
		err := open(t, name).Records(func(_, _ []byte) error {
			if n++; n == 3 {
				return stop
			}
			return nil
		})
		if err != stop || n != 3 {
			t.Errorf("%s: %v after %d", name, err, n)
		}
	}
}

// TestEmpty: an empty file is an empty database, and so is a root without
// records.
func TestEmpty(t *testing.T) {
	for _, b := range [][]byte{nil, convert(nil, false, 4096), convert(nil, true, 65536)} {
		r, err := OpenRecordsBytes(b, "empty")
		if err != nil {
			t.Fatal(err)
		}
		rep, err := Check(r, decodePrincipal)
		if n := len(records(t, r)); n != 0 || err != nil || !rep.Good() {
			t.Errorf("%d bytes: %d records, %+v, %v", len(b), n, rep, err)
		}
		if _, err := r.(*File).Search([]byte("a\x00")); err != ErrNotFound {
			t.Error(err)
		}
	}
}

// TestNoDatabase: what is no DB2 file is told as such.
func TestNoDatabase(t *testing.T) {
	hash := func(at int, v uint32) []byte {
		b := contents(t, "principal.hash")
		binary.BigEndian.PutUint32(b[at:], v)
		return b
	}
	btree := func(at int, v uint32) []byte {
		b := contents(t, "principal")
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	for _, b := range [][]byte{
		[]byte("x"), make([]byte, 4096), contents(t, "dump.v7"), hash(metaVersion, 2), hash(0, hashMagic)[:200],
		btree(metaVersion, 2), btree(metaMagic, btreeMagic+1), btree(0, btreeMagic)[:20],
	} {
		if _, err := OpenRecordsBytes(b, "x"); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes, %.8x: %v", len(b), b, err)
		}
	}
	for _, b := range [][]byte{
		hash(hashOrder, 1), hash(hashPageSize, 0), hash(hashPageSize, 3000), hash(hashMaxBucket, 1<<31), hash(hashHighMask, 0),
		hash(hashHeadPages, 0), hash(hashCharKey, 1), hash(0, hashMagic)[:5000],
		btree(metaPageSize, 0), btree(metaPageSize, 511), btree(metaPageSize, 1<<17), btree(metaFlags, 1), btree(0, btreeMagic)[:5000],
	} {
		var corrupt *CorruptError
		if _, err := OpenRecordsBytes(b, "x"); !errors.As(err, &corrupt) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}
