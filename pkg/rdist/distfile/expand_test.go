package distfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// cheaper makes the budget of a distfile smaller, for tests that use it up.
const cheaper = 16

// files parses "WORDS :: s" behind definitions and returns the files, or the
// messages of the mistakes.
func files(t *testing.T, env Env, definitions, words string) string {
	t.Helper()
	p := newParser("df", []byte(definitions+words+" :: s\n"), env)
	p.expand.budget /= cheaper
	p.file()
	if len(p.errs) > 0 {
		var list []string
		for _, e := range p.errs {
			list = append(list, e.Msg)
		}
		return "ERROR " + strings.Join(list, " | ")
	}
	return strings.Join(p.list.entries()[0].Files, " ")
}

func TestExpansion(t *testing.T) {
	const vars = "A = ( 1 2 )\nB = ( x y )\nE = ( )\nN = ( $E z$A )\nO = $B\nQ = \\*\nP = *.c\n"
	tests := []struct{ words, want string }{
		// variables
		{"/$A$B", "/1x /1y /2x /2y"},
		{"/$E$A$E", "/1 /2"},
		{"( $E ${E} )", ""},
		{"/$N.", "/. /z1. /z2."},
		{"( $N )", "z1 z2"},
		{"/$O", "/x /y"},
		{`/\$A$A`, "/$A1 /$A2"},
		{`/\$$\$A`, "ERROR $ undefined"},
		{"$AB", "1B 2B"},
		{"${AB}", "ERROR AB undefined"},
		{"/$", "ERROR no variable name after '$'"},
		{"/${", "ERROR unmatched '{'"},
		{"/${}", "ERROR no variable name after '$'"},
		{"( ${X} ${X}${Y} )", "ERROR X undefined | X undefined | Y undefined"},
		// what is quoted stays so in a variable
		{"g/$Q.c", "g/*.c"},
		{"g/$P", "g/a.c g/b.c"},
		// set operations
		{"$A + $B", "y x 2 1"},
		{"( $A 3 ) - 2", "3 1"},
		{"( a$A ) & a2", "a2"},
		{`( \* * ) - *`, "*"},
		{"( g/*.c ) - ( g/a.c )", "g/a.c g/b.c"},
		{"$E + $E", ""},
		// braces
		{"/{z,a,m}", "/z /a /m"},
		{"/{x,y{1,2},}", "/x /y1 /y2 /"},
		{"{a,b}{c,d}", "ac ad bc bd"},
		{"{,a}", "a"},
		{"{}{}", ""},
		{"( {} { } )", "{} { }"},
		{"a}b,c", "a}b,c"},
		{`/\{a,b}`, "/{a,b}"},
		{`/{a\,b}`, "/a /b"}, // a backslash does nothing to a comma
		{`/{a\{,b\}}`, "/a{ /b}"},
		{"/{a,{b,c", "ERROR Missing '}'"},
		{"/{a,b}}", "/a} /b}"},
		{"/{a,[,],b", "ERROR Missing '}'"},
		{"/{a[b,c}", "ERROR Missing ']'"},
		// patterns
		{"g/*.c", "g/a.c g/b.c"},
		{"g/*", "g/* g/[odd] g/a.c g/b.c g/c.h g/sub1 g/sub2"},
		{`g/\*`, "g/*"},
		{`g/\*\*`, "g/**"},
		{`g/\[odd\]`, "g/[odd]"},
		{`g/[\]d\[]*`, "g/[odd]"},
		{"g/.*", "g/.hidden.c"},
		{"g/?hidden.c", "g/?hidden.c"},
		{"g/[.]hidden.c", "g/[.]hidden.c"},
		{"g/[^a].c", "g/a.c"},
		{"g/[a-b].?", "g/a.c g/b.c"},
		{"g/[-b].c", "g/b.c"},
		{"g/[b-].c", "g/b.c"},
		{"g/[].c", "g/[].c"},
		{"g/[a", "ERROR Missing ']'"},
		{"g/sub*/*.{c,h}", "g/sub1/x.c g/sub2/y.c g/sub2/y.h"},
		{"g/*{.c,c}", "g/a.c g/b.c"},        // behind a pattern: each name once
		{"g/{*.c,a*}", "g/a.c g/b.c g/a.c"}, // before it: alternatives of their own
		{"g/{b*,{*.h,a*}}", "g/b.c g/c.h g/a.c"},
		{"g/{nothing*,a*}", "g/a.c"},
		{"g/{nothing*,none*}", "g/{nothing*,none*}"},
		{"g/*/x.c", "g/sub1/x.c"},
		{"g/*/{y,x}.c", "g/sub1/x.c g/sub2/y.c"},
		{"g/sub?/", "g/sub1/ g/sub2/"},
		{"g//sub?//y.*", "g//sub2//y.c g//sub2//y.h"},
		{"g/*.c/x*", "g/*.c/x*"}, // a file is no directory, and that is no mistake
		{"*", "g home"},
		{"nowhere/*", "ERROR nowhere/: No such file or directory"},
		{"g/a.c/*", "ERROR g/a.c/: Not a directory"},
		{"( nowhere/* g/a.c/* )", "ERROR nowhere/: No such file or directory | g/a.c/: Not a directory"},
		{"nowhere/x", "nowhere/x"},
		// home directories
		{"~", "HOME/root"},
		{"~/dot{1,3}", "HOME/root/dot1 HOME/root/dot3"},
		{"~alice/*", "HOME/alice/al1"},
		{"~/nothing*", "HOME/root/nothing*"},
		{"~nobody/x", "ERROR nobody: unknown user name"},
		{"a~", "a~"},
		{`\~`, "HOME/root"}, // a backslash does nothing to a ~: ./~ is the file
		{"./~", "./~"},
	}
	env, dir := testEnv(t)
	for _, test := range tests {
		want := strings.ReplaceAll(test.want, "HOME", dir+"/home")
		if got := files(t, env, vars, test.words); got != want {
			t.Errorf("%s is %s, want %s", test.words, got, want)
		}
	}
}

