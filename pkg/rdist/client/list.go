package client

import (
	"slices"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// maxListings bounds what is kept of the listings of all directories that the
// server is in, in octets.
const maxListings = 4 * wire.MaxListedOctets

// listing is what the server has in a directory, in the order of names.
type listing struct {
	entries    []listed
	octets     int
	generation int // as of an answer
}

type listed struct {
	name   string
	answer wire.Line // to a query; OpQuery: that has to be asked
}

// mayList reports whether the server may be asked for the listing of a
// directory: where queries have no other answers, and no more than these are to
// be asked for.
func (j *job) mayList(opts option.Set) bool {
	const others = option.ChkNFS | option.ChkReadonly | option.ChkSym | option.Compare | option.NoDescend
	return j.session.has(wire.ExtList) && opts&others == 0 && j.listings < maxListings && j.update == nil
}

// readListing reads what comes behind the acknowledgement; nil: the server does
// not tell.
func (j *job) readListing(dir string) (*listing, error) {
	l := &listing{generation: j.generation}
	for {
		line, err := j.session.line()
		if err != nil {
			return nil, err
		}
		switch {
		case line.Op == wire.OpEnd && line.Text == "":
			return l, nil
		case line.Op == wire.OpNo && line.Text == "":
			return nil, nil
		case line.Op != wire.OpYes && line.Op != wire.OpQuery:
			return nil, j.session.outOfStep("list", line)
		}
		answer, name, err := wire.ParseListed(line.Op, line.Text)
		if err != nil || len(l.entries) > 0 && name <= l.entries[len(l.entries)-1].name {
			return nil, j.session.outOfStep("list", line)
		}
		l.octets += len(line.Text) + 2
		if len(l.entries) == wire.MaxListed || l.octets > wire.MaxListedOctets {
			return nil, j.session.over("list: %s tells of more in %s than is listed: the session was ended", j.session.host, dir)
		}
		l.entries = append(l.entries, listed{name, wire.Line{Op: line.Op, Text: answer}})
	}
}

// find gives the answer to a query; false: it has to be asked.
func (l *listing) find(name string) (wire.Line, bool) {
	at, found := slices.BinarySearchFunc(l.entries, name, func(e listed, name string) int { return strings.Compare(e.name, name) })
	if !found {
		return wire.Line{Op: wire.OpNo}, true
	}
	answer := l.entries[at].answer
	return answer, answer.Op != wire.OpQuery
}

// nothingBut reports whether the server has no others than these names, which
// are sorted.
func (l *listing) nothingBut(names []string) bool {
	for _, e := range l.entries {
		if _, here := slices.BinarySearch(names, e.name); !here {
			return false
		}
	}
	return true
}
