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
	isDir  bool
}

// mayList reports whether the server may be asked for the listing of a
// directory: where queries have no other answers, and no more than these are to
// be asked for.
func (j *job) mayList(opts option.Set) bool {
	const others = option.ChkNFS | option.ChkReadonly | option.ChkSym | option.Compare | option.NoDescend
	return j.session.has(wire.ExtList) && opts&others == 0 && j.listings < maxListings && j.update == nil
}

// readListing reads a listing that was asked for in that generation of answers;
// nil: the server does not tell.
func (j *job) readListing(dir string, generation int) (*listing, error) {
	l := &listing{generation: generation}
	for {
		line, err := j.session.line()
		if err != nil {
			return nil, err
		}
		switch {
		case line.Op == wire.OpEnd && line.Text == "":
			j.listings += l.octets
			return l, nil
		case line.Op == wire.OpNo && line.Text == "":
			return nil, nil
		case line.Op != wire.OpYes && line.Op != wire.OpDirectory && line.Op != wire.OpQuery:
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
		e := listed{name: name, answer: wire.Line{Op: line.Op, Text: answer}, isDir: line.Op == wire.OpDirectory}
		if e.isDir {
			e.answer.Op = wire.OpYes
		}
		l.entries = append(l.entries, e)
	}
}

// forget drops a listing, nil too.
func (j *job) forget(l *listing) {
	if l != nil {
		j.listings -= l.octets
	}
}

// find gives what is there by a name.
func (l *listing) find(name string) listed {
	at, found := slices.BinarySearchFunc(l.entries, name, func(e listed, name string) int { return strings.Compare(e.name, name) })
	if !found {
		return listed{answer: wire.Line{Op: wire.OpNo}}
	}
	return l.entries[at]
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
