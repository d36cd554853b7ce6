package distfile

import "strings"

// list collects entries in the order in which they are worked off.
type list struct {
	runs  []*run // entries of the same name that stand together
	first map[string]*run
	count int
}

type run struct {
	name    string
	entries []Entry
}

// addHost puts an entry behind the others of that host: behind the first of
// the runs that have its name, or else at the end.
func (l *list) addHost(e Entry, host string) {
	e.Host, e.IgnoreNFS = strings.CutSuffix(host, "+")
	if r := l.first[host]; r != nil {
		r.entries = append(r.entries, e)
		l.count++
		return
	}
	l.add(e, host)
}

// add puts an entry at the end.
func (l *list) add(e Entry, name string) {
	l.count++
	if n := len(l.runs); n > 0 && l.runs[n-1].name == name {
		l.runs[n-1].entries = append(l.runs[n-1].entries, e)
		return
	}
	r := &run{name, []Entry{e}}
	l.runs = append(l.runs, r)
	if l.first == nil {
		l.first = map[string]*run{}
	}
	if l.first[name] == nil {
		l.first[name] = r
	}
}

func (l *list) entries() []Entry {
	var all []Entry
	for _, r := range l.runs {
		all = append(all, r.entries...)
	}
	return all
}
