package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

// mapping gives the values of one mapping by their keys. Its methods leave the
// destination alone where the key is absent or its value wrong.
type mapping struct {
	r      *reader
	node   *yaml.Node
	path   string // in front of its keys: "" or "replicas[2]"
	values map[string]*yaml.Node
	places map[string]*yaml.Node // of the keys
}

// mapping reads the keys of n, and complains about those that are unknown or
// there twice. False: n is no mapping.
func (r *reader) mapping(n *yaml.Node, path string, s section) (mapping, bool) {
	allowed := "the keys " + strings.Join(s.keys, ", ")
	if len(s.keys) == 1 {
		allowed = "the key " + s.keys[0]
	}
	m := mapping{r: r, node: n, path: path, values: map[string]*yaml.Node{}, places: map[string]*yaml.Node{}}
	if n.Kind != yaml.MappingNode {
		if s.example != "" {
			allowed += ", such as " + s.example
		}
		r.wrongKind(n, path, "a mapping with "+allowed)
		return m, false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind == yaml.AliasNode || k.Tag == "!!merge":
			// forbidden has complained
		case k.Kind != yaml.ScalarNode:
			r.complain(k, path, "a key is "+kind(k)+", not a word", allowed)
		case !slices.Contains(s.keys, k.Value) && r.full():
			r.more++
		case !slices.Contains(s.keys, k.Value):
			r.complain(k, m.key(keyText(k.Value)), s.unknown(k.Value), allowed)
		case m.values[k.Value] != nil:
			r.complain(k, m.key(k.Value), fmt.Sprintf("is there already in line %d", m.places[k.Value].Line), "")
		default:
			m.values[k.Value], m.places[k.Value] = v, k
		}
	}
	return m, true
}

// keyText is an unknown key for a message.
func keyText(key string) string {
	if key != "" && len(key) <= 40 && strings.IndexFunc(key, func(c rune) bool {
		return !unicode.IsPrint(c) || strings.ContainsRune(" :\"'", c)
	}) < 0 {
		return key
	}
	return quote(key)
}

// key is the full name of a key.
func (m mapping) key(key string) string {
	if m.path == "" {
		return key
	}
	return m.path + "." + key
}

func (m mapping) value(key string) (*yaml.Node, bool) {
	n, ok := m.values[key]
	return n, ok
}

// kind describes a node that is not what was wanted.
func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Tag == "!!null":
		return "empty"
	}
	return quote(n.Value)
}

// wrongKind complains about a node that has neither the right kind nor been
// complained about.
func (r *reader) wrongKind(n *yaml.Node, key, allowed string) {
	switch {
	case n.Kind == yaml.AliasNode:
		// forbidden has complained
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null" && strings.HasSuffix(key, "]"):
		r.complain(n, key, "is empty", allowed)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		r.complain(n, key, "has no value; leave the key out for its default", allowed)
	case n.Kind == yaml.ScalarNode && mayBeSecret(key):
		r.complain(n, key, "is a single value", allowed)
	case n.Kind == yaml.ScalarNode:
		r.complain(n, key, quote(n.Value)+" is a single value"+noBlank(n), allowed)
	default:
		r.complain(n, key, "is "+kind(n), allowed)
	}
}

// scalar gives the text of a value that is neither list nor mapping nor empty.
func (r *reader) scalar(n *yaml.Node, key, allowed string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.wrongKind(n, key, allowed)
		return "", false
	}
	return n.Value, true
}

// text gives the text of a value that YAML does not take for something else.
func (r *reader) text(n *yaml.Node, key, allowed string) (string, bool) {
	s, ok := r.scalar(n, key, allowed)
	if !ok {
		return "", false
	}
	problem := ""
	switch n.Tag {
	case "!!str":
		return s, true
	case "!!bool":
		problem = "is true or false, not a text"
	case "!!timestamp":
		problem = "is a date"
	case "!!int", "!!float":
		problem = "is a number"
	default:
		// A tag, of which forbidden has complained.
		return "", false
	}
	r.complain(n, key, fmt.Sprintf("%s %s; if it is meant as it is, write it in quotes", quote(s), problem), allowed)
	return "", false
}

