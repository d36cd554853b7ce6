package lmdb

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// everything reads all that a file has: names, records, page accounting.
func everything(main, lockout []byte) error {
	e, err := Read(bytes.NewReader(main), int64(len(main)), "main.mdb")
	if err != nil {
		return err
	}
	if _, err := e.Check(); err != nil {
		return err
	}
	var l *Env
	if lockout != nil {
		if l, err = Read(bytes.NewReader(lockout), int64(len(lockout)), "lockout.mdb"); err != nil {
			return err
		}
	}
	r, err := NewRealm(e, l)
	if err != nil {
		return err
	}
	return r.Dump(io.Discard, dump.Header{Version: dump.Version7})
}

// patch is a change of a fixture.
type patch struct {
	at    int
	bytes []byte
}

func u16(v uint16) []byte { return le.AppendUint16(nil, v) }
func u32(v uint32) []byte { return le.AppendUint32(nil, v) }
func u64(v uint64) []byte { return le.AppendUint64(nil, v) }

// Places in changed.mdb, whose newest meta page is page 0.
const (
	changedMeta = 0
	pageBytes   = 4096
)

func TestDamage(t *testing.T) {
	good := contents(t, vector("changed.mdb"))
	if err := everything(good, nil); err != nil {
		t.Fatal(err)
	}
	e, err := Read(bytes.NewReader(good), int64(len(good)), "changed.mdb")
	if err != nil {
		t.Fatal(err)
	}
	db, err := e.find("principal")
	if err != nil {
		t.Fatal(err)
	}
	root := int(db.root) * pageBytes
	child := func(i int) int { // where the number of the root's child i is
		return root + int(le.Uint16(good[root+16+2*i:]))
	}
	third, leafPage, leaf := 0, uint64(0), 0
	for nodes := uint16(0); nodes < 2; nodes = (le.Uint16(good[leaf+12:]) - 16) / 2 {
		third++
		leafPage = uint64(le.Uint16(good[child(third):]))
		leaf = int(leafPage) * pageBytes
	}
	node := leaf + int(le.Uint16(good[leaf+16:]))
	free := int(e.meta.free.root) * pageBytes
	record := free + int(le.Uint16(good[free+16:]))

	for _, c := range []struct {
		name    string
		patches []patch
		want    string // part of the error
	}{
		{"magic", []patch{{16, u32(0)}}, "magic"},
		{"magic of the other meta page", []patch{{pageBytes + 16, u32(0)}}, "magic"},
		{"version 2", []patch{{20, u32(2)}}, "version 2"},
		{"not a meta page", []patch{{10, u16(2)}}, "not marked"},
		{"page size 0", []patch{{40, u32(0)}}, "page size 0"},
		{"page size 3000", []patch{{40, u32(3000)}}, "page size 3000"},
		{"page size 64 KiB", []patch{{40, u32(65536)}}, "page size 65536"},
		{"page sizes differ", []patch{{pageBytes + 40, u32(8192)}}, "disagree"},
		{"odd transaction in slot 0", []patch{{144, u64(65)}}, "wrong meta page"},
		{"last page 0", []patch{{136, u64(0)}}, "last page 0"},
		{"last page huge", []patch{{136, u64(1 << 60)}}, "last page"},
		{"last page too small", []patch{{136, u64(20)}}, "outside 2 to 20"},
		{"last page beyond the map", []patch{{136, u64(1 << 40)}}, "pages are used"},
		{"main root outside", []patch{{88 + 40, u64(1 << 40)}}, "outside"},
		{"main root is a meta page", []patch{{88 + 40, u64(1)}}, "outside"},
		{"main is empty but has entries", []patch{{88 + 40, u64(noPage)}}, "empty database"},
		{"depth 0", []patch{{88 + 6, u16(0)}}, "depth 0"},
		{"depth 40", []patch{{88 + 6, u16(40)}}, "depth 40"},
		{"duplicates", []patch{{88 + 4, u16(4)}}, "database flags"},
		{"page number", []patch{{root, u64(3)}}, "says that it is page 3"},
		{"leaf as a branch", []patch{{root + 10, u16(2)}}, "page flags 0x2 instead of 0x1"},
		{"dirty page", []patch{{leaf + 10, u16(0x12)}}, "page flags 0x12"},
		{"lower odd", []patch{{leaf + 12, u16(17)}}, "free space"},
		{"lower above upper", []patch{{leaf + 12, u16(4096)}}, "free space"},
		{"lower below the header", []patch{{leaf + 12, u16(8)}}, "free space"},
		{"upper behind the page", []patch{{leaf + 14, u16(5000)}}, "free space"},
		{"no nodes", []patch{{leaf + 12, u16(16)}}, "0 nodes"},
		{"a branch with one node", []patch{{root + 12, u16(18)}}, "1 nodes"},
		{"node offset in the header", []patch{{leaf + 16, u16(4)}}, "node 0: offset 4"},
		{"node offset odd", []patch{{leaf + 16, u16(4001)}}, "node 0: offset 4001"},
		{"two offsets the same", []patch{{leaf + 18, good[leaf+16 : leaf+18]}}, "the nodes overlap"},
		{"key behind the page", []patch{{node + 6, u16(5000)}}, "a key of 5000 bytes"},
		{"key of 0 bytes", []patch{{node + 6, u16(0)}}, "a key of 0 bytes"},
		{"data behind the page", []patch{{node, u16(4090)}}, "bytes of data"},
		{"node of duplicates", []patch{{node + 4, u16(4)}}, "flags 0x4"},
		{"node flags unknown", []patch{{node + 4, u16(0x10)}}, "flags 0x10"},
		{"child outside", []patch{{child(third), u16(5000)}}, "outside 2 to"},
		{"child is a meta page", []patch{{child(third), u16(1)}}, "outside 2 to"},
		{"child is the root: a loop", []patch{{child(third), u16(uint16(db.root))}}, "page flags 0x1 instead of 0x2"},
		{"child twice", []patch{{child(third + 1), u16(uint16(leafPage))}}, "in use twice"},
		{"key out of order", []patch{{node + 8, []byte{0xff}}}, "not above"},
		{"key below its branch", []patch{{node + 8, []byte{1}}}, "not above"},
		{"free record in the future", []patch{{record + 8, u64(99)}}, "a record of transaction 99"},
		{"free record cut", []patch{{record + 16, u64(99)}}, "is cut"},
		{"free page is a meta page", []patch{{record + 24, u64(1)}}, "the free list names page 1"},
		{"free page outside", []patch{{record + 24, u64(1 << 20)}}, "the free list names page"},
		{"free page in use", []patch{{record + 24, u64(db.root)}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := bytes.Clone(good)
			for _, p := range c.patches {
				copy(bad[p.at:], p.bytes)
			}
			err := everything(bad, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			typed(t, err)
		})
	}
}

// typed says that an error is one that the package documents.
func typed(t *testing.T, err error) {
	t.Helper()
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt):
		if corrupt.Path == "" || corrupt.Msg == "" {
			t.Errorf("incomplete: %#v", corrupt)
		}
	case errors.Is(err, ErrFormat), errors.Is(err, ErrNoDatabase):
	case strings.HasPrefix(err.Error(), "write dump: "), strings.HasPrefix(err.Error(), "dump "):
		// Names that no dump can hold.
	default:
		t.Errorf("an error of another kind: %v", err)
	}
}

