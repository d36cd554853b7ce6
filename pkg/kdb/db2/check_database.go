package db2

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
)

// DatabaseReport is what was found in both files of a database.
type DatabaseReport struct {
	Principals *CheckReport `json:"principals"`
	Policies   *CheckReport `json:"policies"` // nil: the file does not exist
}

// Good says that there are no faults.
func (r *DatabaseReport) Good() bool {
	return r.Principals.Good() && (r.Policies == nil || r.Policies.Good())
}

// Whole says that a dump has every record: see [CheckReport.Whole].
func (r *DatabaseReport) Whole() bool {
	return r.Principals.Whole() && (r.Policies == nil || r.Policies.Whole())
}

// Check checks both files: see [Check]. The error is one of reading them.
func (s *Snapshot) Check() (r *DatabaseReport, err error) {
	r = &DatabaseReport{}
	if r.Principals, err = checkOpened(s.Principals.OpenRecords, s.Principals.Path(), principalDecoder()); err == nil {
		r.Policies, err = checkOpened(s.Policies.OpenRecords, s.Policies.Path(), policyDecoder())
	}
	return r, err
}

// CheckUnlocked is [Snapshot.Check] for the files of a copy of a database, which
// nobody may write meanwhile. That of the policies need not exist.
func CheckUnlocked(database string) (r *DatabaseReport, err error) {
	r = &DatabaseReport{}
	if r.Principals, err = checkPath(database, principalDecoder()); err != nil {
		return r, err
	}
	r.Policies, err = checkPath(database+PolicySuffix, policyDecoder())
	if errors.Is(err, fs.ErrNotExist) {
		r.Policies, err = nil, nil
	}
	return r, err
}

func checkPath(path string, decode func(key, data []byte) error) (*CheckReport, error) {
	f, err := osutil.OpenRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return checkOpened(func() (Records, error) { return OpenRecords(f, st.Size(), path) }, path, decode)
}

// checkOpened makes what is wrong with a file's first page a fault too.
func checkOpened(open func() (Records, error), path string, decode func(key, data []byte) error) (*CheckReport, error) {
	r, err := open()
	var corrupt *CorruptError
	switch {
	case errors.As(err, &corrupt):
		rep := &CheckReport{}
		rep.add(corrupt.fault())
		return rep, nil
	case errors.Is(err, ErrFormat):
		rep := &CheckReport{}
		rep.add(Fault{Kind: FaultStructure, Text: strings.TrimPrefix(err.Error(), path+": ")})
		return rep, nil
	case err != nil:
		return nil, err
	}
	rep, err := Check(r, decode)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", path, err)
	}
	return rep, nil
}

func principalDecoder() func(key, data []byte) error {
	var p dump.Principal
	return func(key, data []byte) error { return DecodePrincipal(&p, key, data) }
}

func policyDecoder() func(key, data []byte) error {
	var p dump.Policy
	return func(key, data []byte) error { return DecodePolicy(&p, key, data) }
}
