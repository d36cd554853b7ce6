package config

import (
	"bytes"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// fault is what the YAML library says, and what it means.
type fault struct {
	says    string
	problem string
	// opening says that the line where something begins matters, not the one
	// in which it proves wrong.
	opening bool
}

var faults = []fault{
	{says: "did not find expected ',' or ']'", problem: "a [ without its ], or without a comma between two values", opening: true},
	{says: "did not find expected ',' or '}'", problem: "a { without its }, or without a comma between two keys", opening: true},
	{says: "found unexpected end of stream", problem: "a quote that is not closed", opening: true},
	{says: "could not find expected ':'", problem: "this line has no key with a colon and a blank behind it", opening: true},
	{says: "mapping values are not allowed",
		problem: "a colon where none can be; indent the line like those above it, and put a text with a colon and a blank in quotes"},
	{says: "did not find expected key",
		problem: "this line does not continue what stands above it; check its indentation, and the quotes and brackets before"},
	{says: "did not find expected '-' indicator",
		problem: "this line does not continue the list above it; each item has a - in front, at the same indentation"},
	{says: "block sequence entries are not allowed",
		problem: "a - behind a key or text; begin the list on a line of its own, or write [a, b]"},
	{says: "did not find expected node content", problem: "a bracket or comma where a value should be"},
	{says: "did not find expected <document start>",
		problem: "this line follows a value that is complete already; write keys, each with a colon, a blank and its value"},
	{says: "found unknown escape character", problem: "an unknown escape; write \\\\ for a backslash, or use single quotes"},
	{says: "found incompatible YAML document", problem: "another version of YAML; remove the line"},
}

// syntax complains about what the library says of a text that is not YAML.
func (r *reader) syntax(text []byte, err error) {
	says := what(err)
	if e := r.unquoted(text, says); e != nil {
		r.add(e)
		return
	}
	i := slices.IndexFunc(faults, func(f fault) bool { return strings.Contains(says, f.says) })
	if i < 0 {
		r.add(&Error{Line: proved(text, says), Problem: "is not YAML: " + says})
		return
	}
	f := faults[i]
	line := 0
	if f.opening {
		line = opened(text)
	} else {
		line = proved(text, says)
	}
	r.add(&Error{Line: line, Problem: f.problem})
}

// unquoted knows the mistake that a schedule invites: @every 5m and */5 * * * *
// mean something else in YAML unless they are in quotes.
func (r *reader) unquoted(text []byte, says string) *Error {
	switch {
	case strings.Contains(says, "cannot start any token"):
	case strings.Contains(says, "expected alphabetic or numeric"):
	case strings.Contains(says, "unknown anchor"):
	default:
		return nil
	}
	line := proved(text, says)
	rows := bytes.Split(text, []byte("\n"))
	if line < 1 || line > len(rows) {
		return nil
	}
	found := regexp.MustCompile("(?:^|[:,\\[{-])[ \t]*([@`%*&!])").FindSubmatch(rows[line-1])
	if found == nil {
		return nil
	}
	return &Error{Line: line, Problem: "a text that begins with " + string(found[1]) + " must be in quotes",
		Allowed: `schedule: "@every 5m", schedule: "*/5 * * * *"`}
}

// what is the library's message without its prefix and line.
func what(err error) string {
	says := strings.TrimPrefix(err.Error(), "yaml: ")
	if place := linePrefix(says); place != "" {
		says = says[len(place):]
	}
	return says
}

func linePrefix(says string) string { return regexp.MustCompile(`^line \d+: `).FindString(says) }

// proved is the line in which the text proves wrong: the last one of the
// shortest piece of it, in lines, of which the library says the same. It
// counts lines itself since the library tells where the structure began.
func proved(text []byte, says string) int {
	ends := []int{}
	for row := range bytes.Lines(text) {
		end := len(row)
		if len(ends) > 0 {
			end += ends[len(ends)-1]
		}
		ends = append(ends, end)
	}
	n := sort.Search(len(ends), func(i int) bool {
		_, err := decode(text[:ends[i]])
		return err != nil && what(err) == says
	})
	return min(n+1, max(1, len(ends)))
}

// opened is the line in which something begins that has no end. The library
// counts it from 0 or 1 and leaves 0 out, so a line is put in front.
func opened(text []byte) int {
	_, err := decode(slices.Concat([]byte("#\n"), text))
	if err == nil {
		return 1
	}
	says := strings.TrimPrefix(err.Error(), "yaml: ")
	line, _ := strconv.Atoi(strings.Trim(linePrefix(says), "line: "))
	// What the parser finds, unlike the scanner, is counted from 0.
	if !strings.Contains(says, "did not find expected") {
		line--
	}
	return max(1, line)
}
