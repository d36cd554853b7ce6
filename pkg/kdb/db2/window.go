package db2

import (
	"fmt"
	"os"

	"github.com/kprop/kprop/internal/osutil"
)

// windowPages is how many pages a window reads at a time where pages are asked
// for in their order: 256 KiB, which stay in the processor's cache.
const windowPages = 64

// window is a view of consecutive pages of a file. Bytes of them may be changed:
// flush writes the pages that are marked. It is for one goroutine.
type window struct {
	f        *os.File
	pageSize int
	pages    uint32 // of the file
	buf      []byte
	first    uint32 // page at the beginning of buf
	count    uint32 // pages in buf
	asked    uint32
	marked   []bool
}

// reset makes it a window of a file, of which nothing is known.
func (w *window) reset(f *os.File, of *File) {
	w.f, w.pageSize, w.pages = f, of.pageSize, of.pages
	w.count, w.asked = 0, 0
	if len(w.buf) != windowPages*w.pageSize {
		w.buf, w.marked = make([]byte, windowPages*w.pageSize), make([]bool, windowPages)
	}
}

// page gives the bytes of page n, valid until the next call.
func (w *window) page(n uint32) ([]byte, error) {
	const near = 4 // an overflow page may be between two leaves
	ahead := n > w.asked && n-w.asked <= near
	w.asked = n
	if n < w.first || n-w.first >= w.count {
		if err := w.flush(); err != nil {
			return nil, err
		}
		w.first, w.count = n, 0
		count := uint32(1)
		if ahead {
			count = min(windowPages, w.pages-n)
		}
		if _, err := w.f.ReadAt(w.buf[:int(count)*w.pageSize], int64(n)*int64(w.pageSize)); err != nil {
			return nil, fmt.Errorf("read %s, page %d: %w", w.f.Name(), n, err)
		}
		w.count = count
	}
	at := int(n-w.first) * w.pageSize
	return w.buf[at : at+w.pageSize : at+w.pageSize], nil
}

// mark has page n, the last that was asked for, written by the next flush.
func (w *window) mark(n uint32) { w.marked[n-w.first] = true }

// flush writes what is marked.
func (w *window) flush() error {
	for from := 0; from < int(w.count); from++ {
		to := from
		for to < int(w.count) && w.marked[to] {
			w.marked[to] = false
			to++
		}
		if to == from {
			continue
		}
		if err := osutil.Step("write", w.f.Name()); err != nil {
			return err
		}
		if _, err := w.f.WriteAt(w.buf[from*w.pageSize:to*w.pageSize], int64(int(w.first)+from)*int64(w.pageSize)); err != nil {
			return err
		}
		from = to
	}
	return nil
}
