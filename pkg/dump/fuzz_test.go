package dump_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// maxFuzz bounds the inputs, so that a run is spent on variety.
const maxFuzz = 16 << 10

func seeds(f *testing.F) {
	for _, c := range fixtures {
		// Whole fixtures are too large: some records of each.
		lines := bytes.SplitAfter(fixture(f, c.file), []byte("\n"))
		f.Add(bytes.Join([][]byte{lines[0], lines[2], lines[15], lines[30], lines[46], lines[49]}, nil))
	}
	f.Add([]byte(small(withPolicy("b@R", "abc"), plain(`a\/b\\\t@R`))))
	f.Add([]byte(small(" x")))
	f.Add([]byte("ipropx 1 3 1795328509 430804\npolicy\tp\t0\t0\t8\t2\t1\t0\t0\t0\t0\n"))
}

// FuzzReader: what the Reader accepts, the Writer gives back, byte for byte
// except for the looser forms that the package documentation names.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFuzz {
			return
		}
		once, ok := copyDump(t, data)
		if !ok {
			return
		}
		if !loose(data) && !bytes.Equal(once, data) {
			t.Fatalf("written back as %q", once)
		}
		twice, ok := copyDump(t, once)
		if !ok || !bytes.Equal(once, twice) {
			t.Fatalf("%q, read again: %v, written as %q", once, ok, twice)
		}
	})
}

// copyDump reads and writes a dump; a dump that the Reader refuses gives false.
func copyDump(t *testing.T, data []byte) ([]byte, bool) {
	r, err := dump.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, false
	}
	var out bytes.Buffer
	w, err := dump.NewWriter(&out, r.Header())
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, false
		}
		if err := w.Write(rec); err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), true
}

// loose says whether a dump may have a form that the Writer does not write:
// upper case digits, negative times, unsigned numbers of policies, KADM_DATA in
// version 4.
func loose(data []byte) bool {
	return bytes.ContainsAny(data, "ABCDEF") || bytes.Contains(data, []byte("\t-")) ||
		bytes.Contains(data, []byte("policy\t")) || bytes.HasPrefix(data, []byte("kdb5_util load_dump version 4"))
}

// FuzzVerify: no input makes the Verifier fail in another way than by an error,
// pieces change nothing, and what it accepts the Reader accepts.
func FuzzVerify(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFuzz {
			return
		}
		opts := dump.VerifyOptions{NativeLoad: true}
		rep, err := dump.Verify(bytes.NewReader(data), opts)
		v := dump.NewVerifier(opts)
		for i := range data {
			if _, err := v.Write(data[i : i+1]); err != nil {
				break
			}
		}
		again, err2 := v.Close()
		if (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
			t.Fatalf("whole: %v; byte by byte: %v", err, err2)
		}
		if rep.Principals != again.Principals || rep.Bytes != again.Bytes || rep.Duplicates != again.Duplicates {
			t.Fatalf("whole: %+v; byte by byte: %+v", rep, again)
		}
		if err != nil {
			return
		}
		if rep.Bytes != int64(len(data)) {
			t.Fatalf("%d bytes, reported %d", len(data), rep.Bytes)
		}
		if _, ok := copyDump(t, data); !ok {
			t.Fatal("verified, but the Reader refuses it")
		}
	})
}

// FuzzHeader: a header that is accepted prints as it was.
func FuzzHeader(f *testing.F) {
	f.Add("kdb5_util load_dump version 7")
	f.Add("iprop 1 2 3")
	f.Add("ipropx 1 3 1795328509 430804")
	f.Fuzz(func(t *testing.T, line string) {
		if len(line) > 200 || strings.Contains(line, "\n") {
			return
		}
		if h, err := dump.ParseHeader(line); err == nil && h.String() != line {
			t.Fatalf("ParseHeader(%q) = %q", line, h)
		}
	})
}
