package db2

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

func TestCaught(t *testing.T) {
	bad := errors.New("bad")
	if err := caught(func() error { return bad }); err != bad {
		t.Errorf("an error becomes %v", err)
	}
	if err := caught(func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := caught(func() error { panic("x") }); err == nil || err.Error() != "panic: x" {
		t.Errorf("a panic becomes %v", err)
	}
}

// TestReadBackPanics: a panic in the comparison is an error of it, and the others
// who take part come to an end.
func TestReadBackPanics(t *testing.T) {
	rr := readAhead(1, func(yield func(key, data []byte) error) error {
		for range 3 {
			if err := yield([]byte("k"), []byte("d")); err != nil {
				return err
			}
		}
		return nil
	})
	err := rr.addAll(newTextSum(maphash.MakeSeed()), func(*textSum, []byte) error { panic("x") })
	if err == nil || err.Error() != "panic: x" {
		t.Errorf("%v", err)
	}
}

// TestGoroutinesPanic: what goes wrong in a goroutine is an error of what it was
// for, and nobody waits for it in vain.
func TestGoroutinesPanic(t *testing.T) {
	ctx := context.Background()
	dumping := func() *dumper {
		return newDumper(io.Discard, dump.Header{Version: dump.Version7}, DumpOptions{Verify: &dump.VerifyOptions{}}, 1<<20)
	}
	// Each lacks what the goroutine needs first.
	for what, do := range map[string]func() error{
		"leaves of a dump": func() error { return dumping().leaves(ctx, &File{pageSize: 4096}, []uint32{1, 2, 3}) },
		"verification of a dump": func() error {
			d := dumping()
			var c *chunk
			for range cap(d.free) {
				c = <-d.free
			}
			v := d.verifier
			d.verifier = nil
			c.users.Store(1)
			d.verify <- c
			<-d.free // it was given back all the same
			d.verifier = v
			return d.end()
		},
		"records of a file": func() error {
			rr := readAhead(1, func(func(key, data []byte) error) error { panic("x") })
			for range rr.full {
				t.Error("there are records")
			}
			return rr.err
		},
		"a patch": func() error {
			c := (*Patch)(nil).carrier()
			c.full <- &lockoutBatch{bytes: make([]byte, 1), ends: []int{1}}
			return c.end()
		},
		"leaves under the locks": func() error {
			_, err := (&Live{leaves: []uint32{1}}).otherLeaves(&liveFile{tree: &File{pageSize: pageSize}}, false)
			return err
		},
		"a copy": func() error { return inPieces(1, func(_, _ int64) error { panic("x") }) },
	} {
		if err := do(); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
