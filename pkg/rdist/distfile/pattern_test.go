package distfile

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no string // separated by blanks
	}{
		{"a.b", "axb xa.bx a\u00e9\u00e9b/a_b", "ab ba"},
		{"^a", "a ab", "ba"},
		{"b$", "b ab", "ba"},
		{`^\.`, ".x", "x. x"},
		{`\.o$`, "a.o /x/.o", "a.o.c ao"},
		{"a*b", "b aab", "x a"},
		{"^a*b$", "b ab aab", "x aba"},
		{"[^/]x", "ax", "/x x"},
		{"[]a]", "] a", "["},
		{"[^]a]", "b", "] a"},
		{"[a-c-]", "b -", "d"},
		{"[-a]", "- a", "b"},
		{`[\.]`, `\ .`, "a"},
		{"[*.^$]", "* . ^ $", "a"},
		{`\(ab\)*c`, "c ababc xc", "ab"},
		{`^\(ab*\)*$`, "a abba", "b"},
		{`\(^a\|b$\)`, "a|b", "xa|b a|bx"},
		{`x\(b$\)`, "xb", "xbx"},
		// These are operators elsewhere.
		{"a+b", "a+b", "ab aab"},
		{"a?b", "a?b", "ab b"},
		{"a|b", "a|b", "a b"},
		{`a\+b\?c\|d`, "a+b?c|d", "abcd"},
		{`a\{2\}`, "a{2}", "aa"},
		{"(a){1}", "(a){1}", "a"},
		{"[[:upper:]]", "u] :]", "U ]"},
		// Not special where they stand.
		{"*a", "*a x*a", "a"},
		{`^*a`, "*a", "a x*a"},
		{`\(*a\)`, "*a", "a"},
		{"a^b$c", "a^b$c", "abc"},
		{`\^a\$`, "^a$", "a"},
		{`\n\/`, "n/", `\n`},
		// Octets.
		{"^..$", "\u00e9", "\u20ac a"},
		{"^.$", "\xe9 a", "\u00e9"},
		{"[\xe9]", "\xe9 x\u20ac\xe9", "\xe8"},
		// Back references.
		{`\(ab\)\1`, "abab", "ab abxab"},
		{`^\(.*\)/\1$`, "x/x ab/ab /", "x/y a/ab"},
		{`^\(a*\)b\1$`, "b aba aabaa", "aab abaa"},
		{`\(a\(b\)*\)\2`, "abb", "ab"},
		{`\([ab]\)*x\1`, "abxb", "abxa x"},
		{`^\(\(a\)\2\)\1$`, "aaaa", "aaa aaaaa"},
	}
	for _, test := range tests {
		p, err := CompilePattern(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		for i, list := range []string{test.yes, test.no} {
			for s := range strings.FieldsSeq(list) {
				if got, err := p.Match(s); err != nil || got != (i == 0) {
					t.Errorf("%s matches %q: %v %v", test.pattern, s, got, err)
				}
			}
		}
		if p.String() != test.pattern {
			t.Errorf("%s is printed %s", test.pattern, p)
		}
	}
}

func TestPatternMistakes(t *testing.T) {
	deep := strings.Repeat(`\(`, maxNesting+1) + strings.Repeat(`\)`, maxNesting+1)
	tests := []struct {
		pattern string
		want    error
	}{
		{"[a", errSet}, {"[", errSet}, {"[]", errSet}, {"[^]", errSet}, {"[a-", errSet}, {"[b-a]", errRange},
		{`\(a`, errGroup}, {`a\)`, errNoGroup}, {`\(a\)\)`, errNoGroup}, {`a\`, errBackslash},
		{`\1`, errReference}, {`\(a\1\)`, errReference}, {`\(a\)\2`, errReference}, {deep, errTooBig},
	}
	for _, test := range tests {
		if _, err := CompilePattern(test.pattern); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", short(test.pattern), err, test.want)
		}
	}
}

// TestPatternTakesTooLong: no answer is better than a wrong one.
func TestPatternTakesTooLong(t *testing.T) {
	p, err := CompilePattern(`\(a*\)*\(a*\)*\(a*\)*b\1`)
	if err != nil {
		t.Fatal(err)
	}
	if yes, err := p.Match(strings.Repeat("a", 5000)); yes || err == nil || !strings.Contains(err.Error(), "takes too long") {
		t.Errorf("%v %v", yes, err)
	}
	if yes, err := p.Match("aba"); !yes || err != nil {
		t.Errorf("%v %v", yes, err)
	}
	e := Entry{Commands: []Command{{Kind: Except, Names: []string{"x"}}, {Kind: ExceptPat, Patterns: []*Pattern{p}}}}
	if yes, err := e.Excepted("x"); !yes || err != nil {
		t.Errorf("%v %v", yes, err)
	}
	if _, err := e.Excepted(strings.Repeat("a", 5000)); err == nil {
		t.Error("an entry hides that a pattern takes too long")
	}
}

// randomPattern makes one of the parts that mean the same to grep.
func randomPattern(r *rand.Rand, back bool) string {
	parts := []string{"a", "b", ".", "*", "^", "$", "[ab]", "[^a]", "[^]b]", "a*", ".*", `\.`, `\*`, `\(a\)`, `\(.b*\)`, `\(^a*\)`, `\(b$\)`}
	if back {
		parts = append(parts, `\1`, `\1`, `\2`)
	}
	var b strings.Builder
	for range 1 + r.IntN(6) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

// TestPatternLikeGrep compares with grep, whose basic regular expressions are
// ed's, but for what the parts leave out.
func TestPatternLikeGrep(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var lines []string
	for range 300 {
		var line strings.Builder
		for range r.IntN(8) {
			line.WriteByte("aabb.*^$x"[r.IntN(9)])
		}
		lines = append(lines, line.String())
	}
	input := strings.Join(lines, "\n") + "\n"
	starredGroup := regexp.MustCompile(`\\\)\*|\\[12]\*`) // which repetition \1 means is not agreed upon
	compared := 0
	for compared < 250 {
		back := compared%2 == 1
		text := randomPattern(r, back)
		p, err := CompilePattern(text)
		if err != nil || back && starredGroup.MatchString(text) {
			continue
		}
		compared++
		grep := exec.Command("grep", "-e", text)
		grep.Env = []string{"LC_ALL=C"}
		grep.Stdin = strings.NewReader(input)
		var stderr bytes.Buffer
		grep.Stderr = &stderr
		out, err := grep.Output()
		var exit *exec.ExitError
		if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
			t.Fatalf("grep -e %s: %v %s", text, err, stderr.String())
		}
		var ours strings.Builder
		for _, line := range lines {
			yes, err := p.Match(line)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if yes {
				fmt.Fprintln(&ours, line)
			}
		}
		if ours.String() != string(out) {
			t.Errorf("%s: ours\n%s\ngrep's\n%s", text, ours.String(), out)
		}
	}
}
