package delta

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// ErrDiffers says that what was put together is not the file that was sent.
var ErrDiffers = errors.New("the parts do not make the file that was sent")

// Apply follows instructions to their end: with a base that the plan divides, for
// a file of size octets, whose parts it gives to out, one after the other. It
// needs buf, of any size, for them.
//
// complete is false if the sender could not read its file to the end. Otherwise
// unequal is why the file is not the one that was sent, which is nobody's fault:
// an error of reading the base, or ErrDiffers; what follows the instructions is
// all the same to be read. err is the sender's fault, ErrInstruction in it, or
// one of r.
func Apply(r io.Reader, base io.ReaderAt, p Plan, size int64, buf []byte, out func(part []byte)) (complete bool, unequal, err error) {
	whole := sha256.New()
	take := func(part []byte) {
		whole.Write(part)
		out(part)
	}
	for left := size; ; {
		in, err := readInstruction(r, p, left)
		if err != nil {
			return false, nil, err
		}
		left -= in.length
		switch in.op {
		case opGivenUp:
			return false, nil, nil
		case opComplete:
			if unequal == nil && [32]byte(whole.Sum(nil)) != in.digest {
				unequal = ErrDiffers
			}
			return true, unequal, nil
		case opLiteral:
			err = pass(r, in.length, buf, take)
			if err != nil {
				return false, nil, unexpected(err)
			}
		case opCopy:
			if unequal == nil {
				unequal = copyBlocks(base, int64(in.first)*int64(p.Block), in.length, buf, take)
			}
		}
	}
}

// pass reads octets.
func pass(r io.Reader, octets int64, buf []byte, take func([]byte)) error {
	for octets > 0 {
		part := buf[:min(octets, int64(len(buf)))]
		if _, err := io.ReadFull(r, part); err != nil {
			return err
		}
		take(part)
		octets -= int64(len(part))
	}
	return nil
}

func copyBlocks(base io.ReaderAt, at, octets int64, buf []byte, take func([]byte)) error {
	err := pass(io.NewSectionReader(base, at, octets), octets, buf, take)
	if err != nil {
		return fmt.Errorf("read what was there: %w", unexpected(err))
	}
	return nil
}
