package db2

import (
	"errors"
	"io"
)

// aheadReader reads a file in large pieces for one who mostly asks for
// what follows. It is for one goroutine.
type aheadReader struct {
	r    io.ReaderAt
	size int64
	buf  []byte
	at   int64 // place of buf in the file
}

const aheadSize = 256 << 10

// ReadAt is that of [io.ReaderAt], for pieces that are shorter than aheadSize.
func (a *aheadReader) ReadAt(p []byte, off int64) (int, error) {
	if off < a.at || off+int64(len(p)) > a.at+int64(len(a.buf)) {
		if a.buf == nil {
			a.buf = make([]byte, aheadSize)
		}
		a.buf, a.at = a.buf[:min(int64(cap(a.buf)), max(0, a.size-off))], off
		if n, err := a.r.ReadAt(a.buf, off); err != nil && !(errors.Is(err, io.EOF) && n == len(a.buf)) {
			a.buf = a.buf[:0]
			return 0, err
		}
	}
	n := copy(p, a.buf[off-a.at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
