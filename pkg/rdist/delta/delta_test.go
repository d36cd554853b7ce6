package delta

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// buffer is a Writer that keeps all, and counts.
type buffer struct {
	bytes.Buffer
	flushes int
}

func (b *buffer) Flush() error { b.flushes++; return nil }

// octets are always the same for a seed.
func octets(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// signed is the signature of a base, on the way and read.
func signed(t testing.TB, base []byte) (Plan, []byte, *Signature) {
	t.Helper()
	p, ok := NewPlan(int64(len(base)), 0x010203)
	if !ok {
		t.Fatalf("no plan for %d octets", len(base))
	}
	var wire buffer
	err, unread := Sign(&wire, bytes.NewReader(base), p, make([]byte, 1000))
	must(t, errors.Join(err, unread))
	sent := slices.Clone(wire.Bytes())
	s, err := ReadSignature(&wire, p)
	must(t, err)
	if wire.Len() > 0 || len(sent) != p.Blocks()*sumSize {
		t.Fatalf("%d octets for %d blocks, %d left", len(sent), p.Blocks(), wire.Len())
	}
	return p, sent, s
}

// transfer brings file to who has base, and says what was sent.
func transfer(t testing.TB, base, file []byte) (Stats, int) {
	t.Helper()
	p, _, s := signed(t, base)
	var wire buffer
	stats, err := Diff(&wire, bytes.NewReader(file), int64(len(file)), s, nil)
	must(t, err)
	size := wire.Len()
	if stats.Literal+stats.Copied != int64(len(file)) {
		t.Fatalf("%+v of %d octets", stats, len(file))
	}
	got, complete, unequal, err := applied(&wire, bytes.NewReader(base), p, len(file))
	must(t, errors.Join(err, unequal))
	if !complete || !bytes.Equal(got, file) || wire.Len() > 0 {
		t.Fatalf("complete %v, %d octets, equal %v, %d left to be read", complete, len(got), bytes.Equal(got, file), wire.Len())
	}
	return stats, size
}

func applied(r io.Reader, base io.ReaderAt, p Plan, size int) (got []byte, complete bool, unequal, err error) {
	complete, unequal, err = Apply(r, base, p, int64(size), make([]byte, 777), func(part []byte) { got = append(got, part...) })
	return got, complete, unequal, err
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		size   int64
		block  int
		blocks int
	}{
		{1, 1 << 10, 1}, {1 << 10, 1 << 10, 1}, {1<<10 + 1, 1 << 10, 2}, {1 << 20, 1 << 10, 1 << 10}, {1<<20 + 1, 1 << 11, 513},
		{64 << 20, 8 << 10, 8 << 10}, {1 << 30, 32 << 10, 32 << 10}, {100 << 30, 1 << 20, 100 << 10},
		{512 << 30, MaxBlock, MaxBlocks}, {512<<30 + 1, 0, 0}, {1<<62 - 1, 0, 0}, {0, 0, 0}, {-1, 0, 0},
	} {
		p, ok := NewPlan(c.size, 0)
		if ok != (c.blocks > 0) || ok && (p.Block != c.block || p.Blocks() != c.blocks) {
			t.Errorf("%d: %+v, %v", c.size, p, ok)
		}
	}
	for _, p := range []Plan{
		{}, {Size: 1}, {Size: 1, Block: 512}, {Size: 1, Block: 1<<10 + 1}, {Size: 1, Block: MaxBlock * 2}, {Size: 1, Block: -MinBlock},
		{Size: 0, Block: MinBlock}, {Size: -1, Block: MinBlock}, {Size: MinBlock*MaxBlocks + 1, Block: MinBlock}, {Size: 1<<63 - 1, Block: MaxBlock},
	} {
		if _, err := ReadSignature(neverRead{t}, p); err == nil {
			t.Errorf("%+v is followed", p)
		}
	}
}

type neverRead struct{ t *testing.T }

