// Package profile reads krb5.conf and kdc.conf as MIT's libraries read them
// (reference kprop-protocol.md chapter 18, kdb-formats.md chapter 7), and
// answers what kprop and kpropd ask of them: the default realm, its KDCs, the
// canonical names of hosts, encryption types, keytab and replay cache, and the
// places of the database.
//
// The measure is krb5 1.20.1 as Debian 12 ships it; testdata/recorded.json holds
// answers of that library. Where the reference describes another release, 1.20.1
// wins: a final marker (*) on a section or subsection stops the search in later
// files only, and one on a relation does nothing.
package profile

import (
	"slices"
	"time"
)

// Profile is the content of a list of configuration files. It does not change
// after Load and is safe for concurrent use.
type Profile struct {
	files   []*file
	read    []string
	sources []string

	env      func(string) string
	realm    string
	layout   Layout
	resolver Resolver
	hostname func() (string, error)
	domains  func() []string
	user     userInfo
}

// file is the tree of one file of the list, with all that it includes.
type file struct {
	root *section
}

// section is a section or subsection. Sections of the same name in one file
// are one.
type section struct {
	subs  map[string]*section
	rels  map[string][]relation
	final bool // the search does not go on to later files of the list
}

type relation struct {
	value string
	file  string
	line  int
}

func newSection() *section {
	return &section{subs: map[string]*section{}, rels: map[string][]relation{}}
}

// sub finds or makes a subsection.
func (s *section) sub(name string) *section {
	if s.subs[name] == nil {
		s.subs[name] = newSection()
	}
	return s.subs[name]
}

// Files returns the names of the files that were really read, included ones
// too, each after the file that includes it.
func (p *Profile) Files() []string { return slices.Clone(p.read) }

// Sources returns the names of the files and directories that Load looked for,
// also of those that are not there or have nothing in them, besides Files.
func (p *Profile) Sources() []string { return slices.Concat(p.sources, p.read) }

// walk calls f with the section at path in each file that has it, in the
// order of the list, up to a section marked as final.
func (p *Profile) walk(path []string, f func(*section)) {
	for _, file := range p.files {
		s, final := file.root, false
		for _, name := range path {
			if s = s.subs[name]; s == nil {
				break
			}
			final = final || s.final
		}
		if s != nil {
			f(s)
		}
		if final {
			return
		}
	}
}

// relations returns all relations at path, in order.
func (p *Profile) relations(path []string) []relation {
	if len(path) == 0 {
		return nil
	}
	var found []relation
	last := len(path) - 1
	p.walk(path[:last], func(s *section) { found = append(found, s.rels[path[last]]...) })
	return found
}

// Value returns the first value of the relation at path (section, subsections,
// tag), as MIT's profile_get_string does.
func (p *Profile) Value(path ...string) (string, bool) {
	if r := p.relations(path); len(r) > 0 {
		return r[0].value, true
	}
	return "", false
}

// LastValue returns the last value of the relation at path. MIT's
// administration library, which reads the [realms] part of kdc.conf for
// kpropd and kdb5_util, takes the last value where all else takes the first.
func (p *Profile) LastValue(path ...string) (string, bool) {
	if r := p.relations(path); len(r) > 0 {
		return r[len(r)-1].value, true
	}
	return "", false
}

// Values returns all values of the relation at path, over all files, in order.
func (p *Profile) Values(path ...string) []string {
	var values []string
	for _, r := range p.relations(path) {
		values = append(values, r.value)
	}
	return values
}

// Subsections returns the names of the sections below path, each once, sorted
// within a file. No path gives the sections at top level.
func (p *Profile) Subsections(path ...string) []string {
	var names []string
	p.walk(path, func(s *section) { names = appendNew(names, sortedKeys(s.subs)) })
	return names
}

// Names returns the tags of the relations in the section at path, each once,
// sorted within a file.
func (p *Profile) Names(path ...string) []string {
	var names []string
	p.walk(path, func(s *section) { names = appendNew(names, sortedKeys(s.rels)) })
	return names
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func appendNew(list, more []string) []string {
	seen := make(map[string]bool, len(list))
	for _, s := range list {
		seen[s] = true
	}
	for _, s := range more {
		if !seen[s] {
			list = append(list, s)
		}
	}
	return list
}

// Bool returns the first value at path as a truth value, or def if there is
// none. Text that is neither true nor false gives def and a *ValueError.
func (p *Profile) Bool(def bool, path ...string) (bool, error) {
	return first(p, def, path, parseBool)
}

// Int returns the first value at path as a decimal number of 32 bits, or
// def if there is none. Anything else gives def and a *ValueError.
func (p *Profile) Int(def int, path ...string) (int, error) {
	return first(p, def, path, parseInt)
}

// Duration returns the first value at path as a duration (see ParseDuration),
// or def if there is none. Anything else gives def and a *ValueError.
func (p *Profile) Duration(def time.Duration, path ...string) (time.Duration, error) {
	return first(p, def, path, ParseDuration)
}

func first[T any](p *Profile, def T, path []string, parse func(string) (T, error)) (T, error) {
	r := p.relations(path)
	if len(r) == 0 {
		return def, nil
	}
	return parseRelation(r[0], def, path, parse)
}

func last[T any](p *Profile, def T, path []string, parse func(string) (T, error)) (T, error) {
	r := p.relations(path)
	if len(r) == 0 {
		return def, nil
	}
	return parseRelation(r[len(r)-1], def, path, parse)
}

func parseRelation[T any](r relation, def T, path []string, parse func(string) (T, error)) (T, error) {
	v, err := parse(r.value)
	if err != nil {
		return def, r.invalid(path, err)
	}
	return v, nil
}
