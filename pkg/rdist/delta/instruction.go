package delta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The first octets of instructions.
const (
	opLiteral  = 'L'
	opCopy     = 'C'
	opComplete = 'E'
	opGivenUp  = 'Q'
)

// ErrInstruction says that the other side does not keep to the rules: what comes
// after it cannot be told from contents.
var ErrInstruction = errors.New("an instruction that is none")

// encoder writes instructions. Blocks in a row become one.
type encoder struct {
	w            Writer
	first, count int // blocks that are not written yet
}

func (e *encoder) copy(index int) error {
	if e.count > 0 && index == e.first+e.count {
		e.count++
		return nil
	}
	err := e.settle()
	e.first, e.count = index, 1
	return err
}

// settle writes the blocks in a row.
func (e *encoder) settle() error {
	if e.count == 0 {
		return nil
	}
	var b [9]byte
	b[0] = opCopy
	binary.BigEndian.PutUint32(b[1:], uint32(e.first))
	binary.BigEndian.PutUint32(b[5:], uint32(e.count))
	e.count = 0
	_, err := e.w.Write(b[:])
	return err
}

func (e *encoder) literal(octets []byte) error {
	if err := e.settle(); err != nil {
		return err
	}
	for len(octets) > 0 {
		part := octets[:min(len(octets), MaxLiteral)]
		octets = octets[len(part):]
		var b [5]byte
		b[0] = opLiteral
		binary.BigEndian.PutUint32(b[1:], uint32(len(part)))
		if _, err := e.w.Write(b[:]); err != nil {
			return err
		}
		if _, err := e.w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// finish writes the last instruction.
func (e *encoder) finish(op byte, digest []byte) error {
	err := e.settle()
	if err == nil {
		_, err = e.w.Write(append([]byte{op}, digest...))
	}
	if err == nil {
		err = e.w.Flush()
	}
	return err
}

// instruction is one of them. The octets of a literal are left to be read.
type instruction struct {
	op           byte
	length       int64 // octets of the file that it makes
	first, count int   // opCopy
	digest       [32]byte
}

// readInstruction reads an instruction that makes no more than left octets from
// a base divided by the plan.
func readInstruction(r io.Reader, p Plan, left int64) (in instruction, err error) {
	var b [9]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return in, unexpected(err)
	}
	in.op = b[0]
	var rest []byte
	switch in.op {
	case opLiteral:
		rest = b[1:5]
	case opCopy:
		rest = b[1:9]
	case opComplete:
		rest = in.digest[:]
	case opGivenUp:
		return in, nil
	default:
		return in, fmt.Errorf("%w: it begins with %q", ErrInstruction, b[:1])
	}
	if _, err := io.ReadFull(r, rest); err != nil {
		return in, unexpected(err)
	}
	one, two := binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:])
	blocks := uint32(p.Blocks())
	switch {
	case in.op == opComplete && left > 0:
		return in, fmt.Errorf("%w: the file ends %d octets too early", ErrInstruction, left)
	case in.op == opLiteral && (one == 0 || one > MaxLiteral):
		return in, fmt.Errorf("%w: %d octets at once", ErrInstruction, one)
	case in.op == opLiteral:
		in.length = int64(one)
	case in.op == opCopy && (two == 0 || one >= blocks || two > blocks-one):
		return in, fmt.Errorf("%w: %d blocks from block %d on, of %d", ErrInstruction, two, one, blocks)
	case in.op == opCopy:
		in.first, in.count = int(one), int(two)
		in.length = min(int64(one+two)*int64(p.Block), p.Size) - int64(one)*int64(p.Block)
	}
	if in.length > left {
		return in, fmt.Errorf("%w: the file becomes %d octets too long", ErrInstruction, in.length-left)
	}
	return in, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
