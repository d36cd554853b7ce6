package main

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
)

// shuffle writes the lines of a dump in a random order, the header first and
// the policies last, as kdb5_util dumps a hash database.
func shuffle(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	last := len(lines)
	for last > 0 && !bytes.HasPrefix(lines[last-1], []byte("princ\t")) {
		last--
	}
	principals := lines[1:last]
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(principals), func(i, j int) { principals[i], principals[j] = principals[j], principals[i] })
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for _, l := range lines {
		if _, err := w.Write(l); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close(), os.WriteFile(to+".dump_ok", []byte{0}, 0o600))
}