func (n neverRead) Read([]byte) (int, error) { n.t.Error("read"); return 0, io.EOF }

// TestSum: rolling on gives what the sum of the octets is.
func TestSum(t *testing.T) {
	data := octets(1, 5000)
	for _, block := range []int{1, 7, 8, 9, 1024} {
		leaving, sum := power(block), extend(0, data[:block])
		for i := range len(data) - block {
			sum = sum*multiplier + uint64(data[i+block]) - uint64(data[i])*leaving
			if want := extend(extend(0, data[i+1:i+1+block/3]), data[i+1+block/3:i+1+block]); sum != want {
				t.Fatalf("block %d at %d: %x, want %x", block, i+1, sum, want)
			}
		}
	}
}

// TestTransfer: nothing but what is new is sent, and the blocks around it.
func TestTransfer(t *testing.T) {
	const b = 1 << 10 // of all bases here
	base := octets(1, 300*b+100)
	with := func(at int, out int, in []byte) []byte { return slices.Concat(base[:at], in, base[at+out:]) }
	zeros := make([]byte, 100*b)
	for name, c := range map[string]struct {
		base, file []byte
		most       int64 // octets that may be sent
	}{
		"equal":                 {base, base, 0},
		"empty":                 {base, nil, 0},
		"one octet":             {base, base[:1], 1},
		"prefix":                {base, base[:200*b], 0},
		"prefix, not whole":     {base, base[:200*b+17], 17},
		"suffix":                {base, base[100*b:], 0},
		"suffix, not whole":     {base, base[100*b+17:], b - 17},
		"the tail":              {base, base[300*b:], 0},
		"the tail elsewhere":    {base, slices.Concat(base[300*b:], base[:b]), 100},
		"nothing but new":       {base, octets(2, 100*b), 100 * b},
		"changed octet":         {base, with(10*b+5, 1, []byte{^base[10*b+5]}), b},
		"changed first octet":   {base, with(0, 1, []byte{^base[0]}), b},
		"changed last octet":    {base, with(len(base)-1, 1, []byte{^base[len(base)-1]}), 100},
		"inserted at the start": {base, with(0, 0, octets(3, 1000)), 1000},
		"inserted":              {base, with(77*b+5, 0, octets(3, 1000)), 1000 + b},
		"appended":              {base, with(len(base), 0, octets(3, 1000)), 1000 + 100},
		"deleted":               {base, with(77*b+5, 3*b, nil), b},
		"moved":                 {base, slices.Concat(base[200*b:], base[100*b:200*b], base[:100*b]), 100},
		"reversed blocks":       {base, reversed(base, b), 100},
		"twice":                 {base, slices.Concat(base, base), 100},
		"many changes":          {base, sprinkled(base, 10), 10 * b},
		"larger than a buffer":  {base, with(10*b, 0, octets(4, 3<<20)), 3 << 20},
		"shorter than a block":  {base[:100], base[:100], 0},
		"grew from a block":     {base[:100], base[:5*b], 5 * b},
		"zeros":                 {zeros, zeros[:70*b+5], 5},
		"more zeros":            {zeros[:3*b], zeros, 0},
		"zeros between":         {zeros, slices.Concat(zeros, base[:b], zeros), b},
		"a tail of few octets":  {base[:5*b+63], base[:5*b+63], 63},
		"a tail of some octets": {base[:5*b+64], base[:5*b+64], 0},
		"text":                  {[]byte(strings.Repeat("abc\n", 50*b)), []byte("x" + strings.Repeat("abc\n", 60*b)), 1 + b},
	} {
		stats, size := transfer(t, c.base, c.file)
		if over := int64(size) - stats.Literal; stats.Literal > c.most || over > 33+32*14+5*(stats.Literal/MaxLiteral) && name != "reversed blocks" {
			t.Errorf("%s: %d octets were sent, at most %d wanted, and %d besides", name, stats.Literal, c.most, over)
		}
	}
}

