package db2

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/pkg/dump"
)

// contents reads a fixture.
func contents(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "kdb", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// record is a record that was copied.
type record struct{ key, data []byte }

func records(t testing.TB, r Records) (all []record) {
	t.Helper()
	err := r.Records(func(key, data []byte) error {
		all = append(all, record{bytes.Clone(key), bytes.Clone(data)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func open(t testing.TB, name string) Records {
	t.Helper()
	r, err := OpenRecordsBytes(contents(t, name), name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// dumped is what the two files give as a dump of version 7.
func dumped(t testing.TB, principals, policies Records) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := dump.NewWriter(&out, dump.Header{Version: dump.Version7})
	if err != nil {
		t.Fatal(err)
	}
	err = principals.Records(func(key, data []byte) error {
		var p dump.Principal
		if err := DecodePrincipal(&p, key, data); err != nil {
			return err
		}
		p.SortKeys()
		return w.WritePrincipal(&p)
	})
	if err != nil {
		t.Fatal(err)
	}
	err = policies.Records(func(key, data []byte) error {
		var p dump.Policy
		if err := DecodePolicy(&p, key, data); err != nil {
			return err
		}
		return w.WritePolicy(&p)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestVectors: the recorded databases give the recorded dump, the hash in
// another order.
func TestVectors(t *testing.T) {
	want := contents(t, "dump.v7")
	for _, name := range []string{"principal", "principal.loaded", "principal.hash"} {
		r := open(t, name)
		got := dumped(t, r, open(t, "principal.kadm5"))
		if r.Kind() == HashedTable {
			got, want = sortedLines(got), sortedLines(want)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: a dump of %d bytes, not the %d of MIT", name, len(got), len(want))
		}
	}
}

func sortedLines(text []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	slices.SortFunc(lines, bytes.Compare)
	return bytes.Join(lines, nil)
}

// TestSearch finds every record of the fixtures, and none that is not there.
func TestSearch(t *testing.T) {
	for _, name := range []string{"principal", "principal.loaded", "principal.kadm5"} {
		b := contents(t, name)
		inMemory, err := OpenBytes(b, name)
		if err != nil {
			t.Fatal(err)
		}
		fromFile, err := Open(bytes.NewReader(b), int64(len(b)), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []*File{inMemory, fromFile} {
			for _, rec := range records(t, f) {
				if got, err := f.Search(rec.key); err != nil || !bytes.Equal(got, rec.data) {
					t.Errorf("%s: %q: %d bytes, %v", name, rec.key, len(got), err)
				}
				for _, other := range [][]byte{append(bytes.Clone(rec.key), 0), rec.key[:len(rec.key)-1], nil, {0xff}} {
					if _, err := f.Search(other); err != ErrNotFound {
						t.Errorf("%s: %q: %v", name, other, err)
					}
				}
			}
		}
	}
}

func decodePrincipal(key, data []byte) error {
	return DecodePrincipal(new(dump.Principal), key, data)
}

func decodePolicy(key, data []byte) error { return DecodePolicy(new(dump.Policy), key, data) }

func TestCheckVectors(t *testing.T) {
	for _, c := range []struct {
		name   string
		decode func(key, data []byte) error
		want   CheckReport
	}{
		{"principal", decodePrincipal, CheckReport{Kind: Btree, PageSize: 4096, Pages: 23, Depth: 2, Records: 45,
			Internal: 1, Leaves: 7, Overflow: 10, Free: 4}},
		{"principal.loaded", decodePrincipal, CheckReport{Kind: Btree, PageSize: 4096, Pages: 17, Depth: 2, Records: 45,
			Internal: 1, Leaves: 5, Overflow: 10}},
		{"principal.hash", decodePrincipal, CheckReport{Kind: HashedTable, PageSize: 4096, Pages: 19, Records: 45}},
		{"principal.kadm5", decodePolicy, CheckReport{Kind: Btree, PageSize: 4096, Pages: 2, Depth: 1, Records: 5, Leaves: 1}},
	} {
		got, err := Check(open(t, c.name), c.decode)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestHashOfOtherOrder: the recorded hash as a big-endian host would write it.
func TestHashOfOtherOrder(t *testing.T) {
	b := contents(t, "principal.hash")
	want := records(t, open(t, "principal.hash"))
	binary.BigEndian.PutUint32(b[hashOrder:], hashBig)
	swap := func(at, size int) { slices.Reverse(b[at : at+size]) }
	for page := 4096; page < len(b); page += 4096 {
		if kind := b[page+hpType]; kind < hashBucket || kind > hashOverflow {
			continue // which pages are taken
		}
		offsets := 2 * int(binary.LittleEndian.Uint16(b[page+hpEntries:]))
		if b[page+hpType] == hashBigPair {
			offsets = 2
		}
		for i := range offsets {
			swap(page+hpHead+2*i, 2)
		}
		swap(page+hpNumber, 4)
		swap(page+hpNext, 4)
		swap(page+hpEntries, 2)
		swap(page+hpFree, 2)
	}
	r, err := OpenRecordsBytes(b, "big endian")
	if err != nil {
		t.Fatal(err)
	}
	if got := records(t, r); !slices.EqualFunc(got, want, func(a, b record) bool { return bytes.Equal(a.key, b.key) && bytes.Equal(a.data, b.data) }) {
		t.Errorf("%d records, not the %d of the other", len(got), len(want))
	}
}
