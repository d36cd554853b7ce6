package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is one thing that is wrong with the file. Its text is one line and
// holds no secret.
type Error struct {
	File    string
	Line    int    // 1 is the first; 0: the whole file
	Column  int    // in characters, 1 is the first; 0: not known
	Key     string // such as "replicas[2].rate_limit"; empty: none
	Problem string
	Allowed string // what could be there instead; may be empty
	Err     error  // the cause, if there is one to ask for, else nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Problem)
	if e.Allowed != "" {
		b.WriteString(" (allowed: " + e.Allowed + ")")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// maxProblems bounds what one file can cause to be printed, and maxKept what
// is kept of it for putting into order.
const (
	maxProblems = 50
	maxKept     = 200
)

// problems collects what is wrong with a file.
type problems struct {
	file  string
	list  []*Error
	known map[string]bool // texts, since inherited values are looked at more than once
	added int             // with those that were known
	more  int             // that were not looked at
}

// full says that there are so many that details are a waste of time.
func (p *problems) full() bool { return p.added >= maxKept }

func (p *problems) add(e *Error) {
	if p.full() {
		p.more++
		return
	}
	p.added++
	e.File = p.file
	text := e.Error()
	if p.known[text] {
		return
	}
	if p.known == nil {
		p.known = map[string]bool{}
	}
	p.known[text] = true
	p.list = append(p.list, e)
}

// err joins the problems in the order of the file; nil if there are none.
func (p *problems) err() error {
	slices.SortStableFunc(p.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, 0, min(len(p.list), maxProblems+1))
	for i, e := range p.list {
		if i == maxProblems {
			more := fmt.Sprintf("%d more problems are not shown", len(p.list)-i+p.more)
			errs = append(errs, &Error{File: p.file, Problem: more})
			break
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// quote puts outside text into a line: in quotes, and cut if it is long.
func quote(s string) string {
	const most = 60
	if len(s) <= most {
		return strconv.Quote(s)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "..."
}