func reversed(data []byte, block int) (all []byte) {
	for n := len(data) / block; n > 0; n-- {
		all = append(all, data[(n-1)*block:n*block]...)
	}
	return all
}

func sprinkled(data []byte, n int) []byte {
	data = slices.Clone(data)
	for i := range n {
		data[(2*i+1)*len(data)/(2*n)]++
	}
	return data
}

// TestAnyEdits: whatever happens to a file, it arrives.
func TestAnyEdits(t *testing.T) {
	all := octets(5, 1<<20)
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		some := func() []byte {
			size := []int{r.IntN(20), 1000 + r.IntN(50), r.IntN(300 << 10)}[r.IntN(3)]
			from := r.IntN(1000)
			return all[from : from+size]
		}
		base := slices.Concat([]byte{1}, some())
		file := slices.Clone(base)
		for range r.IntN(6) {
			from := r.IntN(len(file) + 1)
			to := min(len(file), from+r.IntN(5000))
			file = slices.Concat(file[:from], some(), file[to:])
		}
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { transfer(t, base, file) }) {
			return
		}
	}
}

// TestFlush: the other side gets something to do while the file is read.
func TestFlush(t *testing.T) {
	base := octets(1, 5*flushEach/2)
	p, _ := NewPlan(int64(len(base)), 0)
	var wire buffer
	err, unread := Sign(&wire, bytes.NewReader(base), p, make([]byte, 64<<10))
	must(t, errors.Join(err, unread))
	if wire.flushes != 3 {
		t.Errorf("a signature was flushed %d times", wire.flushes)
	}
	s, err := ReadSignature(&wire, p)
	must(t, err)
	wire = buffer{}
	calls := 0
	_, err = Diff(&wire, bytes.NewReader(base), p.Size, s, func(Stats) { calls++ })
	must(t, err)
	if wire.flushes != 3 || calls < 3 {
		t.Errorf("instructions were flushed %d times, and progress told %d times", wire.flushes, calls)
	}
}

