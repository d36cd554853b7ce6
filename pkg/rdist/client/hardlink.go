package client

import (
	"slices"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// linkTable has the files of an entry that have more than one name, until all
// of their names were seen (4.7). Where files are listed they stay to its end: the
// real program counts one that comes twice as two names, and links those that come
// later all the same.
type linkTable map[inode]*linked

type linked struct {
	missing int    // names that were not seen
	path    string // local, of the first name
	remote  string // a name under which the server has the file as it is here; empty: none
	state   presence
}

// presence is whether the server has a file as it is here.
type presence int

const (
	unknown presence = iota
	present          // it had it
	sent             // it has it now
)

// seen counts one name of a file, and what the server has under it.
func (t *linkTable) seen(j *job, it *item, state presence) {
	if it.st.Nlink < 2 || isDir(&it.st) {
		return
	}
	if *t == nil {
		*t = linkTable{}
	}
	l := (*t)[inodeOf(&it.st)]
	if l == nil {
		l = &linked{missing: int(it.st.Nlink), path: it.path}
		(*t)[inodeOf(&it.st)] = l
	}
	l.missing--
	if state != unknown && l.remote == "" {
		l.remote, l.state = j.place.remoteName(it.path), state
	}
	// One name can come again only if it is listed, or in two that are.
	if l.missing == 0 && len(j.entry.Wanted()) == 1 {
		delete(*t, inodeOf(&it.st))
	}
}

// first is what is known of a name that was there before.
func (t linkTable) first(it *item) linked {
	if l := t[inodeOf(&it.st)]; l != nil && it.st.Nlink > 1 {
		return *l
	}
	return linked{}
}

// hardLink has the server link an object to a name that it has. Not done: it
// has to be sent, since a blank would break the line in two.
func (j *job) hardLink(it *item, opts option.Set, existing string) (done bool, err error) {
	line := wire.Targeted{Options: uint32(opts), Old: existing, Name: it.name}.String()
	if strings.Contains(existing, " ") || strings.Contains(it.name, " ") || wire.CheckText(line) != nil {
		return false, nil
	}
	a, err := j.session.ask(wire.OpHardLink, line, it.path)
	state := unknown
	if err == nil && a.ok() {
		state = sent
		j.count.Linked++
		j.updated = true
	}
	j.links.seen(j, it, state)
	return true, err
}

// missingLinks warns of names that are not in the entry.
func (w *work) missingLinks() {
	var open []*linked
	for _, l := range w.links {
		if l.missing != 0 {
			open = append(open, l)
		}
	}
	slices.SortFunc(open, func(a, b *linked) int { return strings.Compare(a.path, b.path) })
	for _, l := range open {
		switch {
		case l.missing < 0:
			w.report.warn("%s: Warning: %d extra links", l.path, -l.missing)
		case l.missing == 1:
			w.report.warn("%s: Warning: 1 missing link", l.path)
		default:
			w.report.warn("%s: Warning: %d missing links", l.path, l.missing)
		}
	}
}
