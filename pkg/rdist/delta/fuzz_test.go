package delta

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
)

// FuzzSignature: whatever a receiver sends as the signature of its base, the
// sender's instructions are in order, and what they make is the file, or known
// not to be it.
func FuzzSignature(f *testing.F) {
	base := octets(1, 5<<10+100)
	p, sent, _ := signed(f, base)
	file := slices.Concat([]byte("new"), base[:3000], make([]byte, 3000))
	f.Add(p.String(), sent, file)
	f.Add(p.String(), make([]byte, len(sent)), file)
	f.Add(p.String(), bytes.Repeat([]byte{0xff}, len(sent)), file)
	f.Add("134217728 1024 0000000000000000", sent, file)
	f.Fuzz(func(t *testing.T, plan string, signature, file []byte) {
		p, err := ParsePlan(plan)
		if err != nil {
			return
		}
		if p.String() != plan {
			t.Errorf("%q is read as %q", plan, p)
		}
		s, err := ReadSignature(bytes.NewReader(signature), p)
		if err != nil || p.Size > 1<<20 {
			return
		}
		var wire buffer
		stats, err := Diff(&wire, bytes.NewReader(file), int64(len(file)), s, nil)
		if err != nil || stats.Literal+stats.Copied != int64(len(file)) {
			t.Fatalf("%v, %+v of %d octets", err, stats, len(file))
		}
		got, complete, unequal, err := applied(&wire, bytes.NewReader(make([]byte, p.Size)), p, len(file))
		if err != nil || !complete || wire.Len() > 0 || (unequal == nil) != bytes.Equal(got, file) {
			t.Fatalf("complete %v, %v, %v, %d octets are left", complete, unequal, err, wire.Len())
		}
	})
}

// FuzzInstructions: whatever a sender sends, no more than was announced comes of
// it, and what counts as complete has the digest that was sent.
func FuzzInstructions(f *testing.F) {
	base := octets(1, 5<<10+100)
	p, _, s := signed(f, base)
	for _, file := range [][]byte{nil, base, base[10:], slices.Concat(base[1024:], []byte("new"), base[:500])} {
		var wire buffer
		_, err := Diff(&wire, bytes.NewReader(file), int64(len(file)), s, nil)
		must(f, err)
		f.Add(wire.Bytes(), uint16(len(file)))
	}
	f.Add([]byte("L\x00\x00\x00\x02xxQ"), uint16(2))
	f.Add([]byte("C\x00\x00\x00\x05\x00\x00\x00\x01Q"), uint16(100))
	f.Fuzz(func(t *testing.T, instructions []byte, size uint16) {
		got, complete, unequal, err := applied(bytes.NewReader(instructions), bytes.NewReader(base), p, int(size))
		if len(got) > int(size) {
			t.Errorf("%d octets of %d", len(got), size)
		}
		if err != nil && (complete || unequal != nil) {
			t.Errorf("complete %v, %v, in spite of %v", complete, unequal, err)
		}
		if complete && unequal == nil {
			digest := sha256.Sum256(got)
			if len(got) != int(size) || !bytes.Contains(instructions, digest[:]) {
				t.Errorf("%d octets of %d are complete", len(got), size)
			}
		}
		if unequal != nil && !errors.Is(unequal, ErrDiffers) {
			t.Error(unequal)
		}
	})
}