// checked sets a text that check finds nothing wrong with: check gives the
// problem, such as "is not a host name", or "".
func (m mapping) checked(key string, dst *string, allowed string, check func(string) string) {
	n, ok := m.value(key)
	if !ok {
		return
	}
	s, ok := m.r.text(n, m.key(key), allowed)
	if !ok {
		return
	}
	if problem := check(s); problem != "" {
		m.r.complain(n, m.key(key), quote(s)+" "+problem, allowed)
		return
	}
	*dst = s
}

const allowedPath = "an absolute path"

// file sets an absolute path.
func (m mapping) file(key string, dst *string) { m.checked(key, dst, allowedPath, pathProblem) }

func pathProblem(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > 4095:
		return fmt.Sprintf("has %d bytes, a path has at most 4095", len(s))
	case strings.ContainsFunc(s, unicode.IsControl):
		return "has a control character"
	case !filepath.IsAbs(s):
		return "does not begin with /"
	case strings.HasSuffix(s, "/"):
		return "is a directory"
	}
	return ""
}

func (m mapping) boolean(key string, dst *bool) {
	n, ok := m.value(key)
	if !ok {
		return
	}
	const allowed = "true, false"
	s, ok := m.r.scalar(n, m.key(key), allowed)
	if !ok {
		return
	}
	// YAML 1.1 had the other words too, and they are clear.
	switch word := strings.ToLower(s); {
	case n.Style != 0:
		m.r.complain(n, m.key(key), quote(s)+" is a text because of its quotes", allowed)
	case word == "true" || word == "yes" || word == "on":
		*dst = true
	case word == "false" || word == "no" || word == "off":
		*dst = false
	default:
		m.r.complain(n, m.key(key), quote(s)+" is neither true nor false", allowed)
	}
}

func (m mapping) integer(key string, dst *int, least, most int) {
	n, ok := m.value(key)
	if !ok {
		return
	}
	allowed := fmt.Sprintf("a whole number from %d to %d", least, most)
	s, ok := m.r.scalar(n, m.key(key), allowed)
	if !ok {
		return
	}
	switch i, err := strconv.Atoi(s); {
	case !isDigits(strings.TrimPrefix(s, "-")):
		m.r.complain(n, m.key(key), quote(s)+" is not a whole number", allowed)
	case len(s) > 1 && s[0] == '0':
		m.r.complain(n, m.key(key), quote(s)+" begins with 0, which some read as octal", allowed)
	case err != nil || i < least || i > most:
		m.r.complain(n, m.key(key), number(s)+" is out of range", allowed)
	default:
		*dst = i
	}
}

func (m mapping) float(key string, dst *float64, least, most float64) {
	n, ok := m.value(key)
	if !ok {
		return
	}
	allowed := fmt.Sprintf("a number from %g to %g", least, most)
	s, ok := m.r.scalar(n, m.key(key), allowed)
	if !ok {
		return
	}
	whole, fraction, dot := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	switch f, err := strconv.ParseFloat(s, 64); {
	case !isDigits(whole) || dot && !isDigits(fraction):
		m.r.complain(n, m.key(key), quote(s)+" is not a number", allowed)
	case err != nil || f < least || f > most:
		m.r.complain(n, m.key(key), number(s)+" is out of range", allowed)
	default:
		*dst = f
	}
}

// number is a number for a message.
func number(s string) string {
	if len(s) > 20 {
		return quote(s)
	}
	return s
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// zero says whether a duration may be 0 though that is below the least.
type zero string

// duration sets a duration in the range. With ifZero, 0 is allowed too, and
// has that meaning.
func (m mapping) duration(key string, dst *time.Duration, least, most time.Duration, ifZero zero) {
	n, ok := m.value(key)
	if !ok {
		return
	}
	allowed := fmt.Sprintf("a duration from %s to %s, written like 90s, 1h30m or 7d", formatDuration(least), formatDuration(most))
	if ifZero != "" {
		allowed += "; 0 for " + string(ifZero)
	}
	s, ok := m.r.scalar(n, m.key(key), allowed)
	if !ok {
		return
	}
	d, problem := parseDuration(s)
	switch {
	case problem != "":
	case d == 0 && ifZero != "":
	case d < 0:
		problem = "is negative"
	case d < least:
		problem = "is too short"
	case d > most:
		problem = "is too long"
	}
	if problem != "" {
		m.r.complain(n, m.key(key), quote(s)+" "+problem, allowed)
		return
	}
	*dst = d
}
