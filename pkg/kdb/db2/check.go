package db2

import (
	"errors"
	"fmt"
)

// FaultKind says what a fault means.
type FaultKind string

const (
	// FaultStructure is a damaged page, link or count: records may be missing.
	FaultStructure FaultKind = "structure"
	// FaultRecord is a record that cannot be decoded. The others can.
	FaultRecord FaultKind = "record"
	// FaultOrder is a key that is out of order. Nothing is missing.
	FaultOrder FaultKind = "order"
	// FaultUnfindable is a record that is dumped, but that the tree does not lead
	// to: programs say that it does not exist.
	FaultUnfindable FaultKind = "unfindable"
	// FaultFreeList is a wrong list of free pages: the next change may overwrite
	// a page that is in use. Nothing is missing yet.
	FaultFreeList FaultKind = "free-list"
)

// Fault is something that is not as libdb2 writes it.
type Fault struct {
	Kind   FaultKind `json:"kind"`
	Page   uint32    `json:"page"`
	Offset int       `json:"offset"`           // in the page, bytes
	Record string    `json:"record,omitempty"` // name of the principal or policy, if it was read
	Text   string    `json:"text"`
}

// MaxFaults is how many faults, and how many leaked pages, a [CheckReport] names.
const MaxFaults = 1000

// CheckReport is what [Check] found in a file.
type CheckReport struct {
	Kind     Kind   `json:"kind"`
	PageSize int    `json:"page_size"` // bytes
	Pages    uint32 `json:"pages"`     // the first one, or the header, among them
	Depth    int    `json:"depth"`     // levels of the tree; 0 of a hash

	// Records is how many could be read, those with a FaultRecord among them.
	Records uint64 `json:"records"`

	// How many pages have which use; 0 of a hash. A page that cannot be read is
	// in none.
	Internal uint32 `json:"internal_pages"`
	Leaves   uint32 `json:"leaf_pages"`
	Overflow uint32 `json:"overflow_pages"`
	Free     uint32 `json:"free_pages"`

	// Leaked counts the pages that are neither in use nor free. In a file
	// without a FaultStructure they are room that libdb2 lost, and harmless; with
	// one, there may be records on them. LeakedPages are the first of them.
	Leaked      uint32   `json:"leaked_pages"`
	LeakedPages []uint32 `json:"leaked_page_numbers,omitempty"`

	// Faults are in the order in which they were met; Counts has all, by kind.
	Faults []Fault           `json:"faults,omitempty"`
	Counts map[FaultKind]int `json:"fault_counts,omitempty"`
}

// Good says that there are no faults. Leaked pages are none.
func (r *CheckReport) Good() bool { return len(r.Counts) == 0 }

// Whole says that every record of the file could be read, so that a dump has
// them all, and loading it mends all faults.
func (r *CheckReport) Whole() bool {
	return r.Counts[FaultStructure] == 0 && r.Counts[FaultRecord] == 0
}

func (r *CheckReport) add(f Fault) {
	if r.Counts == nil {
		r.Counts = make(map[FaultKind]int)
	}
	r.Counts[f.Kind]++
	if len(r.Faults) < MaxFaults {
		r.Faults = append(r.Faults, f)
	}
}

// Check goes through a whole file, and on behind a fault as far as it can. Of a
// btree it compares the ways to the leaves with each other: the tree, the links
// to both sides, and a search for each key (reference kdb-formats.md 5.6). Of a
// hash only the first fault of the structure is found. decode is for each
// record, such as [DecodePrincipal]; its error is a fault of that record.
//
// It holds a byte for each page. The error is one of reading the file.
func Check(r Records, decode func(key, data []byte) error) (*CheckReport, error) {
	if h, is := r.(*Hash); is {
		return checkHash(h, decode)
	}
	f, is := r.(*File)
	if !is {
		return nil, fmt.Errorf("check: unknown kind of file %T", r)
	}
	c := &checker{file: f, decode: decode, report: &CheckReport{Kind: Btree, PageSize: f.pageSize, Pages: f.pages}}
	if f.pages == 0 {
		return c.report, nil
	}
	c.use = make([]pageUse, f.pages)
	c.use[metaPage] = inUse
	c.room = int64(f.pages) * sharedChains
	c.tree(rootPage, metaPage, 0)
	c.ends()
	c.freeList()
	c.leaked()
	return c.report, c.err
}

func checkHash(h *Hash, decode func(key, data []byte) error) (*CheckReport, error) {
	rep := &CheckReport{Kind: HashedTable, PageSize: h.pageSize, Pages: h.pages}
	err := h.Records(func(key, data []byte) error {
		rep.Records++
		if err := decode(key, data); err != nil {
			rep.add(recordFault(0, 0, key, err))
		}
		return nil
	})
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		rep.add(corrupt.fault())
		err = nil
	}
	return rep, err
}

func (e *CorruptError) fault() Fault {
	return Fault{Kind: FaultStructure, Page: e.Page, Offset: e.Offset, Record: e.Record, Text: e.Msg}
}

// recordFault is for a record that cannot be decoded. at is where it is in the
// page.
func recordFault(page uint32, at int, key []byte, err error) Fault {
	f := Fault{Kind: FaultRecord, Page: page, Offset: at, Record: recordName(key), Text: err.Error()}
	var bad *RecordError
	if errors.As(err, &bad) {
		f.Text = fmt.Sprintf("byte %d of the record: %s", bad.Offset, bad.Msg)
	}
	return f
}
