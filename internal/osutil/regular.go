package osutil

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNotRegular is the reason why a FIFO, device or directory is refused.
var ErrNotRegular = errors.New("not a regular file")

// OpenRegular opens a regular file, and nothing else: the error for another wraps
// [ErrNotRegular]. It does not wait, as a plain open of a FIFO would; a file that
// flags create has mode 0600.
func OpenRegular(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
