package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxSize is the most bytes that a file may have.
const MaxSize = 1 << 20

// Load reads the regular file at path. The error joins one *Error for each
// thing that is wrong, in the order of the file. Where there is no file, it
// wraps fs.ErrNotExist.
func Load(path string) (*Config, error) { return LoadChecked(path, Checks{}) }

// Checks look at what the file only names. Each may be nil.
type Checks struct {
	Distfile func(path string) error // of files; the error is one line
}

// LoadChecked is Load with checks, whose errors are among those of the file.
func LoadChecked(path string, checks Checks) (*Config, error) {
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	return parse(path, text, checks)
}

func read(path string) ([]byte, error) {
	refuse := func(cause error, format string, args ...any) ([]byte, error) {
		return nil, &Error{File: path, Problem: fmt.Sprintf(format, args...), Err: cause}
	}
	// A pipe must not hold the program until somebody writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse(err, "there is no such file; write it, the smallest useful one is the line %s", Example)
	case err != nil:
		return refuse(err, "cannot be opened: %v", bare(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return refuse(err, "cannot be looked at: %v", bare(err))
	case !info.Mode().IsRegular():
		return refuse(nil, "is not a regular file")
	case info.Mode().Perm()&0o002 != 0:
		return refuse(nil, "everybody may write to it, and what it says is done as root: chmod o-w %s", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return refuse(err, "cannot be read: %v", bare(err))
	}
	return text, nil
}

// bare takes operation and path off, which the text has already.
func bare(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
