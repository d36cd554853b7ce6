package lmdb

import (
	"bytes"
	"testing"
)

// TestNeedsOfVectors compares with the pages that MIT's load really made.
func TestNeedsOfVectors(t *testing.T) {
	for _, c := range []struct {
		dump    string
		main    uint64 // branch and leaf pages of both databases, from mdb_stat
		chains  uint64
		lockout uint64
	}{
		{"../kdb/dump.v7", 7 + 1 + 1, 9, 1},
		{"deep.dump", 25 + 3, 0, 0},
	} {
		n, err := Size(bytes.NewReader(contents(t, vector(c.dump))), 4096)
		if err != nil {
			t.Fatal(err)
		}
		if n.MainPages != c.main || n.ChainPages != c.chains || !n.Sorted {
			t.Errorf("%s: %+v, want %d main and %d chain pages", c.dump, n, c.main, c.chains)
		}
		if c.lockout != 0 && n.LockoutPages != c.lockout {
			t.Errorf("%s: %d lockout pages, want %d", c.dump, n.LockoutPages, c.lockout)
		}
	}
}
