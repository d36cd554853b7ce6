// Package delta sends a file to somebody who has a former version of it as
// what is new, and where in the former version the rest is. It is the algorithm
// of Tridgell's thesis, "Efficient Algorithms for Sorting and Synchronization"
// (1999), chapter 3, and knows of no names and no connections.
//
// The receiver divides its file, the base, into blocks and sends a signature of
// each (Sign). The sender looks for these blocks at any octet of its file
// (Diff), and sends instructions: octets, and blocks of the base. The receiver
// follows them (Apply). Blocks found at any place, rather than boundaries found
// in the contents, as what was inserted or taken out costs about one block then
// and not the two pieces around it.
//
// # Sums
//
// A signature is two sums of 8 octets. The first one rolls: it is a polynomial
// over the octets modulo 2^64, which one multiplication brings an octet further.
// It alone says for nearly every octet of the file that no block begins there;
// with 32 bits, as in rsync, a hundred GiB would have millions of false alarms,
// with a whole block to be hashed for each. The second one is xxHash with a seed
// that the receiver draws for each base. It costs a tenth of SHA-256, and is no
// weaker here: the two sums only decide what is tried. The instructions end with
// the SHA-256 of the whole file, and what was put together counts only if it has
// it. So if two blocks are taken for each other, which happens by chance once in
// 2^70 files of a hundred GiB, and can be brought about by who writes both versions,
// or if the base changes under the hands of the receiver, then it is noticed, and
// the file is sent whole.
//
// The sums keep no secret: from those of a block of which all but a few octets
// are known, these can be computed. A receiver should divide no small files, and
// of a last block of less than 64 octets the sums are 0.
//
// # Bounds
//
// A base has at most MaxBlocks blocks, so that a signature takes 2 MiB on the
// way and 5 MiB in memory. The sender besides holds two blocks, of at most
// MaxBlock octets, and the receiver none. The other side is a suspect for
// both: each instruction must bring the file further and stay within the base
// and the size that was announced, and blocks that look right by the first sum
// and are not by the second, as a signature can be made to say, are hashed for
// as much as twice the file at most.
//
// # Wire
//
// A plan is a line of text: the octets of the base, those of a block, which are a
// power of two, and the seed in hexadecimal digits. All other numbers have the
// most significant octet first. A signature is, for each block, the two sums. An
// instruction is one of
//
//	'L' length(4) octets      these octets, at most MaxLiteral
//	'C' first(4) count(4)     so many blocks of the base
//	'E' SHA-256(32)           the file is complete
//	'Q'                       it could not be read to its end
package delta

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// Bounds of what is sent.
const (
	MinBlock   = 1 << 10  // octets
	MaxBlock   = 4 << 20  // octets
	MaxBlocks  = 1 << 17  // of a base
	MaxLiteral = 64 << 10 // octets of one instruction
)

const (
	sumSize = 16 // octets of a signature of a block
	minTail = 64 // octets of a last block that has a signature: the sums of few give them away
)

// Plan says how a base is divided.
type Plan struct {
	Size  int64 // octets of the base
	Block int   // octets of each block but the last one, which may be shorter
	// Seed goes into the second sums. It is to be drawn at random for each base.
	Seed uint64
}

// NewPlan divides a base of so many octets: into blocks of about the square root
// of its size, so that the signature is never more than a small part of it and
// neither is the block that is sent for a change of one octet. It is false if
// there is nothing to divide, or if the base has more than MaxBlocks of MaxBlock
// octets.
func NewPlan(size int64, seed uint64) (Plan, bool) {
	if size <= 0 {
		return Plan{}, false
	}
	p := Plan{Size: size, Block: MinBlock, Seed: seed}
	if half := (bits.Len64(uint64(size-1)) + 1) / 2; half > 10 {
		p.Block = 1 << min(half, 22)
	}
	for p.Block < MaxBlock && (size-1)/int64(p.Block) >= MaxBlocks {
		p.Block *= 2
	}
	return p, p.Check() == nil
}

// Check says why a plan cannot be followed.
func (p Plan) Check() error {
	switch {
	case p.Block < MinBlock || p.Block > MaxBlock || p.Block&(p.Block-1) != 0:
		return fmt.Errorf("blocks of %d octets are not allowed", p.Block)
	case p.Size <= 0 || (p.Size-1)/int64(p.Block) >= MaxBlocks:
		return fmt.Errorf("a file of %d octets cannot be divided into blocks of %d", p.Size, p.Block)
	}
	return nil
}

// String is the plan as one line: size, length of blocks, seed.
func (p Plan) String() string { return fmt.Sprintf("%d %d %016x", p.Size, p.Block, p.Seed) }

// ParsePlan reads what String gives, and nothing else.
func ParsePlan(text string) (p Plan, err error) {
	_, _ = fmt.Sscanf(text, "%d %d %x", &p.Size, &p.Block, &p.Seed)
	if p.String() != text {
		return Plan{}, errors.New("it is not the size, the blocks and the seed of a file")
	}
	return p, p.Check()
}

// Blocks is how many blocks there are.
func (p Plan) Blocks() int { return int((p.Size-1)/int64(p.Block)) + 1 }

// tail is the size of the last block.
func (p Plan) tail() int { return int(p.Size - int64(p.Blocks()-1)*int64(p.Block)) }

// signsTail reports whether the last block has a signature.
func (p Plan) signsTail() bool { return p.tail() >= minTail }

// Writer is where signatures and instructions go. Flush is called when the other
// side could work with what was written.
type Writer interface {
	io.Writer
	Flush() error
}

// flushEach is how many octets of a file are worked on before the other side
// gets what there is, so that both work at the same time and neither is taken
// for dead.
const flushEach = 8 << 20
