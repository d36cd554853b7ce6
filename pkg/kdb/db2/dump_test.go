package db2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kprop/kprop/internal/krbtest"
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

// TestDumpOfDamaged: a database with wrong bytes gives an error, or the text that
// the slow reader gives, in every mode; never less.
func TestDumpOfDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, name := range []string{"principal", "principal.loaded", "principal.hash"} {
		database := fixture(t, name)
		file, err := os.OpenFile(database, os.O_WRONLY, 0)
		must(t, err)
		defer file.Close()
		good := contents(t, name)
		policies := open(t, "principal.kadm5")
		failed := 0
		const variants = 600
		for i := range variants {
			b := bytes.Clone(good)
			for range 1 + rng.IntN(2) {
				page := rng.IntN(len(b)/4096) * 4096
				switch rng.IntN(4) {
				case 0:
					b[page+rng.IntN(4096)] ^= 1 << rng.IntN(8)
				case 1:
					b[page+rng.IntN(60)] = byte(rng.IntN(256))
				case 2:
					clear(b[page : page+4096])
				case 3:
					copy(b[page:page+4096], good[rng.IntN(len(b)/4096)*4096:])
				}
			}
			_, err := file.WriteAt(b, 0)
			must(t, err)
			s := snapshot(t, database, modes[i%len(modes)])
			var got bytes.Buffer
			_, err = s.Dump(context.Background(), &got, dump.Header{Version: 7}, DumpOptions{})
			must(t, s.Close())
			if err != nil {
				failed++
				if !strings.Contains(err.Error(), database) {
					t.Fatalf("variant %d: which file? %v", i, err)
				}
				continue
			}
			r, err := OpenRecordsBytes(b, "changed")
			must(t, err)
			if want := dumped(t, r, policies); !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("variant %d of %s: %s", i, name, difference(got.Bytes(), want))
			}
		}
		t.Logf("%s: %d of %d variants are an error", name, failed, variants)
		if failed < variants/10 {
			t.Errorf("%s: only %d of %d variants are an error", name, failed, variants)
		}
	}
}

// failingWriter fails after some calls.
type failingWriter struct{ left int }

var errFull = errors.New("the disk is full")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// large is a database whose records are mostly on overflow pages, so that the text
// of a chunk of leaves is much more than a chunk keeps.
func large(t *testing.T) (database string, want []byte) {
	t.Helper()
	krbtest.Require(t, "kdb5_util")
	k := krbtest.NewKDBUtil(t, "KDB.TEST", "")
	var text bytes.Buffer
	w, err := dump.NewWriter(&text, dump.Header{Version: 7})
	must(t, err)
	value := bytes.Repeat([]byte("0123456789"), 3000)
	for i := range 400 {
		p := dump.Principal{Name: fmt.Appendf(nil, "p%04d@KDB.TEST", i), TL: []dump.TL{{Type: 999, Data: value[:2500+i*60]}}}
		must(t, w.WritePrincipal(&p))
	}
	must(t, w.Flush())
	if out, err := k.Load(text.Bytes()); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return k.Database(), text.Bytes()
}

// TestDumpOfLarge: the text is handed on in parts, forwards and backwards.
func TestDumpOfLarge(t *testing.T) {
	database, want := large(t)
	if len(want) < 4*chunkText {
		t.Fatalf("only %d bytes", len(want))
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(want, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	slices.Reverse(lines[1:])
	backwards := bytes.Join(lines, nil)
	for _, mode := range modes {
		s := snapshot(t, database, mode)
		var got bytes.Buffer
		opts := DumpOptions{Verify: &dump.VerifyOptions{}}
		d, err := s.Dump(context.Background(), &got, dump.Header{Version: 7}, opts)
		must(t, err)
		if !bytes.Equal(got.Bytes(), want) || d.Principals != 400 || d.Report.Principals != 400 {
			t.Errorf("%v: %d principals, %s", mode, d.Principals, difference(got.Bytes(), want))
		}
		got.Reset()
		opts.Reverse = true
		_, err = s.Dump(context.Background(), &got, dump.Header{Version: 7}, opts)
		must(t, err)
		if !bytes.Equal(got.Bytes(), backwards) {
			t.Errorf("%v backwards: %s", mode, difference(got.Bytes(), backwards))
		}
	}
}

// TestDumpEnds: when the disk is full or somebody gives up, in the middle of a
// part too, and nothing is left running.
func TestDumpEnds(t *testing.T) {
	database, _ := large(t)
	s := snapshot(t, database, SnapshotMemory)
	for left := range 4 {
		before := goleak.IgnoreCurrent()
		_, err := s.Dump(context.Background(), &failingWriter{left}, dump.Header{Version: 7}, DumpOptions{Verify: &dump.VerifyOptions{}})
		if !errors.Is(err, errFull) {
			t.Errorf("full after %d: %v", left, err)
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		_, err = s.Dump(ctx, &cancelling{left, cancel}, dump.Header{Version: 7}, DumpOptions{})
		if err == nil || err.Error() != "given up" {
			t.Errorf("given up after %d: %v", left, err)
		}
		goleak.VerifyNone(t, before)
	}
}

// cancelling gives up after some calls.
type cancelling struct {
	left int
	f    context.CancelCauseFunc
}

func (w *cancelling) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		w.f(errors.New("given up"))
	}
	return len(b), nil
}
