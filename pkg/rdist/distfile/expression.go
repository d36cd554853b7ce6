package distfile

import (
	"errors"
	"strings"
)

type nodeKind int

const (
	nodeSet   nodeKind = iota // one octet of a set
	nodeAny                   // any octet
	nodeStart                 // ^
	nodeEnd                   // $
	nodeGroup                 // \( \)
	nodeBack                  // \1 to \9
)

// expression is a regular expression: nodes that match one behind the other.
type expression []*node

type node struct {
	kind  nodeKind
	star  bool // any number of times
	set   octetSet
	inner expression // nodeGroup
	group int        // nodeGroup: its number from 1; nodeBack: that of the group meant
}

// octetSet has a bit for each octet.
type octetSet [4]uint64

func (s *octetSet) add(c byte)      { s[c>>6] |= 1 << (c & 63) }
func (s *octetSet) has(c byte) bool { return s[c>>6]&(1<<(c&63)) != 0 }

// maxGroups is the most groups that \1 to \9 can name; more may be there.
const maxGroups = 9

// maxNesting is the most groups within groups.
const maxNesting = 200

// expressionReader reads a basic regular expression.
type expressionReader struct {
	text           string
	at             int
	groups         int
	closed         [maxGroups + 1]bool // the groups that \1 to \9 may name
	depth          int
	backReferences bool
}

var (
	errGroup     = errors.New(`Unmatched ( or \(`)
	errNoGroup   = errors.New(`Unmatched ) or \)`)
	errSet       = errors.New(`Unmatched [, [^, [:, [., or [=`)
	errRange     = errors.New(`Invalid range end`)
	errReference = errors.New(`Invalid back reference`)
	errBackslash = errors.New(`Trailing backslash`)
	errTooBig    = errors.New(`Regular expression too big`)
)

func (r *expressionReader) read() (expression, error) {
	e, err := r.sequence()
	if err == nil && r.at < len(r.text) {
		return nil, errNoGroup
	}
	return e, err
}

// sequence reads up to the end or to the \) of the group that is open.
func (r *expressionReader) sequence() (expression, error) {
	var e expression
	start := true // nothing has been read that a * could repeat
	for r.at < len(r.text) && !r.ahead(`\)`) {
		c := r.text[r.at]
		if c == '*' && !start {
			e[len(e)-1].star = true
			r.at++
			continue
		}
		n, err := r.one(c, start)
		if err != nil {
			return nil, err
		}
		e = append(e, n)
		start = n.kind == nodeStart
	}
	return e, nil
}

func (r *expressionReader) ahead(what string) bool { return strings.HasPrefix(r.text[r.at:], what) }

// one reads a node without its star. At the start * and ^ are different from
// elsewhere.
func (r *expressionReader) one(c byte, start bool) (*node, error) {
	r.at++
	switch {
	case c == '\\':
		return r.escaped()
	case c == '[':
		return r.bracket()
	case c == '.':
		return &node{kind: nodeAny}, nil
	case c == '^' && start && (r.at == 1 || strings.HasSuffix(r.text[:r.at-1], `\(`)):
		return &node{kind: nodeStart}, nil
	case c == '$' && (r.at == len(r.text) || r.ahead(`\)`)):
		return &node{kind: nodeEnd}, nil
	}
	return literal(c), nil
}

func literal(c byte) *node {
	n := &node{kind: nodeSet}
	n.set.add(c)
	return n
}

// escaped reads what stands behind a backslash.
func (r *expressionReader) escaped() (*node, error) {
	if r.at == len(r.text) {
		return nil, errBackslash
	}
	c := r.text[r.at]
	r.at++
	switch {
	case c == '(':
		return r.parentheses()
	case c >= '1' && c <= '9':
		group := int(c - '0')
		if !r.closed[group] {
			return nil, errReference
		}
		r.backReferences = true
		return &node{kind: nodeBack, group: group}, nil
	}
	return literal(c), nil
}

func (r *expressionReader) parentheses() (*node, error) {
	if r.depth++; r.depth > maxNesting {
		return nil, errTooBig
	}
	r.groups++
	n := &node{kind: nodeGroup, group: r.groups}
	var err error
	if n.inner, err = r.sequence(); err != nil {
		return nil, err
	}
	if !r.ahead(`\)`) {
		return nil, errGroup
	}
	r.at += len(`\)`)
	r.depth--
	if n.group <= maxGroups {
		r.closed[n.group] = true
	}
	return n, nil
}

// bracket reads a set. A ] at its beginning and a - at either end are members.
func (r *expressionReader) bracket() (*node, error) {
	n := &node{kind: nodeSet}
	negated := r.ahead("^")
	if negated {
		r.at++
	}
	for first := true; ; first = false {
		if r.at == len(r.text) {
			return nil, errSet
		}
		low := r.text[r.at]
		r.at++
		if low == ']' && !first {
			break
		}
		high := low
		if r.at+1 < len(r.text) && r.text[r.at] == '-' && r.text[r.at+1] != ']' {
			high = r.text[r.at+1]
			r.at += 2
		}
		if low > high {
			return nil, errRange
		}
		for c := int(low); c <= int(high); c++ {
			n.set.add(byte(c))
		}
	}
	if negated {
		for i := range n.set {
			n.set[i] = ^n.set[i]
		}
	}
	return n, nil
}
