package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// maxDiffPolicies bounds what the policies of a dump may take in memory.
const maxDiffPolicies = 256 << 20

// diffInput is one of the two dumps.
type diffInput struct {
	r        io.ReaderAt
	second   bool
	found    DiffInput
	policies map[string]*Policy
}

func (in *diffInput) fail(err error) error { return &DiffError{Second: in.second, Err: err} }

func (in *diffInput) stream() io.Reader { return io.NewSectionReader(in.r, 0, math.MaxInt64) }

// verify is the first reading. It keeps the policies, of which there are few.
func (in *diffInput) verify(opts DiffOptions) error {
	size := 0
	in.policies = make(map[string]*Policy)
	report, err := Verify(in.stream(), VerifyOptions{
		MaxLine: opts.MaxLine, NativeLoad: true, SampleSize: -1,
		OnPolicy: func(p *Policy) error {
			if size += policySize(p); size > maxDiffPolicies {
				return errors.New("the policies take more than 256 MiB")
			}
			in.policies[string(p.Name)] = p.Clone()
			return nil
		},
	})
	in.found = DiffInput{Report: report}
	switch {
	case err == nil:
	case report.Header.Version != 0 && lacks(err):
		in.found.Lacks = err
	default:
		return in.fail(err)
	}
	return nil
}

// lacks tells a dump that is well formed but lacks something.
func lacks(err error) bool {
	return errors.Is(err, ErrEmpty) || errors.Is(err, ErrNoKM) || errors.Is(err, ErrNoKrbtgt) || errors.Is(err, ErrWrongRealm)
}

func policySize(p *Policy) int {
	const fixed = 400 // the record and its place in the table, about
	size := fixed + len(p.Name) + len(p.AllowedKeysalts)
	for i := range p.TL {
		size += 40 + len(p.TL[i].Data)
	}
	return size
}

// principals gives the lines of a dump's principals in ascending order of their
// names.
type principals interface {
	// next goes to the next principal, and says whether there is one.
	next() (bool, error)
	// line and name are those of the principal, valid until next.
	line() []byte
	name() []byte
}

// first begins the second reading and goes to the first principal.
func (in *diffInput) first(opts DiffOptions) (principals, bool, error) {
	p, err := in.principals(opts)
	if err != nil {
		return nil, false, err
	}
	ok, err := p.next()
	return p, ok, err
}

func (in *diffInput) principals(opts DiffOptions) (principals, error) {
	s := &sortedPrincipals{diffInput: in, src: lineSource{r: in.stream(), max: opts.MaxLine}}
	if _, err := s.src.next(); err != nil {
		return nil, in.fail(changedMeanwhile(err))
	}
	if in.found.Sorted {
		return s, nil
	}
	return s.table()
}

// changedMeanwhile is for what the first reading would have found.
func changedMeanwhile(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrLongLine) {
		return ErrDiffChanged
	}
	return fmt.Errorf("read dump: %w", err)
}

// sortedPrincipals reads a dump that is in order.
type sortedPrincipals struct {
	*diffInput
	src       lineSource
	at        int64 // behind the line
	text, nam []byte
	last      []byte // name before
	count     int
}

func (s *sortedPrincipals) line() []byte { return s.text }
func (s *sortedPrincipals) name() []byte { return s.nam }

func (s *sortedPrincipals) next() (bool, error) {
	s.last = append(s.last[:0], s.nam...)
	ok, err := s.read()
	if ok && bytes.Compare(s.nam, s.last) <= 0 && s.count > 1 {
		return false, s.fail(ErrDiffChanged)
	}
	return ok, err
}

// read takes the next principal, in whatever order.
func (s *sortedPrincipals) read() (bool, error) {
	for {
		line, err := s.src.next()
		if err == io.EOF && s.count == s.found.Principals {
			return false, nil
		}
		if err != nil {
			return false, s.fail(changedMeanwhile(err))
		}
		s.at += int64(len(line)) + 1
		if bytes.HasPrefix(line, []byte("policy\t")) {
			continue
		}
		name := lineName(line)
		if name == nil {
			return false, s.fail(ErrDiffChanged)
		}
		s.text, s.nam = line, name
		s.count++
		return true, nil
	}
}

// lineName gives the name of a principal's line that was found good, or nil if
// it is none.
func lineName(line []byte) []byte {
	if !bytes.HasPrefix(line, []byte(princ38)) {
		return nil
	}
	size, at := readNumber(line, len(princ38))
	at = skipFields(line, at, 3)
	if end := at + int(size); size > 0 && size <= maxName && end < len(line) && line[end] == '\t' {
		return line[at:end]
	}
	return nil
}

// tableEntry says where a principal's line is.
type tableEntry struct {
	name []byte
	at   int64
	size int
}

// tablePrincipals gives the principals of a dump that is not in order.
type tablePrincipals struct {
	*diffInput
	entries []tableEntry
	buf     []byte
	nam     []byte
}

// table sorts the names. Of several principals with the same name the last
// stays.
func (s *sortedPrincipals) table() (principals, error) {
	entries := make([]tableEntry, 0, s.found.Principals)
	var names []byte // names are put into pieces of it
	s.at = int64(len(s.found.Header.String())) + 1
	for {
		ok, err := s.read()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if len(names)+len(s.nam) > cap(names) {
			names = make([]byte, 0, max(64<<10, len(s.nam)))
		}
		names = append(names, s.nam...)
		entries = append(entries, tableEntry{
			name: names[len(names)-len(s.nam) : len(names) : len(names)],
			at:   s.at - int64(len(s.text)) - 1, size: len(s.text),
		})
	}
	slices.SortFunc(entries, func(x, y tableEntry) int {
		if c := bytes.Compare(x.name, y.name); c != 0 {
			return c
		}
		return int(min(1, max(-1, y.at-x.at)))
	})
	entries = slices.CompactFunc(entries, func(x, y tableEntry) bool { return bytes.Equal(x.name, y.name) })
	return &tablePrincipals{diffInput: s.diffInput, entries: entries}, nil
}

func (t *tablePrincipals) line() []byte { return t.buf }
func (t *tablePrincipals) name() []byte { return t.nam }

func (t *tablePrincipals) next() (bool, error) {
	if len(t.entries) == 0 {
		return false, nil
	}
	e := t.entries[0]
	t.entries = t.entries[1:]
	if cap(t.buf) < e.size {
		t.buf = make([]byte, e.size, 2*e.size)
	}
	t.buf, t.nam = t.buf[:e.size], e.name
	if n, err := t.r.ReadAt(t.buf, e.at); n < e.size {
		return false, t.fail(changedMeanwhile(err))
	}
	if !bytes.Equal(lineName(t.buf), e.name) {
		return false, t.fail(ErrDiffChanged)
	}
	return true, nil
}
