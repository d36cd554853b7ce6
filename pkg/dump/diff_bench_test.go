package dump_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// BenchmarkDiff compares two dumps of a million principals, which lie in files.
// In "few" every 100th differs, in "logins" every third has logged in, in "all"
// each has got another kvno; "reversed" is "few" in the order of dump -rev.
func BenchmarkDiff(b *testing.B) {
	dir := b.TempDir()
	old := filepath.Join(dir, "old")
	write(b, old, func(w io.Writer) error {
		_, err := krbtest.GenDump(w, krbtest.GenOptions{Principals: 1_000_000, Policies: 50})
		return err
	})
	for _, c := range []struct {
		name string
		edit func(n int, p *dump.Principal)
	}{
		{"same", func(int, *dump.Principal) {}},
		{"few", func(n int, p *dump.Principal) {
			if n%100 == 0 {
				p.MaxLife++
			}
		}},
		{"logins", func(n int, p *dump.Principal) {
			if n%3 == 0 {
				p.LastSuccess++
			}
		}},
		{"all", func(_ int, p *dump.Principal) {
			for i := range p.Keys {
				p.Keys[i].KVNO++
			}
		}},
	} {
		now := filepath.Join(dir, c.name)
		rewriteFile(b, old, now, c.edit)
		b.Run(c.name, func(b *testing.B) { benchmarkDiff(b, old, now) })
		if c.name == "few" {
			rev := filepath.Join(dir, "rev")
			reverseFile(b, now, rev)
			b.Run("reversed", func(b *testing.B) { benchmarkDiff(b, old, rev) })
		}
	}
}

func benchmarkDiff(b *testing.B, old, now string) {
	x, err := os.Open(old)
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	y, err := os.Open(now)
	if err != nil {
		b.Fatal(err)
	}
	defer y.Close()
	b.ReportAllocs()
	for b.Loop() {
		rep, err := dump.Diff(x, y, dump.DiffOptions{}, func(*dump.Change) error { return nil })
		if err != nil || rep.A.Principals != 1_000_002 {
			b.Fatal(err)
		}
		b.ReportMetric(float64(rep.Principals.Changed), "changes")
	}
}

func write(b *testing.B, path string, to func(io.Writer) error) {
	b.Helper()
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(to(f), f.Close())
	}
	if err != nil {
		b.Fatal(err)
	}
}

// rewriteFile copies a dump with its principals edited.
func rewriteFile(b *testing.B, from, to string, edit func(int, *dump.Principal)) {
	b.Helper()
	f, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	write(b, to, func(out io.Writer) error {
		r, err := dump.NewReader(f)
		if err != nil {
			return err
		}
		w, err := dump.NewWriter(out, r.Header())
		if err != nil {
			return err
		}
		for n := 1; ; n++ {
			rec, err := r.Next()
			if err == io.EOF {
				return w.Flush()
			}
			if err != nil {
				return err
			}
			if p, ok := rec.(*dump.Principal); ok {
				edit(n, p)
			}
			if err := w.Write(rec); err != nil {
				return err
			}
		}
	})
}

// reverseFile puts all lines but the first into the reverse order.
func reverseFile(b *testing.B, from, to string) {
	b.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		b.Fatal(err)
	}
	write(b, to, func(w io.Writer) error {
		_, err := io.WriteString(w, reversed(string(data)))
		return err
	})
}
