package profile

import (
	"bytes"
	"strings"
)

// maxLine is the longest line in bytes, its newline included, that MIT reads
// at once. What follows is read as a line of its own.
const maxLine = 2047

// parser reads one file into root. Included files have parsers of their own
// on the same root: they begin outside any section and cannot close the
// braces of the file that includes them.
type parser struct {
	l    *loader
	name string
	line int

	root    *section
	current *section   // nil before the first section header
	outer   []*section // the sections around current, while inside braces
	brace   bool       // the next line must open the braces of current
}

func (p *parser) fail(msg string) error {
	return &SyntaxError{File: p.name, Line: p.line, Msg: msg}
}

// parse reads all lines of data.
func (p *parser) parse(data []byte) error {
	newLine := true
	for len(data) > 0 {
		if newLine {
			p.line++
		}
		n := bytes.IndexByte(data, '\n') + 1
		newLine = n > 0
		if n == 0 {
			n = len(data)
		}
		if n > maxLine {
			n, newLine = maxLine, false
		}
		line := data[:n]
		data = data[n:]
		// C strings: the rest of the line behind a NUL is lost.
		if i := bytes.IndexByte(line, 0); i >= 0 {
			line = line[:i]
		}
		if err := p.parseLine(string(line)); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) parseLine(line string) error {
	if arg, ok := directive(line, "include"); ok {
		return p.l.include(p, arg)
	}
	if arg, ok := directive(line, "includedir"); ok {
		return p.l.includeDir(p, arg)
	}
	if p.current == nil {
		if _, ok := directive(line, "module"); ok {
			return &SyntaxError{File: p.name, Line: p.line, Msg: ErrModule.Error(), Err: ErrModule}
		}
		if !strings.HasPrefix(line, "[") {
			return nil
		}
	}
	if p.brace {
		if !strings.HasPrefix(skipBlanks(line), "{") {
			return p.fail("a line with { must follow after a tag without a value")
		}
		p.brace = false
		return nil
	}
	return p.parseContent(line)
}

// parseContent reads a line that stands below a section header, or is one.
func (p *parser) parseContent(line string) error {
	line = strings.TrimRight(skipBlanks(line), "\r\n")
	switch {
	case line == "", line[0] == '#', line[0] == ';':
		return nil
	case line[0] == '[':
		return p.parseHeader(line[1:])
	case line[0] == '}':
		return p.closeBrace(line[1:])
	}
	return p.parseRelation(line)
}

func (p *parser) parseHeader(s string) error {
	if len(p.outer) > 0 {
		return p.fail("a section header inside of braces: a } is missing above")
	}
	name, rest, ok := strings.Cut(s, "]")
	if !ok {
		return p.fail("a section header without ]")
	}
	p.current = p.root.sub(name)
	if strings.HasPrefix(rest, "*") {
		p.current.final = true
		rest = rest[1:]
	}
	if skipBlanks(rest) != "" {
		return p.fail("text behind a section header (comments need a line of their own)")
	}
	return nil
}

// closeBrace ends a subsection. MIT ignores what follows the brace, but for
// the final marker.
func (p *parser) closeBrace(rest string) error {
	if len(p.outer) == 0 {
		return p.fail("a } without {")
	}
	if strings.HasPrefix(rest, "*") {
		p.current.final = true
	}
	p.current = p.outer[len(p.outer)-1]
	p.outer = p.outer[:len(p.outer)-1]
	return nil
}

func (p *parser) parseRelation(line string) error {
	tag, value, ok := strings.Cut(line, "=")
	if !ok {
		return p.fail("neither a section header nor tag = value")
	}
	if tag == "" {
		return p.fail("no tag before =")
	}
	if i := strings.IndexFunc(tag, isBlankRune); i >= 0 {
		if skipBlanks(tag[i:]) != "" {
			return p.fail("blanks within the tag before =")
		}
		tag = tag[:i]
	}
	value = skipBlanks(value)
	// The marker does nothing on a relation in 1.20.1.
	tag, _, final := strings.Cut(tag, "*")

	switch {
	case strings.HasPrefix(value, `"`):
		value = unquote(value[1:])
	case value == "":
		p.brace = true
		return p.openSection(tag, final)
	case value[0] == '{' && skipBlanks(value[1:]) == "":
		return p.openSection(tag, final)
	default:
		value = strings.TrimRightFunc(value, isBlankRune)
	}
	p.current.rels[tag] = append(p.current.rels[tag], relation{value: value, file: p.name, line: p.line})
	return nil
}

func (p *parser) openSection(tag string, final bool) error {
	if len(p.outer) == maxNesting {
		return p.fail("too many braces within each other")
	}
	p.outer = append(p.outer, p.current)
	p.current = p.current.sub(tag)
	if final {
		p.current.final = true
	}
	return nil
}

// unquote reads a quoted value up to its closing quote; what follows is
// dropped, and a missing closing quote is none.
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && s[i] != '"'; i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			switch c = s[i]; c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// directive returns the argument of an include, includedir or module line. Its
// word must begin in column 0 and be followed by a blank, which may be the end
// of the line. Trailing blanks belong to the argument.
func directive(line, word string) (string, bool) {
	rest, ok := strings.CutPrefix(line, word)
	if !ok || rest == "" || !isBlank(rest[0]) {
		return "", false
	}
	return strings.TrimRight(skipBlanks(rest), "\r\n"), true
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isBlankRune(r rune) bool { return r < 0x80 && isBlank(byte(r)) }

func skipBlanks(s string) string { return strings.TrimLeftFunc(s, isBlankRune) }