// TestChainLongerThanNeeded: LMDB leaves a chain as it is when a value gets
// shorter in one transaction.
func TestChainLongerThanNeeded(t *testing.T) {
	b := contents(t, vector("loaded.mdb"))
	e, err := Read(bytes.NewReader(b), int64(len(b)), "loaded.mdb")
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Cursor("principal")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
		if c.chainHead != 0 {
			break
		}
	}
	top := c.stack[c.depth-1]
	node := int(e.offset(top.page.number)) + top.page.node(top.next-1).at
	copy(b[node:], u32(100))
	if err := everything(b, nil); err == nil || !strings.Contains(err.Error(), "ends behind the record's 100 bytes") {
		t.Errorf("dump: %v", err)
	}
	if e, err = Read(bytes.NewReader(b), int64(len(b)), "loaded.mdb"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Check(); err != nil {
		t.Errorf("a chain of more pages than needed: %v", err)
	}
	copy(b[node:], u32(100<<20))
	if err := everything(b, nil); err == nil || !strings.Contains(err.Error(), "a chain of") {
		t.Errorf("a value longer than its chain: %v", err)
	}
}

// TestTruncation: a file that ends early is an error at every length, unless
// only free pages are missing.
func TestTruncation(t *testing.T) {
	for _, f := range fixtures {
		good := contents(t, vector(f.name+".mdb"))
		last := 0 // byte behind the last page in use
		e, err := Read(bytes.NewReader(good), int64(len(good)), f.name)
		if err != nil {
			t.Fatal(err)
		}
		free, err := e.src.freePages(e.meta, int64(len(good)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range e.meta.last + 1 {
			if !free.has(n) {
				last = int(n+1) * pageBytes
			}
		}
		for n := 0; n < len(good); n += 509 {
			err := everything(good[:n], nil)
			if err == nil && n < last-pageBytes {
				t.Errorf("%s: %d of %d bytes were enough", f.name, n, len(good))
			}
			if err != nil {
				typed(t, err)
			}
		}
	}
}

// TestFlips: no flipped byte makes the reader fail in another way than by an
// error, and none changes the pages' structure unseen.
func TestFlips(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	main, lockout := contents(t, vector("changed.mdb")), contents(t, vector("changed.lockout.mdb"))
	seen := 0
	const rounds = 1500
	for range rounds {
		b := [2][]byte{main, lockout}
		which := r.IntN(2)
		b[which] = bytes.Clone(b[which])
		for range 1 + r.IntN(3) {
			at := r.IntN(len(b[which]))
			if r.IntN(2) == 0 { // headers and offsets, where it hurts
				at = at/pageBytes*pageBytes + r.IntN(64)
			}
			b[which][at] ^= byte(1 + r.IntN(255))
		}
		if err := everything(b[0], b[1]); err != nil {
			seen++
			typed(t, err)
		}
	}
	t.Logf("%d of %d changes were seen", seen, rounds)
}

func FuzzRead(f *testing.F) {
	for _, x := range fixtures {
		f.Add(contents(f, vector(x.name+".mdb")))
	}
	f.Add(contents(f, vector("changed.lockout.mdb")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 256<<10 {
			return
		}
		if err := everything(b, b); err != nil {
			typed(t, err)
		}
	})
}