// TestTildeKept: the names of an entry with -> keep their ~, which the other
// host expands again.
func TestTildeKept(t *testing.T) {
	env, _ := testEnv(t)
	entries := parse(t, env, "( ~ ~/dot* ~alice/al1 ~/nothing* ~/{b,*2} ) -> ( ~ )")
	got := strings.Join(entries[0].Files, " ")
	if want := "~ ~/dot1 ~/dot2 ~alice/al1 ~/nothing* ~/b ~/dot2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := must(env.Home("")); entries[0].Host != want {
		t.Errorf("the host is %s, want %s", entries[0].Host, want)
	}
}

// TestDefinedOutside: -d wins over the file, silently, and nothing in it is
// quoted.
func TestDefinedOutside(t *testing.T) {
	env, _ := testEnv(t)
	for _, arg := range []string{"A=/one", "B=( /b1\t /b2", "C", "D=", "P=g/*.h", "Q=()", `R=\*`, "S=(a)b", "T=a=b"} {
		if err := env.Define(arg); err != nil {
			t.Fatal(err)
		}
	}
	const words = "( $A $B x$C y$D $P z$Q $R $S $T )"
	if got, want := files(t, env, "A = /two\nA = /three\n", words), `/one /b1 /b2 x y g/c.h z \* a a=b`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var twice *Error
	if err := env.Define("A=/four"); !errors.As(err, &twice) || twice.Messages()[0] != "Error in distfile: line 1: A redefined" {
		t.Errorf("defined twice: %v", err)
	}
}

// TestBounds: each of these would take for ever, or all memory.
func TestBounds(t *testing.T) {
	env, dir := testEnv(t)
	for i := range 10 {
		if err := os.Symlink(".", filepath.Join(dir, fmt.Sprintf("loop%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	var chain, doubling, empty strings.Builder
	for i := range 200 {
		fmt.Fprintf(&chain, "V%d = ${V%d}\n", i, i+1)
		fmt.Fprintf(&doubling, "V%d = ( ${V%d} ${V%d} )\n", i, i+1, i+1)
		fmt.Fprintf(&empty, "V%d = ${V%d}${V%d}\n", i, i+1, i+1)
	}
	ten := strings.Repeat("x ", 10)
	tests := []struct{ name, definitions, words, want string }{
		{"braces", "", strings.Repeat("{a,b}", 600), "Too many names"},
		{"braces in braces", "", strings.Repeat("{a,", 800) + strings.Repeat("}", 800), ""},
		{"braces without end", "", strings.Repeat("{", MaxWord), "Missing '}'"},
		{"empty braces", "", "/" + strings.Repeat("{}", 1700), ""},
		{"each with each", "A = ( " + ten + ")\n", strings.Repeat("$A", 100), "Too many names"},
		{"each with each, long", "A = ( " + ten + ")\nB = " + strings.Repeat("y", 3400) + "\n", "$B$B$B$A", "Pathname too long"},
		{"long chain", chain.String() + "V200 = x\n", "${V0}", "variables nested too deeply"},
		{"chain", chain.String() + "V200 = x\n", "${V150}", ""},
		{"doubling", doubling.String() + "V200 = x\n", "${V110}", "Too many names"},
		{"doubling nothing", empty.String() + "V200 = ( )\n", "x${V110}", "Too many names"},
		{"long list", "", "( " + strings.Repeat("x ", MaxNames+1) + ")", "Too many names"},
		{"list", "", "( " + strings.Repeat("x ", MaxNames) + ")", ""},
		{"long operand", "", "( " + strings.Repeat("x ", MaxNames+1) + ") - y", "Too many names"},
		{"links in a circle", "", "*/*/*/*/*/*/*/*/*/*/nothing*", "Too many names"},
		{"a pipe is not waited for", "", "pip*/*", ""},
		{"word", "", strings.Repeat("x", MaxWord+1), "input line too long"},
		{"longest word", "", strings.Repeat("x", MaxWord), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := files(t, env, test.definitions, test.words)
			msg, failed := strings.CutPrefix(got, "ERROR ")
			first, _, _ := strings.Cut(msg, " | ")
			if failed != (test.want != "") || failed && first != test.want {
				t.Errorf("got %s, want %q", short(got), test.want)
			}
		})
	}
}

// TestCostOfFile: many harmless lists may not be too much together.
func TestCostOfFile(t *testing.T) {
	env, _ := testEnv(t)
	var text strings.Builder
	fmt.Fprintf(&text, "L = ( %s)\n", strings.Repeat("h{0,1,2,3,4,5,6,7,8,9} ", 200))
	for range 200000 {
		text.WriteString("x->$L\n")
	}
	source := strings.ReplaceAll(text.String(), "x->", "x -> ")
	_, err := Parse("df", strings.NewReader(source), env)
	if err == nil || !strings.Contains(err.Error(), "Too many names") {
		t.Errorf("got %v", err)
	}
	_, err = Parse("df", strings.NewReader(strings.Repeat("#", MaxSize+1)), env)
	if err == nil || !strings.Contains(err.Error(), "at most 4194304 octets") {
		t.Errorf("a large file: %v", err)
	}
}
