package db2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

// Image is one file of a [Snapshot]. It is safe for concurrent use until Close of
// the Snapshot.
type Image struct {
	path string
	size int64
	room []byte   // mapped memory, or nil
	mem  []byte   // what of it is the file
	file *os.File // the copy, or the file itself under the locks
	copy bool
}

// smallImage is what is always taken into memory, in bytes: the policies, and
// the principals of most realms.
const smallImage = 4 << 20

// Path is the path of the file of which it is the image.
func (i *Image) Path() string { return i.path }

// Size is how long the file was, in bytes.
func (i *Image) Size() int64 { return i.size }

// Bytes is the whole file if it is in memory, and nil if not. It must not be
// written to.
func (i *Image) Bytes() []byte { return i.mem }

// ReadAt is io.ReaderAt.
func (i *Image) ReadAt(b []byte, at int64) (int, error) {
	if i.file != nil {
		return i.file.ReadAt(b, at)
	}
	if at < 0 || at >= int64(len(i.mem)) {
		return 0, io.EOF
	}
	n := copy(b, i.mem[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Open opens the image as a btree file; see [Open].
func (i *Image) Open() (*File, error) {
	if i.mem != nil {
		return OpenBytes(i.mem, i.path)
	}
	return Open(i, i.size, i.path)
}

// OpenRecords opens the image as a file of either kind; see [OpenRecords].
func (i *Image) OpenRecords() (Records, error) {
	if i.mem != nil {
		return OpenRecordsBytes(i.mem, i.path)
	}
	return OpenRecords(i, i.size, i.path)
}

// prepare makes room for the file as it is now.
func (i *Image) prepare(mode SnapshotMode, dir string) error {
	f, err := osutil.OpenRegular(i.path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	switch {
	case mode == SnapshotMemory || st.Size() <= smallImage:
		return i.makeRoom(st.Size())
	case mode == SnapshotCopy:
		if dir == "" {
			dir = filepath.Dir(i.path)
		}
		i.copy = true
		if i.file, err = osutil.UnnamedFile(dir); err != nil {
			return err
		}
		return i.copyAhead(f)
	}
	return nil
}

// copyAhead copies the file without the locks. So programs may write it meanwhile,
// and the copy may be worth nothing; but most of it is right, and to look for the
// rest takes less time under the locks than to copy. If blocks can be shared,
// it has them written to the disk, which is what takes time then.
func (i *Image) copyAhead(src *os.File) error {
	if shareBlocks(i.file, src) {
		return nil
	}
	_, err := io.Copy(i.file, src) // by copy_file_range: this process does not see the bytes
	return err
}

func shareBlocks(dst, src *os.File) bool {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil
}

// copyRest makes of what copyAhead has left a copy of the file, which is locked.
func (i *Image) copyRest(src *os.File) error {
	if shareBlocks(i.file, src) {
		return nil
	}
	if err := i.file.Truncate(i.size); err != nil {
		return err
	}
	return inPieces(i.size, func(from, to int64) error {
		const block = 64 << 10
		want, have := make([]byte, block), make([]byte, block)
		for ; from < to; from += block {
			n := min(block, to-from)
			if err := readFull(src, want[:n], from); err != nil {
				return err
			}
			if err := readFull(i.file, have[:n], from); err != nil {
				return err
			}
			if bytes.Equal(want[:n], have[:n]) {
				continue
			}
			if _, err := i.file.WriteAt(want[:n], from); err != nil {
				return err
			}
		}
		return nil
	})
}

// readFull fills b.
func readFull(f *os.File, b []byte, at int64) error {
	_, err := f.ReadAt(b, at)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// makeRoom maps zeroed memory for a file of so many bytes, and some more, since it
// may grow before it is locked. It is not the heap's: a page of that would be
// faulted in under the locks. Huge pages are not asked for: where a host takes back
// what its machines leave idle, those are the ones that it has taken, and 1.65 GB
// of them came in 2.3 to 3.8 s, and of others in 0.5 s.
func (i *Image) makeRoom(size int64) error {
	const spare = 1 << 20
	room := size + size/64 + spare
	if err := osutil.Step("mmap", i.path); err != nil {
		return err
	}
	m, err := unix.Mmap(-1, 0, int(room), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("get %d bytes of memory: %w", room, err)
	}
	i.room = m
	return inPieces(size, func(from, to int64) error {
		if unix.Madvise(m[from:to], unix.MADV_POPULATE_WRITE) != nil { // before Linux 5.14
			for ; from < to; from += int64(os.Getpagesize()) {
				m[from] = 0
			}
		}
		return nil
	})
}

// fill takes the image. The file may be another than that which prepare saw: it
// is opened by its path under the locks, as MIT's programs do.
func (i *Image) fill() error {
	f, err := osutil.OpenRegular(i.path, os.O_RDONLY)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	i.size = st.Size()
	if i.room == nil && i.file == nil {
		i.file = f
		return nil
	}
	defer f.Close()
	if i.copy {
		return i.copyRest(f)
	}
	if i.size > int64(len(i.room)) {
		if err := errors.Join(i.close(), i.makeRoom(i.size)); err != nil {
			return err
		}
	}
	i.mem = i.room[:i.size:i.size]
	return inPieces(i.size, func(from, to int64) error {
		return readFull(f, i.mem[from:to], from)
	})
}

// inPieces calls f for each piece of so many bytes, on all processors.
func inPieces(size int64, f func(from, to int64) error) error {
	const piece = 4 << 20
	var next atomic.Int64
	var failed error
	var once sync.Once
	var wg sync.WaitGroup
	for range min(int64(runtime.GOMAXPROCS(0)), size/piece+1) {
		wg.Go(func() {
			for {
				to := next.Add(piece)
				from := to - piece
				if from >= size {
					return
				}
				if err := caught(func() error { return f(from, min(to, size)) }); err != nil {
					once.Do(func() { failed = err })
					return
				}
			}
		})
	}
	wg.Wait()
	return failed
}

func (i *Image) close() error {
	var err error
	if i.room != nil {
		err = unix.Munmap(i.room)
		i.room, i.mem = nil, nil
	}
	if i.file != nil {
		err = errors.Join(err, i.file.Close())
		i.file = nil
	}
	return err
}
