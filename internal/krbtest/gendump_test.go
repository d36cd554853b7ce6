package krbtest

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

func generate(t testing.TB, o GenOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	s, err := GenDump(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Bytes != int64(b.Len()) {
		t.Fatalf("GenDump counts %d bytes, wrote %d", s.Bytes, b.Len())
	}
	return b.Bytes()
}

func TestGenDumpVerifies(t *testing.T) {
	data := generate(t, GenOptions{Principals: 3000, Policies: 12, Seed: 7, Realm: "GEN.TEST"})
	rep, err := dump.Verify(bytes.NewReader(data), dump.VerifyOptions{Realm: "GEN.TEST"})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Principals != 3002 || rep.Policies != 12 || !rep.Sorted || len(rep.MissingPolicies) > 0 || len(rep.Warnings) > 0 {
		t.Errorf("report %+v", rep)
	}
	if !bytes.Equal(data, generate(t, GenOptions{Principals: 3000, Policies: 12, Seed: 7, Realm: "GEN.TEST"})) {
		t.Error("equal options give different bytes")
	}
	if bytes.Equal(data, generate(t, GenOptions{Principals: 3000, Policies: 12, Seed: 8, Realm: "GEN.TEST"})) {
		t.Error("another seed gives the same bytes")
	}
}

// TestGenDumpRoundTrip: MIT loads a generated dump and dumps the same bytes,
// with and without the records of a real realm.
func TestGenDumpRoundTrip(t *testing.T) {
	k := NewKDBUtil(t, "GEN.TEST", "")
	base, err := k.Dump()
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]io.Reader{"own": nil, "base": bytes.NewReader(base)} {
		data := generate(t, GenOptions{Principals: 2000, Policies: 5, Realm: "GEN.TEST", Base: from})
		if out, err := k.Load(data); err != nil {
			t.Fatalf("%s: load: %v\n%s", name, err, out)
		}
		if name == "own" {
			// The stash does not fit the made-up K/M: MIT dumps everything and
			// fails all the same.
			if out, err := k.run("dump", k5path(k.dir, "dump")); err == nil {
				t.Errorf("own: dump works without the master key: %s", out)
			}
			compareFile(t, k5path(k.dir, "dump"), data)
			continue
		}
		got, err := k.Dump()
		if err != nil {
			t.Fatal(err)
		}
		compare(t, got, data)
		if !bytes.Contains(got, base[bytes.IndexByte(base, '\n'):][:200]) {
			t.Error("the realm's own first record is missing")
		}
	}
}

func compareFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, want)
}

func compare(t *testing.T, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	a, b := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			t.Fatalf("line %d: MIT dumps\n%s\nbut was given\n%s", i+1, a[i], b[i])
		}
	}
	t.Fatalf("MIT dumps %d lines, was given %d", len(a), len(b))
}

func BenchmarkGenDump(b *testing.B) {
	for b.Loop() {
		s, err := GenDump(io.Discard, GenOptions{Principals: 100_000, Policies: 20})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(s.Bytes)
		b.ReportMetric(float64(s.Bytes)/float64(s.Principals), "bytes/principal")
	}
}
