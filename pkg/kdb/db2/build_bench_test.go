package db2

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// BenchmarkBuild is a whole load but for the promotion, from memory to the
// disk. "alone" neither verifies nor reads back.
func BenchmarkBuild(b *testing.B) {
	var made bytes.Buffer
	if _, err := krbtest.GenDump(&made, krbtest.GenOptions{Principals: 200_000, Policies: 20}); err != nil {
		b.Fatal(err)
	}
	sorted := made.Bytes()
	lines := bytes.SplitAfter(sorted, []byte("\n"))
	lines = lines[:len(lines)-1]
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(lines)-1, func(i, j int) { lines[i+1], lines[j+1] = lines[j+1], lines[i+1] })
	shuffled := bytes.Join(lines, nil)
	for _, bb := range []struct {
		what   string
		text   []byte
		memory int64
		all    bool
	}{{"sorted alone", sorted, 0, false}, {"sorted", sorted, 0, true}, {"shuffled", shuffled, 0, true}, {"shuffled in 16 MiB", shuffled, 16 << 20, true}} {
		b.Run(bb.what, func(b *testing.B) {
			b.SetBytes(int64(len(bb.text)))
			for b.Loop() {
				opts := BuildOptions{SortMemory: bb.memory, ReadBack: bb.all}
				if bb.all {
					opts.Verifier = dump.NewVerifier(dump.VerifyOptions{Digest: true})
				}
				w, err := NewBuilder(filepath.Join(b.TempDir(), "principal"), opts)
				if err == nil {
					_, err = w.ReadFrom(bytes.NewReader(bb.text))
				}
				if err == nil {
					_, err = w.Finish()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
