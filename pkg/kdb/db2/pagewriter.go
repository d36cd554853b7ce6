package db2

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// pageWriter writes the pages of a new file behind each other. A goroutine
// of its own hands them to the system, so that building goes on meanwhile.
type pageWriter struct {
	f     *os.File
	next  uint32 // number of the next page
	buf   []byte // pages not handed over
	queue chan write
	free  chan []byte
	done  chan struct{} // closed when the goroutine has ended
	err   error         // of the goroutine, once it has ended or failed is closed
	fail  chan struct{} // closed when err is set
}

// write is what is to be written at a place of the file.
type write struct {
	at   int64
	data []byte
}

const (
	writeSize    = 1 << 20 // how much is written at once
	writeBuffers = 4
)

// newPageWriter begins behind the meta page and the root, which are written
// last.
func newPageWriter(f *os.File) *pageWriter {
	w := &pageWriter{f: f, next: rootPage + 1, queue: make(chan write, writeBuffers),
		free: make(chan []byte, writeBuffers), done: make(chan struct{}), fail: make(chan struct{})}
	for range writeBuffers - 1 {
		w.free <- nil
	}
	go w.run()
	return w
}

func (w *pageWriter) run() {
	defer close(w.done)
	for q := range w.queue {
		if w.err == nil {
			if w.err = w.put(q); w.err != nil {
				close(w.fail)
			}
		}
		if cap(q.data) >= writeSize {
			w.free <- q.data[:0]
		}
	}
}

func (w *pageWriter) put(q write) error {
	if err := osutil.Step("write", w.f.Name()); err != nil {
		return err
	}
	if _, err := w.f.WriteAt(q.data, q.at); err != nil {
		return err
	}
	// The disk may begin at once, so that less is left for fsync. If the file
	// system cannot, nothing is lost.
	if len(q.data) >= writeSize {
		_ = unix.SyncFileRange(int(w.f.Fd()), q.at, int64(len(q.data)), unix.SYNC_FILE_RANGE_WRITE)
	}
	return nil
}

// page appends a page, whose bytes are not set, and gives its number. The bytes
// are there to be filled in until the next call.
func (w *pageWriter) page() (number uint32, data []byte) {
	if w.buf == nil || len(w.buf) == cap(w.buf) {
		w.flush()
		if w.buf = <-w.free; w.buf == nil {
			w.buf = make([]byte, 0, writeSize)
		}
	}
	at := len(w.buf)
	w.buf = w.buf[:at+pageSize]
	number = w.next
	w.next++
	return number, w.buf[at : at+pageSize]
}

// flush hands over what is collected.
func (w *pageWriter) flush() {
	if len(w.buf) > 0 {
		w.queue <- write{int64(w.next)*pageSize - int64(len(w.buf)), w.buf}
	}
	w.buf = nil
}

// patch changes a number in the header of a page that was written.
func (w *pageWriter) patch(page uint32, offset int, v uint32) {
	if first := w.next - uint32(len(w.buf)/pageSize); page >= first {
		le.PutUint32(w.buf[int(page-first)*pageSize+offset:], v)
		return
	}
	w.queue <- write{int64(page)*pageSize + int64(offset), le.AppendUint32(nil, v)}
}

// failed is the error of a write that failed meanwhile.
func (w *pageWriter) failed() error {
	select {
	case <-w.fail:
		return w.err
	default:
		return nil
	}
}

// close writes the first two pages and waits for all. It must be called
// exactly once; without first it only ends the goroutine.
func (w *pageWriter) close(first []byte) error {
	if first != nil {
		w.flush()
		w.queue <- write{0, first}
	}
	close(w.queue)
	<-w.done
	return w.err
}
