package dump

import (
	"bytes"
	"errors"
	"io"
)

// DiffOptions says what a comparison looks at. The zero value compares all
// that a propagation is for.
type DiffOptions struct {
	// Logins compares also what a login changes and iprop does not replicate:
	// last_success, last_failed and fail_auth_count.
	Logins bool
	// Values shows the values of string attributes, which may hold secrets.
	// Without it a FieldChange only names the attribute.
	Values bool
	// MaxLine bounds a line, in bytes; 0 means DefaultMaxLine.
	MaxLine int
}

// ChangeKind says what became of a record, or of an element of one.
type ChangeKind string

// The kinds of a change, seen from the first dump to the second.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is a record that differs between two dumps. It never holds bytes of a
// key.
type Change struct {
	Kind   ChangeKind
	Policy bool   // a policy; otherwise a principal
	Name   string // as in the dump, which may hold any byte but TAB, LF and NUL
	// MasterKey says that the record is the master key entry, and that its
	// keys differ: what one stash opens, it may not open in the other dump.
	MasterKey bool
	Fields    []FieldChange // of a changed record; at least one
}

// FieldChange is one difference within a record. Which members have a value
// depends on the field; [FieldChange.String] words all of them.
type FieldChange struct {
	// Field names what differs, by a word that never changes: "kvno",
	// "enctypes", "keys", "salt", "expiration", ... (docs/verify.md).
	Field string `json:"field"`
	// Key is the element of a field that has several: the name of a string
	// attribute, the type of a tl_data, the kvno of an old key.
	Key string `json:"key,omitempty"`
	// Kind says of an element, or of a value that is not shown, what became of
	// it; empty if the members below say all.
	Kind ChangeKind `json:"kind,omitempty"`
	// Old and New are the values as text. Times are in UTC (RFC 3339) or
	// "never", durations as kadmin takes them; empty means none.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Plus and Minus are what a set gained and lost. Attributes are as kadmin's
	// modprinc takes them: a gained "-allow_tix" is in Minus as allow_tix.
	Plus  []string `json:"plus,omitempty"`
	Minus []string `json:"minus,omitempty"`
}

// DiffCounts are numbers of records.
type DiffCounts struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Changed int `json:"changed"`
	Same    int `json:"same"`
}

func (c *DiffCounts) count(k ChangeKind) {
	switch k {
	case Added:
		c.Added++
	case Removed:
		c.Removed++
	case Changed:
		c.Changed++
	}
}

// DiffReport is the outcome of a comparison.
type DiffReport struct {
	A, B DiffInput
	// Principals and Policies count the records. Of several with one name the
	// last counts, as a load has it.
	Principals, Policies DiffCounts
	// LoginsOnly counts the principals, among those that are the same, where
	// only what DiffOptions.Logins is about differs.
	LoginsOnly int
	// MasterKey says that the keys of the master key entry differ, or its name,
	// or that one of the dumps has none.
	MasterKey bool
}

// DiffInput is what is known of one of the dumps.
type DiffInput struct {
	*Report
	// Lacks says what the dump lacks for a load: ErrEmpty, ErrNoKM,
	// ErrNoKrbtgt, or ErrWrongRealm, wrapped. It can be compared all the same.
	Lacks error
}

// Equal says that no record differs.
func (r *DiffReport) Equal() bool {
	return r.Principals.differ()+r.Policies.differ() == 0
}

func (c *DiffCounts) differ() int { return c.Added + c.Removed + c.Changed }

// DiffError says in which of the two dumps a comparison failed. It wraps a
// [*FaultError], or an error of reading.
type DiffError struct {
	Second bool // in the second dump
	Err    error
}

func (e *DiffError) Error() string {
	if e.Second {
		return "second dump: " + e.Err.Error()
	}
	return "first dump: " + e.Err.Error()
}

func (e *DiffError) Unwrap() error { return e.Err }

// ErrDiffChanged says that a dump was written to while it was compared.
var ErrDiffChanged = errors.New("the dump was changed while it was read")

// Diff compares two dumps, of any versions, and calls report for each record
// that differs: first for the master key entry, if its keys do, then for the
// principals and then for the policies, each in ascending bytewise order of
// their names. An error of report ends the comparison and is returned as it is;
// all others are [*DiffError]. The report is never nil.
//
// Both dumps are verified first, at the same time; see [Verify]. A dump that
// merely lacks something, as one of selected principals does, is compared.
//
// Each dump is read twice, the second time past whatever is equal byte by byte.
// Where both are in ascending order, as kdb5_util makes them, memory is bounded
// by the longest lines, the policies and one number per principal (8 MiB).
// Otherwise a table of the names is made of the one that is not: about 100
// bytes a principal.
func Diff(a, b io.ReaderAt, opts DiffOptions, report func(*Change) error) (*DiffReport, error) {
	if opts.MaxLine <= 0 {
		opts.MaxLine = DefaultMaxLine
	}
	d := &differ{opts: opts, tell: report}
	inputs := [2]*diffInput{{r: a}, {r: b, second: true}}
	verified := make(chan error, 1)
	go func() { verified <- inputs[1].verify(opts) }()
	err := inputs[0].verify(opts)
	err2 := <-verified
	d.report.A, d.report.B = inputs[0].found, inputs[1].found
	if err != nil {
		return &d.report, err
	}
	if err2 != nil {
		return &d.report, err2
	}
	if err := d.masterKey(inputs[0].found.KM, inputs[1].found.KM); err != nil {
		return &d.report, err
	}
	if err := d.principals(inputs); err != nil {
		return &d.report, err
	}
	return &d.report, d.policies(inputs[0].policies, inputs[1].policies)
}

// differ holds what a comparison needs.
type differ struct {
	opts   DiffOptions
	tell   func(*Change) error
	report DiffReport
	told   string // name of the master key entry, if it was told of
	a, b   parser
	fields []FieldChange
}

// emit counts a change and tells of it.
func (d *differ) emit(counts *DiffCounts, c *Change) error {
	counts.count(c.Kind)
	return d.tell(c)
}

// masterKey tells of the master key entries if their keys differ. A dump that
// lacks one has none to compare.
func (d *differ) masterKey(a, b *Principal) error {
	if a == nil && b == nil {
		return nil
	}
	if a == nil || b == nil || !bytes.Equal(a.Name, b.Name) {
		d.report.MasterKey = true // the names tell of it
		return nil
	}
	d.fields = nil
	if d.compareKeys(a, b); len(d.fields) == 0 {
		return nil
	}
	d.report.MasterKey = true
	d.told = string(a.Name)
	return d.emit(&d.report.Principals, &Change{Kind: Changed, Name: d.told, MasterKey: true, Fields: d.compare(a, b)})
}

func sameKeys(a, b []KeyData) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameKey(&a[i], &b[i]) {
			return false
		}
	}
	return true
}

func sameKey(a, b *KeyData) bool {
	return a.KVNO == b.KVNO && a.Type[0] == b.Type[0] && bytes.Equal(a.Contents[0], b.Contents[0])
}
