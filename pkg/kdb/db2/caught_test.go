package db2

import (
	"errors"
	"hash/maphash"
	"testing"
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
