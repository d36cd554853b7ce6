package lmdb

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/kprop/kprop/internal/osutil"
)

// Env is one snapshot in an LMDB data file that nobody writes. It is safe for
// concurrent use; its cursors are not.
type Env struct {
	src   source
	size  int64
	meta  *meta
	named []named
	file  *os.File // to be closed, or nil
}

// named is a named database, in the order of the names.
type named struct {
	name string
	db   dbRecord
}

// Info describes the snapshot of an [Env].
type Info struct {
	PageSize int
	MapSize  uint64 // bytes: the limit stored in the file
	LastPage uint64 // highest page number in use; pages 0 and 1 are the meta pages
	Txn      uint64 // number of the transaction that made the snapshot
	FileSize int64  // bytes
}

// Stat describes a named database: how many pages of each kind and entries it
// has, as the file says.
type Stat struct {
	Depth                                      int
	BranchPages, LeafPages, ChainPages, Amount uint64
}

// Open reads the meta pages and the names of the databases in an LMDB data file
// that no program writes while the Env is in use, such as a copy.
//
// Errors wrap [ErrFormat] or are a [*CorruptError] or those of the system.
func Open(path string) (*Env, error) {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	e, err := Read(f, st.Size(), path)
	if err != nil {
		f.Close()
		return nil, err
	}
	e.file = f
	return e, nil
}

// Read is [Open] for a file that the caller has opened, of size bytes. name is
// for error messages. Close leaves the file open.
func Read(r io.ReaderAt, size int64, name string) (*Env, error) {
	src := source{r, name, func() (int64, error) { return size, nil }}
	m, _, err := src.newest()
	if err != nil {
		return nil, err
	}
	return newEnv(src, size, m)
}

func newEnv(src source, size int64, m *meta) (*Env, error) {
	e := &Env{src: src, size: size, meta: m}
	c := e.cursor(m.main)
	c.wantFlags = nodeSub
	for {
		key, value, err := c.Next()
		if err == io.EOF {
			return e, nil
		}
		if err != nil {
			return nil, err
		}
		db := parseRecord(value)
		if why := db.fault(m.last, 0); why != "" {
			page, at := c.position()
			return nil, e.src.corrupt(page, at, "database %q: %s", key, why)
		}
		if e.named = append(e.named, named{string(key), db}); len(e.named) > maxNamed {
			return nil, e.src.corrupt(m.main.root, e.offset(m.main.root), "more than %d databases", maxNamed)
		}
	}
}

// maxNamed bounds the databases of a file. klmdb has 2.
const maxNamed = 64

// Close releases the file.
func (e *Env) Close() error {
	if e.file == nil {
		return nil
	}
	return e.file.Close()
}

// Info describes the snapshot.
func (e *Env) Info() Info {
	return Info{e.meta.pageSize, e.meta.mapSize, e.meta.last, e.meta.txn, e.size}
}

// Databases returns the names of the databases in ascending order.
func (e *Env) Databases() []string {
	var names []string
	for _, n := range e.named {
		names = append(names, n.name)
	}
	return names
}

// Stat describes the database of that name. Without it, the error wraps
// [ErrNoDatabase].
func (e *Env) Stat(name string) (Stat, error) {
	db, err := e.find(name)
	return Stat{db.depth, db.branches, db.leaves, db.chains, db.amount}, err
}

// Cursor reads the database of that name from its start. Without it, the error
// wraps [ErrNoDatabase].
func (e *Env) Cursor(name string) (*Cursor, error) {
	db, err := e.find(name)
	if err != nil {
		return nil, err
	}
	return e.cursor(db), nil
}

func (e *Env) find(name string) (dbRecord, error) {
	for _, n := range e.named {
		if n.name == name {
			return n.db, nil
		}
	}
	return dbRecord{}, fmt.Errorf("read %s: %w %q", e.src.path, ErrNoDatabase, name)
}

// offset is where page n starts in the file, or the largest number if no file
// is so large.
func (e *Env) offset(n uint64) int64 {
	if n >= maxPages {
		return math.MaxInt64
	}
	return int64(n) * int64(e.meta.pageSize)
}

// openRegular is osutil's.
var openRegular = osutil.OpenRegular

// less compares keys as a database does: numbers in the free list, bytes
// elsewhere.
func less(a, b []byte, integers bool) bool {
	if integers {
		return le.Uint64(a) < le.Uint64(b)
	}
	return bytes.Compare(a, b) < 0
}
