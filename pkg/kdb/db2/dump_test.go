package db2

import (
	"bytes"
	"context"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

func snapshot(t testing.TB, database string, mode SnapshotMode) *Snapshot {
	t.Helper()
	s, err := TakeSnapshot(context.Background(), database, SnapshotOptions{Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestDumpFixtures: every format and kind of file, byte for byte what MIT made of it.
func TestDumpFixtures(t *testing.T) {
	for _, tt := range []struct {
		file, want string
		header     dump.Header
		reverse    bool
	}{
		{"principal", "dump.v7", dump.Header{Version: 7}, false},
		{"principal.loaded", "dump.v7", dump.Header{Version: 7}, false},
		{"principal", "dump.r18", dump.Header{Version: 6}, false},
		{"principal", "dump.r13", dump.Header{Version: 5}, false},
		{"principal", "dump.b7", dump.Header{Version: 4}, false},
		{"principal", "dump.rev", dump.Header{Version: 7}, true},
		{"principal.loaded", "dump.rev", dump.Header{Version: 7}, true},
		{"principal", "dump.i0", headerOf(t, "dump.i0"), false},
		{"principal", "dump.i1", headerOf(t, "dump.i1"), false},
	} {
		want := contents(t, tt.want)
		for _, mode := range modes {
			s := snapshot(t, fixture(t, tt.file), mode)
			var got, names bytes.Buffer
			d, err := s.Dump(context.Background(), &got, tt.header, DumpOptions{Reverse: tt.reverse, Verify: &dump.VerifyOptions{Digest: true}, Names: &names})
			if err != nil {
				t.Fatalf("%s, %s: %v", tt.file, tt.want, err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s, %v: not %s: %s", tt.file, mode, tt.want, difference(got.Bytes(), want))
			}
			report, verdict := dump.Verify(bytes.NewReader(want), dump.VerifyOptions{Digest: true})
			if d.Principals != 45 || d.Policies != 5 || d.Bytes != int64(len(want)) || verdict != nil || d.Verdict != nil ||
				!bytes.Equal(d.Report.Digest, report.Digest) || d.Report.Principals != 45 {
				t.Errorf("%s, %s: %+v, %v", tt.file, tt.want, d, verdict)
			}
			if want := namesIn(t, want); names.String() != want {
				t.Errorf("%s, %s: the names are %s", tt.file, tt.want, difference(names.Bytes(), []byte(want)))
			}
		}
	}
}

func headerOf(t *testing.T, name string) dump.Header {
	t.Helper()
	line, _, _ := bytes.Cut(contents(t, name), []byte("\n"))
	h, err := dump.ParseHeader(string(line))
	must(t, err)
	return h
}

// namesIn are the names of all principals of a dump.
func namesIn(t *testing.T, text []byte) string {
	t.Helper()
	var names bytes.Buffer
	_, err := dump.Verify(bytes.NewReader(text), dump.VerifyOptions{
		OnPrincipal: func(p *dump.Principal) error { names.Write(append(bytes.Clone(p.Name), '\n')); return nil },
	})
	must(t, err)
	return names.String()
}

// difference tells where the first line is that differs, without keys.
func difference(got, want []byte) string {
	a, b := bytes.SplitAfter(got, []byte("\n")), bytes.SplitAfter(want, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			return "line " + string(a[i][:min(80, len(a[i]))]) + " instead of " + string(b[i][:min(80, len(b[i]))])
		}
	}
	return "one is longer"
}

// TestDumpHash: a hash is dumped in the order of its buckets, and cannot be
// reversed.
func TestDumpHash(t *testing.T) {
	for _, mode := range modes {
		s := snapshot(t, fixture(t, "principal.hash"), mode)
		var got bytes.Buffer
		d, err := s.Dump(context.Background(), &got, dump.Header{Version: 7}, DumpOptions{})
		must(t, err)
		want := dumped(t, open(t, "principal.hash"), open(t, "principal.kadm5"))
		if !bytes.Equal(got.Bytes(), want) || d.Principals != 45 {
			t.Errorf("%v: %s", mode, difference(got.Bytes(), want))
		}
		if _, err := s.Dump(context.Background(), &got, dump.Header{Version: 7}, DumpOptions{Reverse: true}); err == nil {
			t.Error("a hash was reversed")
		}
	}
}
