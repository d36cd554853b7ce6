package db2

import (
	"bytes"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// maxFuzzed bounds the files of the fuzz targets, in bytes.
const maxFuzzed = 256 << 10

// readAll reads a file in all ways, whatever it holds.
func readAll(t *testing.T, r Records) {
	n := 0
	err := r.Records(func(key, data []byte) error {
		if n++; n > maxFuzzed/leafHead {
			t.Fatal("the reading does not end")
		}
		typed(t, decodePrincipal(key, data))
		typed(t, decodePolicy(key, data))
		if f, is := r.(*File); is && n < 1000 {
			_, err := f.Search(key)
			typed(t, err)
		}
		return nil
	})
	typed(t, err)
	rep, checkErr := Check(r, decodePrincipal)
	if checkErr != nil || err != nil && rep.Counts[FaultStructure] == 0 {
		t.Errorf("reading: %v; check: %+v, %v", err, rep, checkErr)
	}
}

func FuzzBtree(f *testing.F) {
	for _, name := range []string{"principal", "principal.loaded", "principal.kadm5"} {
		f.Add(contents(f, name))
	}
	f.Add(targets(f)[4].good)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzzed {
			return
		}
		r, err := OpenBytes(b, "fuzzed")
		if err != nil {
			typed(t, err)
			return
		}
		readAll(t, r)
	})
}

func FuzzHash(f *testing.F) {
	f.Add(contents(f, "principal.hash"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzzed {
			return
		}
		r, err := OpenHashBytes(b, "fuzzed")
		if err != nil {
			typed(t, err)
			return
		}
		readAll(t, r)
	})
}

// FuzzPrincipal: what decodes is, written again, the same record.
func FuzzPrincipal(f *testing.F) {
	for _, rec := range records(f, open(f, "principal")) {
		f.Add(rec.key, rec.data)
	}
	f.Fuzz(func(t *testing.T, key, data []byte) {
		var p dump.Principal
		if err := DecodePrincipal(&p, key, data); err != nil {
			typed(t, err)
			return
		}
		if got := encodePrincipal(&p); !bytes.Equal(got, data) {
			t.Errorf("%x became %x", data, got)
		}
	})
}

// FuzzPolicy is FuzzPrincipal for policies.
func FuzzPolicy(f *testing.F) {
	for _, rec := range records(f, open(f, "principal.kadm5")) {
		f.Add(rec.key, rec.data)
	}
	for _, version := range []byte{1, 2, 3} {
		f.Add([]byte("p\x00"), encodePolicy(&dump.Policy{Name: []byte("p"), TL: []dump.TL{{Type: -2, Data: []byte("abcde")}, {}}}, version))
	}
	f.Fuzz(func(t *testing.T, key, data []byte) {
		var p dump.Policy
		if err := DecodePolicy(&p, key, data); err != nil {
			typed(t, err)
			return
		}
		got := encodePolicy(&p, data[3])
		if !bytes.Equal(got, data) {
			// No list and an empty one are the same.
			end := len(data) - 4
			if len(p.TL) > 0 || len(got) != end || !bytes.Equal(got[:end-4], data[:end-4]) {
				t.Errorf("%x became %x", data, got)
			}
		}
	})
}
