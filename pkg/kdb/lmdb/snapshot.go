package lmdb

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/kprop/kprop/internal/osutil"
)

// snapshotTries is how often a copy is begun before ErrBusy. A copy fails only
// if two transactions end while it is taken.
const snapshotTries = 40

// longestPause bounds the wait between two tries.
const longestPause = 50 * time.Millisecond

// copyPiece is how many bytes are read at once.
const copyPiece = 1 << 20

// Snapshot takes a consistent copy of an LMDB data file that programs may be
// writing, into a file without a name in tempDir, and opens the copy. It needs
// no more than the right to read the file, and disturbs nobody. An empty tempDir
// means the directory of the file; the copy holds keys.
//
// Errors are those of [Open], those of the context, or wrap [ErrBusy].
func Snapshot(ctx context.Context, path, tempDir string) (*Env, error) {
	if tempDir == "" {
		tempDir = filepath.Dir(path)
	}
	src, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	dst, err := osutil.UnnamedFile(tempDir)
	if err != nil {
		return nil, fmt.Errorf("copy %s: %w", path, err)
	}
	e, err := snapshot(ctx, fileSource(src, path), dst)
	if err != nil {
		dst.Close()
		return nil, err
	}
	e.file = dst
	return e, nil
}

// snapshot copies the pages of one snapshot into dst and reads the copy with the
// meta page that was right then. The meta pages in dst are left to the caller.
func snapshot(ctx context.Context, src source, dst *os.File) (*Env, error) {
	var size int64
	m, err := src.stable(ctx, func(m *meta) error {
		var err error
		if size, err = copyPages(ctx, dst, src, m); err != nil {
			return fmt.Errorf("copy %s: %w", src.path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newEnv(fileSource(dst, src.path), size, m)
}

// stable calls f with the newest meta page of a file that may be being written,
// until no page of that snapshot was overwritten while f ran (4.1, steps A to D).
// Before that, nothing that f read is to be trusted, its error neither.
func (s source) stable(ctx context.Context, f func(*meta) error) (*meta, error) {
	for try := range snapshotTries {
		if err := pause(ctx, try); err != nil {
			return nil, fmt.Errorf("read %s: %w", s.path, err)
		}
		m, ok, err := s.settled()
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		ferr := f(m)
		if ok, err = s.unchanged(m); err != nil {
			return nil, err
		}
		if ok {
			return m, ferr
		}
	}
	return nil, fmt.Errorf("read %s: %w", s.path, ErrBusy)
}

// inPlace calls f with the newest snapshot of a data file that programs may be
// writing, as stable does. f may call nothing that needs the Env afterwards.
func inPlace(ctx context.Context, path string, f func(*Env) error) error {
	file, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	src := fileSource(file, path)
	_, err = src.stable(ctx, func(m *meta) error {
		size, err := src.size()
		if err != nil {
			return err
		}
		e, err := newEnv(src, size, m)
		if err != nil {
			return err
		}
		return f(e)
	})
	return err
}

// pause waits a little longer before each try.
func pause(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(min(time.Duration(try)*2*time.Millisecond, longestPause))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// copyPages copies the pages of m that are in use. Free ones, which may hold
// keys of deleted principals, and those of zeros stay holes. It returns the size
// of the copy.
func copyPages(ctx context.Context, dst *os.File, src source, m *meta) (int64, error) {
	size, err := src.size()
	if err != nil {
		return 0, err
	}
	// The free pages at the end need not be in the file.
	size = min(size, int64(m.last+1)*int64(m.pageSize))
	free, err := src.freePages(m, size)
	if err != nil {
		return 0, err
	}
	if err := dst.Truncate(0); err != nil {
		return 0, err
	}
	buf := make([]byte, copyPiece)
	for at := int64(0); at < size; at += copyPiece {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		piece := buf[:min(copyPiece, size-at)]
		if err := copyUsed(dst, src, piece, at, m.pageSize, free); err != nil {
			return 0, err
		}
	}
	return size, dst.Truncate(size)
}

// copyUsed copies a piece of the file, without the free pages in it.
func copyUsed(dst *os.File, src source, piece []byte, at int64, pageSize int, free bitmap) error {
	used := func(from int) bool { return !free.has(uint64(at+int64(from)) / uint64(pageSize)) }
	read := false
	for from := 0; from < len(piece); {
		to := from
		for to < len(piece) && used(to) {
			to += pageSize
		}
		if to == from {
			from += pageSize
			continue
		}
		to = min(to, len(piece))
		if !read {
			// A file that shrinks is noticed in step D.
			if n, err := src.ReadAt(piece, at); err != nil && err != io.EOF {
				return err
			} else if n < len(piece) {
				return io.ErrUnexpectedEOF
			}
			read = true
		}
		if !zeros(piece[from:to]) {
			if _, err := dst.WriteAt(piece[from:to], at+int64(from)); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// freePages are the free pages of m within the first size bytes of the file.
func (s source) freePages(m *meta, size int64) (bitmap, error) {
	free := newBitmap(uint64(size) / uint64(m.pageSize))
	e := &Env{src: s, size: size, meta: m}
	err := e.eachFree(nil, func(_ uint64, pages []byte) error {
		for i := 0; i < len(pages); i += 8 {
			free.add(le.Uint64(pages[i:]))
		}
		return nil
	})
	return free, err
}

func zeros(b []byte) bool {
	for len(b) >= 8 {
		if le.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
