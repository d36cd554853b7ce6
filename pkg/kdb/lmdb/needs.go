package lmdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/kprop/kprop/pkg/dump"
)

// Needs is what a dump needs in a klmdb database. [Sizer] makes one.
type Needs struct {
	PageSize   int
	Principals uint64
	Policies   uint64
	// MainPages are the branch and leaf pages of principals and policies,
	// ChainPages those of values too large for a page, which stand one behind the
	// other.
	MainPages, ChainPages uint64
	// LockoutPages are the pages of an empty lockout database after the load.
	LockoutPages uint64
	// AnyOrderLockoutPages bounds the pages that the load adds to a lockout
	// database with other entries in it.
	AnyOrderLockoutPages uint64
	// Sorted says that the principals ascend. Then the pages are exact for LMDB
	// 0.9; else they are a bound that is far above the usual.
	Sorted bool
	// LongestName is the length in bytes of the longest principal or policy name.
	LongestName int
	// Refused are names that klmdb cannot hold, each with its length, 10 at most;
	// MoreRefused counts the rest.
	Refused     []string
	MoreRefused int
}

// Sizer finds out what a dump needs. It holds no more than the last name of each
// kind. It is not safe for concurrent use.
type Sizer struct {
	principals, policies, lockouts treeSize
	needs                          Needs
}

// NewSizer prepares for a database with pages of that many bytes; 0 means those
// that LMDB uses for a new file here. See [PageSize].
func NewSizer(pageSize int) *Sizer {
	if pageSize == 0 {
		pageSize = min(os.Getpagesize(), maxPageSize)
	}
	tree := treeSize{pageSize: pageSize}
	return &Sizer{tree, tree, tree, Needs{PageSize: pageSize}}
}

// PageSize is the page size of the main file of database d, which a load keeps,
// or 0 if there is no such file. It may be called while programs write. Errors
// are those of [Open].
func PageSize(d string) (int, error) {
	f, err := openRegular(mainFile(d), os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	m, err := fileSource(f, mainFile(d)).readMeta(0, 0)
	if err != nil {
		return 0, err
	}
	return m.pageSize, nil
}

// AddPrincipal counts a principal. It keeps nothing of p. As the error is always
// nil, it can be dump.VerifyOptions.OnPrincipal.
func (s *Sizer) AddPrincipal(p *dump.Principal) error {
	s.needs.Principals++
	s.name("principal", p.Name)
	s.principals.add(p.Name, principalSize(p))
	s.lockouts.add(p.Name, lockoutFixed)
	return nil
}

// AddPolicy counts a policy. It keeps nothing of p. It can be
// dump.VerifyOptions.OnPolicy.
func (s *Sizer) AddPolicy(p *dump.Policy) error {
	s.needs.Policies++
	s.name("policy", p.Name)
	s.policies.add(p.Name, policySize(p))
	return nil
}

// shownName bounds how much of a name is shown.
const shownName = 60

func (s *Sizer) name(kind string, name []byte) {
	s.needs.LongestName = max(s.needs.LongestName, len(name))
	if len(name) > 0 && len(name) <= maxKey {
		return
	}
	if len(s.needs.Refused) == 10 {
		s.needs.MoreRefused++
		return
	}
	shown := bytes.Clone(name[:min(len(name), shownName)])
	s.needs.Refused = append(s.needs.Refused, fmt.Sprintf("%s %q... (%d bytes)", kind, shown, len(name)))
}

// Needs returns what the records so far need.
func (s *Sizer) Needs() Needs {
	n := s.needs
	n.MainPages = s.principals.pages() + s.policies.pages()
	n.ChainPages = s.principals.chains + s.policies.chains
	n.LockoutPages = s.lockouts.pages()
	if s.lockouts.entries > 0 {
		n.AnyOrderLockoutPages = s.lockouts.anyOrder()
	}
	n.Sorted = !s.principals.unsorted && !s.policies.unsorted
	return n
}

// Size reads a dump to its end and returns what it needs. The error is that of
// dump.Reader. pageSize is as in [NewSizer].
func Size(r io.Reader, pageSize int) (Needs, error) {
	in, err := dump.NewReader(r)
	if err != nil {
		return Needs{}, err
	}
	return size(in.Next, pageSize)
}

// Needs returns what a dump of the realm would need in its place. Errors are
// those of [Records.Next].
func (r *Realm) Needs() (Needs, error) {
	return size(r.Records().Next, r.main.meta.pageSize)
}

func size(next func() (dump.Record, error), pageSize int) (Needs, error) {
	s := NewSizer(pageSize)
	for {
		rec, err := next()
		if err == io.EOF {
			return s.Needs(), nil
		}
		if err != nil {
			return Needs{}, err
		}
		switch rec := rec.(type) {
		case *dump.Principal:
			_ = s.AddPrincipal(rec)
		case *dump.Policy:
			_ = s.AddPolicy(rec)
		}
	}
}