// TestSourceFails: who reads the file finds less than was announced, or fails.
func TestSourceFails(t *testing.T) {
	base := octets(1, 1<<20)
	p, _, s := signed(t, base)
	broken := errors.New("broken")
	for _, read := range []int{0, 1, 1 << 10, readSize, 1<<20 - 1} {
		for end, want := range map[error]error{io.EOF: io.ErrUnexpectedEOF, broken: broken} {
			var wire buffer
			_, err := Diff(&wire, io.MultiReader(bytes.NewReader(base[:read]), failing{end}), int64(len(base)), s, nil)
			var source *SourceError
			if !errors.As(err, &source) || !errors.Is(err, want) {
				t.Errorf("%d octets, then %v: %v", read, end, err)
			}
			if _, complete, unequal, err := applied(&wire, bytes.NewReader(base), p, len(base)); complete || unequal != nil || err != nil || wire.Len() > 0 {
				t.Errorf("%d octets, then %v: %v, %v, %v", read, end, complete, unequal, err)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)          { return 0, f.err }
func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }
func (f failing) Write([]byte) (int, error)         { return 0, f.err }
func (f failing) Flush() error                      { return f.err }

// TestBaseChanges: the base is other, shorter, or cannot be read any more, when
// the signature is made or after it.
func TestBaseChanges(t *testing.T) {
	base := octets(1, 1<<20)
	file := slices.Concat([]byte("new"), base)
	p, _, s := signed(t, base)
	instructions := func(s *Signature) *buffer {
		var wire buffer
		_, err := Diff(&wire, bytes.NewReader(file), int64(len(file)), s, nil)
		must(t, err)
		return &wire
	}
	changed := slices.Clone(base)
	changed[500000]++
	for name, c := range map[string]struct {
		base io.ReaderAt
		want error
	}{
		"changed": {bytes.NewReader(changed), ErrDiffers}, "shorter": {bytes.NewReader(base[:len(base)-1]), io.ErrUnexpectedEOF}, "broken": {failing{io.ErrClosedPipe}, io.ErrClosedPipe},
	} {
		wire := instructions(s)
		if _, complete, unequal, err := applied(wire, c.base, p, len(file)); !complete || !errors.Is(unequal, c.want) || err != nil || wire.Len() > 0 {
			t.Errorf("%s: %v, %v, %v, %d octets are left to be read", name, complete, unequal, err, wire.Len())
		}
	}
	var wire buffer
	err, unread := Sign(&wire, bytes.NewReader(base[:600000]), p, make([]byte, 1000))
	if err != nil || unread != io.ErrUnexpectedEOF || wire.Len() != p.Blocks()*sumSize {
		t.Errorf("%v, %v, %d octets", err, unread, wire.Len())
	}
	s, err = ReadSignature(&wire, p)
	must(t, err)
	if got, _, unequal, err := applied(instructions(s), bytes.NewReader(base), p, len(file)); err != nil || unequal != nil || !bytes.Equal(got, file) {
		t.Errorf("%v, %v, %d octets", err, unequal, len(got))
	}
}

// TestBadInstructions: what an enemy sends ends it before anything comes of it.
func TestBadInstructions(t *testing.T) {
	base := octets(1, 10<<10+5)
	p, _, _ := signed(t, base)
	literal := func(n int) string { return fmt.Sprintf("L\x00\x00%c%c", n>>8, n&0xff) }
	for _, c := range []struct {
		instructions string
		size         int
		want         string
	}{
		{"X", 10, `it begins with "X"`},
		{"\x00", 10, `it begins with "\x00"`},
		{literal(0), 10, "0 octets at once"},
		{"L\x00\x01\x00\x01", 1 << 20, "65537 octets at once"},
		{"L\xff\xff\xff\xff", 1 << 20, "4294967295 octets at once"},
		{literal(11) + strings.Repeat("x", 11), 10, "1 octets too long"},
		{literal(10) + strings.Repeat("x", 10) + literal(1), 10, "1 octets too long"},
		{"C\x00\x00\x00\x00\x00\x00\x00\x00", 1 << 20, "0 blocks from block 0 on, of 11"},
		{"C\x00\x00\x00\x0b\x00\x00\x00\x01", 1 << 20, "1 blocks from block 11 on, of 11"},
		{"C\x00\x00\x00\x01\x00\x00\x00\x0b", 1 << 20, "11 blocks from block 1 on, of 11"},
		{"C\x00\x00\x00\x01\xff\xff\xff\xff", 1 << 20, "4294967295 blocks from block 1 on, of 11"},
		{"C\xff\xff\xff\xff\x00\x00\x00\x02", 1 << 20, "2 blocks from block 4294967295 on, of 11"},
		{"C\x00\x00\x00\x00\x00\x00\x00\x02", 2047, "1 octets too long"},
		{"C\x00\x00\x00\x0a\x00\x00\x00\x01", 4, "1 octets too long"},
		{literal(2) + "xx" + "E" + strings.Repeat("\x00", 32), 10, "8 octets too early"},
	} {
		got, complete, unequal, err := applied(strings.NewReader(c.instructions), bytes.NewReader(base), p, c.size)
		if complete || unequal != nil || !errors.Is(err, ErrInstruction) || !strings.Contains(err.Error(), c.want) || len(got) > c.size {
			t.Errorf("%q: %v, %v, %v", c.instructions, complete, unequal, err)
		}
	}
	// One that is not the file's.
	_, complete, unequal, err := applied(strings.NewReader(literal(2)+"xxE"+strings.Repeat("\x00", 32)), bytes.NewReader(base), p, 2)
	if !complete || unequal != ErrDiffers || err != nil {
		t.Errorf("%v, %v, %v", complete, unequal, err)
	}
}

// TestTruncated: a stream that ends anywhere is an error.
func TestTruncated(t *testing.T) {
	base := octets(1, 20<<10)
	p, sent, s := signed(t, base)
	for n := range sent {
		if _, err := ReadSignature(bytes.NewReader(sent[:n]), p); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d octets of a signature: %v", n, err)
		}
	}
	file := slices.Concat([]byte("new"), base[:5<<10], []byte("more"), base[9<<10:])
	var wire buffer
	_, err := Diff(&wire, bytes.NewReader(file), int64(len(file)), s, nil)
	must(t, err)
	for n := range wire.Len() {
		if _, complete, unequal, err := applied(bytes.NewReader(wire.Bytes()[:n]), bytes.NewReader(base), p, len(file)); complete || unequal != nil || err != io.ErrUnexpectedEOF {
			t.Fatalf("%d of %d octets: %v, %v, %v", n, wire.Len(), complete, unequal, err)
		}
	}
}

// TestNobodyListens: an error of the connection is not one of the file.
func TestNobodyListens(t *testing.T) {
	base := octets(1, 1<<20)
	p, _, s := signed(t, base)
	gone := failing{io.ErrClosedPipe}
	if err, unread := Sign(gone, bytes.NewReader(base), p, make([]byte, 100)); err != io.ErrClosedPipe || unread != nil {
		t.Errorf("%v, %v", err, unread)
	}
	for _, file := range [][]byte{nil, base, base[1:], octets(2, 1000)} {
		if _, err := Diff(gone, bytes.NewReader(file), int64(len(file)), s, nil); err != io.ErrClosedPipe {
			t.Errorf("%d octets: %v", len(file), err)
		}
	}
}

// TestFalseAlarms: a signature that has the first sum of every place of the file,
// and never the second one, is not followed for ever.
func TestFalseAlarms(t *testing.T) {
	file := make([]byte, 1<<20)
	p, _ := NewPlan(1<<20+1, 0)
	lie := bytes.Repeat(slices.Concat(make([]byte, 8), []byte("a lie...")), p.Blocks())
	s, err := ReadSignature(bytes.NewReader(lie), p)
	must(t, err)
	reader := &differ{s: s, block: p.Block, src: bytes.NewReader(file), left: int64(len(file)), second: xxhash.New(),
		whole: sha256.New(), alarms: 100 * int64(p.Block), buf: make([]byte, 2*p.Block+readSize)}
	var wire buffer
	reader.w = &wire
	must(t, reader.run())
	if reader.alarms != 0 || reader.stats.Literal != int64(len(file)) {
		t.Errorf("%d octets are left for alarms, %+v", reader.alarms, reader.stats)
	}
}

func BenchmarkSign(b *testing.B) {
	base := octets(1, 64<<20)
	p, _ := NewPlan(int64(len(base)), 0)
	buf := make([]byte, 128<<10)
	b.SetBytes(p.Size)
	for b.Loop() {
		_, _ = Sign(&buffer{}, bytes.NewReader(base), p, buf)
	}
}

func BenchmarkDiff(b *testing.B) {
	base := octets(1, 64<<20)
	_, _, s := signed(b, base)
	for name, file := range map[string][]byte{"equal": base, "new": octets(2, len(base)), "shifted": slices.Concat([]byte{1}, base)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				_, _ = Diff(discard{}, bytes.NewReader(file), int64(len(file)), s, nil)
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Flush() error                { return nil }

func BenchmarkRoll(b *testing.B) {
	_, _, s := signed(b, octets(1, 64<<20))
	d := &differ{s: s, block: s.plan.Block, buf: octets(2, 1<<20)}
	b.SetBytes(1 << 20)
	for b.Loop() {
		d.pos, d.end = 0, len(d.buf)
		for d.pos+d.block < d.end {
			d.roll()
		}
	}
}
