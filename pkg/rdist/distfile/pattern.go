package distfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Pattern is a regular expression of except_pat: a basic regular expression as
// ed has it, with . * ^ $ [ ] \( \) and \1 to \9. The characters + ? | { and }
// stand for themselves, also behind a backslash; so do the names of classes
// such as [:upper:]. It works on octets.
//
// A Pattern is safe for concurrent use.
type Pattern struct {
	text   string
	regexp *regexp.Regexp // takes each octet for a character
	back   *backtracker   // instead of it, if there are back references
}

// CompilePattern reads a regular expression. The errors are worded as those of
// the C library.
func CompilePattern(text string) (*Pattern, error) {
	r := expressionReader{text: text}
	e, err := r.read()
	if err != nil {
		return nil, err
	}
	if r.backReferences {
		return &Pattern{text: text, back: newBacktracker(e)}, nil
	}
	var b strings.Builder
	b.WriteString("(?s)")
	e.translate(&b)
	compiled, err := regexp.Compile(b.String())
	if err != nil {
		return nil, errors.New("Regular expression too big")
	}
	return &Pattern{text: text, regexp: compiled}, nil
}

// String is the expression as it was given to CompilePattern.
func (p *Pattern) String() string { return p.text }

// Match reports whether the pattern matches anywhere in s. It takes time in
// proportion to s, except for a pattern with back references: for one of these
// it gives up with an error where too many ways would have to be tried.
func (p *Pattern) Match(s string) (bool, error) {
	if p.back == nil {
		return p.regexp.MatchString(oneByOne(s)), nil
	}
	yes, ok := p.back.match(s)
	if !ok {
		return false, fmt.Errorf("the regular expression %q with its back references takes too long for %q: "+
			"write it without \\1 to \\9, or with fewer *", p.text, s)
	}
	return yes, nil
}

// oneByOne makes a character of each octet.
func oneByOne(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			var b strings.Builder
			for j := range len(s) {
				b.WriteRune(rune(s[j]))
			}
			return b.String()
		}
	}
	return s
}

// translate writes an expression without back references for package regexp.
func (e expression) translate(b *strings.Builder) {
	for _, n := range e {
		switch n.kind {
		case nodeStart:
			b.WriteString(`^`)
		case nodeEnd:
			b.WriteString(`$`)
		case nodeAny:
			b.WriteString(`.`)
		case nodeGroup:
			b.WriteString(`(?:`)
			n.inner.translate(b)
			b.WriteString(`)`)
		case nodeSet:
			n.set.translate(b)
		}
		if n.star {
			b.WriteString(`*`)
		}
	}
}

func (s *octetSet) translate(b *strings.Builder) {
	b.WriteString(`[`)
	for low := 0; low < 256; low++ {
		if !s.has(byte(low)) {
			continue
		}
		high := low
		for high < 255 && s.has(byte(high+1)) {
			high++
		}
		fmt.Fprintf(b, `\x{%x}-\x{%x}`, low, high)
		low = high
	}
	if *s == (octetSet{}) {
		// Go has no empty class: take what no octet is.
		b.WriteString(`\x{100}`)
	}
	b.WriteString(`]`)
}
