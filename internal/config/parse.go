package config

import (
	"gopkg.in/yaml.v3"
)

// Parse reads text, the content of the file name. The error joins one *Error
// for each thing that is wrong, in the order of the file. Text above MaxSize
// is refused.
func Parse(name string, text []byte) (*Config, error) { return parse(name, text, Checks{}) }

func parse(name string, text []byte, checks Checks) (*Config, error) {
	r := &reader{problems: problems{file: name}, checks: checks}
	root := r.document(text)
	if root == nil {
		return nil, r.err()
	}
	c := r.config(root, name)
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// reader walks the nodes of a file and collects what is wrong.
type reader struct {
	problems
	files  []named
	checks Checks
}

// complain notes what is wrong at a node.
func (r *reader) complain(at *yaml.Node, key, problem, allowed string) {
	r.add(&Error{Line: at.Line, Column: at.Column, Key: key, Problem: problem, Allowed: allowed})
}

func (r *reader) config(root *yaml.Node, name string) *Config {
	c := defaultConfig(name)
	m, ok := r.mapping(root, "", topLevel)
	if !ok {
		return c
	}
	m.integer("history", &c.History, 10, 100000)
	if n, ok := m.value("listen"); ok {
		c.Listen = r.listen(n)
	}
	r.hooks(m, &c.Hooks)
	if n, ok := m.value("realms"); ok {
		c.Realms = r.realms(m, n)
	} else {
		s := newSettings()
		r.settings(m, &s)
		r.identity(m, &s)
		c.Realms = []Realm{s.Realm}
	}
	r.overwritten()
	return c
}
