package lmdb

import (
	"errors"
	"fmt"
)

var (
	// ErrFormat says that a file is not an LMDB data file of version 1: its
	// first pages lack the marks, as in a file that kdb5_util has filled with
	// zeros.
	ErrFormat = errors.New("not an LMDB data file of version 1")
	// ErrBusy says that the file changed too fast for a consistent copy.
	ErrBusy = errors.New("the database changes too fast for a consistent copy: try again when less is going on, or dump it with kdb5_util")
	// ErrNoDatabase says that a file lacks one of klmdb's databases.
	ErrNoDatabase = errors.New("the file lacks the database")
	// ErrInUse says that a program has the environment open.
	ErrInUse = errors.New("a program has the database open")
)

// CorruptError says where a file is not as LMDB writes it. It never holds bytes
// of the file other than the name of a record, since any other may be a key.
type CorruptError struct {
	Path   string
	Page   uint64
	Offset int64  // in the file, bytes
	Record string // name of the principal or policy, if it was read
	Msg    string
}

// Error gives file, page, byte, record and reason in one line.
func (e *CorruptError) Error() string {
	record := ""
	if e.Record != "" {
		record = fmt.Sprintf(" record %q:", e.Record)
	}
	return fmt.Sprintf("read %s: page %d (byte %d):%s %s", e.Path, e.Page, e.Offset, record, e.Msg)
}
