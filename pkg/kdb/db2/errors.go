package db2

import (
	"errors"
	"fmt"
)

// ErrFormat says that a file is neither a btree nor a hash of version 3, as when
// its first page is not written yet.
var ErrFormat = errors.New("not a DB2 database file")

// CorruptError says where a file is not as libdb2 writes it. It never holds
// bytes of the file other than the name of a record, since any other may be a
// key.
type CorruptError struct {
	Path   string
	Page   uint32
	Offset int    // in the page, bytes
	Record string // name of the principal or policy, if it was read
	Msg    string
}

// Error gives file, page, byte, record and reason in one line.
func (e *CorruptError) Error() string {
	record := ""
	if e.Record != "" {
		record = ", record " + quoted(e.Record)
	}
	return fmt.Sprintf("%s: page %d, byte %d%s: %s", e.Path, e.Page, e.Offset, record, e.Msg)
}
