package distfile

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// testEnv is an environment of its own: the homes of root and alice, and a
// working directory.
func testEnv(t testing.TB) (Env, string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"g/a.c", "g/b.c", "g/c.h", "g/.hidden.c", "g/sub1/x.c", "g/sub2/y.c", "g/sub2/y.h",
		"g/[odd]", "g/*", "home/root/dot1", "home/root/dot2", "home/alice/al1"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	home := func(user string) (string, error) {
		switch user {
		case "", "root":
			return dir + "/home/root", nil
		case "alice":
			return dir + "/home/alice", nil
		}
		return "", errors.New("nobody knows " + user)
	}
	return Env{Home: home, Getwd: func() (string, error) { return dir, nil }}, dir
}

func parse(t testing.TB, env Env, text string) []Entry {
	t.Helper()
	entries, err := Parse("df", strings.NewReader(text), env)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return entries
}

// outline writes what entries say, one line each.
func outline(entries []Entry) string {
	var b strings.Builder
	for _, e := range entries {
		arrow := "->"
		if e.Kind == DoubleColon {
			arrow = "::"
		}
		fmt.Fprintf(&b, "%s [%s] %q %s %s", e.Pos, e.Label, e.Files, arrow, e.Host)
		if e.IgnoreNFS {
			b.WriteString("+")
		}
		for _, c := range e.Commands {
			fmt.Fprintf(&b, " | %d:%d %s", c.Pos.Line, c.Pos.Column, c.Kind)
			if c.Kind == Install {
				fmt.Fprintf(&b, " %s %q", c.Options, c.Dest)
			}
			if c.Names != nil {
				fmt.Fprintf(&b, " %q", c.Names)
			}
			for _, p := range c.Patterns {
				fmt.Fprintf(&b, " /%s/", p)
			}
			if c.Kind == Special || c.Kind == CmdSpecial {
				fmt.Fprintf(&b, " %q", c.Text)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestParseEverything(t *testing.T) {
	env, _ := testEnv(t)
	const text = `# all there is
H = ( h1+ u@h2 )
V = /v
one: ( /a ~/dot* $V ) -> $H
	install -oremove,whole -y ~bob/$V ;
	install ;
	notify ( me you@there$V ) ;
	except ~/x{1,2} ;
	except_pat ( \\.o\$ ${V} ) ;
	special ( /a ~/dot1 ) "echo \"$V\"
 two" ;
	special ( ) "each" ;
	cmdspecial "end" ;
two: ~/dot1 :: st\*mp notify root ;
`
	got := strings.ReplaceAll(outline(parse(t, env, text)), must(env.Home("")), "HOME")
	const commands = ` | 5:2 install remove,whole,younger "~bob//v" | 6:2 install  "" | 7:2 notify ["me" "you@there/v"]` +
		` | 8:2 except ["HOME/x1" "HOME/x2"] | 9:2 except_pat /\.o$/ //v/ | 10:2 special ["/a" "HOME/dot1"] "echo \"$V\"  two"` +
		` | 12:2 special "each" | 13:2 cmdspecial "end"` + "\n"
	const want = `df:4:1 [one] ["/a" "~/dot1" "~/dot2" "/v"] -> h1+` + commands +
		`df:4:1 [one] ["/a" "~/dot1" "~/dot2" "/v"] -> u@h2` + commands +
		`df:14:1 [two] ["HOME/dot1"] :: st*mp | 14:23 notify ["root"]` + "\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func must(s string, err error) string {
	if err != nil {
		panic(err)
	}
	return s
}

// TestOrder: all of a host together, the + still being part of its name; a ::
// entry stands where it was met.
func TestOrder(t *testing.T) {
	env, _ := testEnv(t)
	entries := parse(t, env, "/1 -> ( a b )\n/2 :: a\n/3 -> ( c a a+ )\n/4 :: s\n/5 :: s\n/6 -> ( s b a+ )\n")
	var got []string
	for _, e := range entries {
		got = append(got, e.Host+e.Files[0])
	}
	const want = "a/1 a/3 b/1 b/6 a/2 c/3 a/3 a/6 s/4 s/5 s/6"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // "LINE MSG | DETAIL", of each mistake
	}{
		{"the place of the mistake, the line of the next token", "\n\n   ${NO} -> h\n\n\n/b -> h",
			[]string{`6 NO undefined | df:3:4: ${NO} is used here, but no line above gives NO a value`}},
		{"columns in octets", "/\u00e9\u00e9 h1",
			[]string{`1 syntax error | df:1:7: expected '=', ':', '->' or '::', found the name "h1"`}},
		{"a newline behind a backslash does not count for rdist", "/a\\\nb -> h ;",
			[]string{`1 syntax error | df:2:8: expected a command before the ';' (an entry without a command has no ';'), found ';'`}},
		{"several, and none that follow from another", "A = ( /a\n/x -> h install ;\n$A -> h install /d /e ;\n/b -> h\n\tinstall -Z ;\n",
			[]string{`2 syntax error | df:2:4: expected a name or the ')' of the list that begins in line 1, found '->'`,
				`3 syntax error | df:3:20: expected the ';' of install, found the name "/e"`,
				`5 Unknown option "-Z". | df:5:10: expected -oLIST or one of -b -h -i -N -O -q -r -R -s -v -w -x -y, found the option "-Z"`}},
		{"commands behind a bad one", "/a -> h install ( /d ;\n\tnotify root ;\n\texcept ;\n/b -> h ;\n",
			[]string{`1 syntax error | df:1:22: expected a name or the ')' of the list that begins in line 1, found ';'`,
				`3 syntax error | df:3:9: expected the list of except, a name or '(', found ';'`,
				`4 syntax error | df:4:9: expected a command before the ';' (an entry without a command has no ';'), found ';'`}},
		{"arrow without blanks", "/a->h\n\tinstall ;\n",
			[]string{`2 syntax error | df:2:2: expected '=', ':', '->' or '::', found the command install; write blanks around the -> in "/a->h"`}},
		{"-o alone", "/a -> h install -o remove /d ;",
			[]string{`1 syntax error | df:1:27: expected the ';' of install (-o and its list are one word, such as -oremove), found the name "/d"`}},
		{"CR LF", "/a -> h install ;\r\n/b -> h install ;\r\n",
			[]string{`2 syntax error | df:2:1: expected '=', ':', '->' or '::', found the name "/b"; the lines of this file end in CR LF: remove the CRs`,
				`3 syntax error | df:3:1: expected '=', ':', '->' or '::', found the end of the file; the lines of this file end in CR LF: remove the CRs`}},
		{"octet 0", "/a\x00 -> h", []string{`1 syntax error | df:1:1: expected text, found an octet 0: this is not a distfile`}},
		{"octet 0 in a string", "/a -> h special \"\x00\" ;", []string{`1 syntax error | df:1:17: expected text, found an octet 0: this is not a distfile`}},
		{"long string", "/a -> h special \"" + strings.Repeat("\n", MaxWord+1) + "\" ;",
			[]string{`3501 command string too long | df:1:17: a string has at most 3499 octets, this one has 3500: put the commands into a script and call that`}},
		{"of itself", "A = x$B\nB = ( y z$A )\n/$A -> h",
			[]string{`3 A is part of its own value | df:3:1: the value of A names A again`}},
		{"what can not be a host", "/a -> ( ok \\+ me@ -x\n me@-x a\\\nb ok )\n", []string{
			`3 Invalid host name "+" | df:1:12: expected [login@]host, found "+"`,
			`3 Invalid host name "me@" | df:1:15: expected [login@]host, found "me@"`,
			`3 Invalid host name "-x" | df:1:19: expected [login@]host, found "-x"`,
			`3 Invalid host name "me@-x" | df:2:2: expected [login@]host, found "me@-x"`,
			`3 Invalid host name "a\nb" | df:2:8: expected [login@]host, found "a\nb"`}},
		{"quoted dollar and no name", `/\$$ -> h`, []string{`1 no variable name after '$' | df:1:1: expected $c or ${name}; write \$ for a $`}},
		{"backslash at the end", "/a -> h\\", nil},
		{"range", "/a -> h except_pat [b-a] ;",
			[]string{`1 Invalid range end | df:1:20: in the regular expression "[b-a]", as it is behind the \ of the distfile (\\ for \, \$ for $)`}},
		{"two bad patterns", `/a -> h except_pat ( [b \\ ) ;`,
			[]string{`1 Unmatched [, [^, [:, [., or [= | df:1:22: in the regular expression "[b", as it is behind the \ of the distfile (\\ for \, \$ for $)`,
				`1 Trailing backslash | df:1:25: in the regular expression "\", as it is behind the \ of the distfile (\\ for \, \$ for $)`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env, _ := testEnv(t)
			_, err := Parse("df", strings.NewReader(test.text), env)
			var errs Errors
			errors.As(err, &errs)
			var got []string
			for _, e := range errs {
				got = append(got, fmt.Sprintf("%d %s | %s", e.Line, e.Msg, e.Detail()))
			}
			if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestMessages(t *testing.T) {
	env, _ := testEnv(t)
	_, err := Parse("df", strings.NewReader("/a -> h install -obogus ;"), env)
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 1 {
		t.Fatal(err)
	}
	const want = `Dist option "bogus" is not valid.` + "\n" + `Error in distfile: line 1: Bad distfile options "bogus".`
	if got := strings.Join(errs[0].Messages(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var one *Error
	if !errors.As(err, &one) || one.Pos.Column != 17 {
		t.Errorf("the first mistake is not to be had by errors.As: %v", one)
	}
}

// TestManyMistakes: they are told up to a number.
func TestManyMistakes(t *testing.T) {
	env, _ := testEnv(t)
	_, err := Parse("df", strings.NewReader(strings.Repeat("/a -> h ;\n", 100)), env)
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != maxErrors {
		t.Errorf("%d mistakes, want %d", len(errs), maxErrors)
	}
}

func TestReadError(t *testing.T) {
	cause := errors.New("disk on fire")
	_, err := Parse("df", iotest.ErrReader(cause), Env{})
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "read df: ") {
		t.Errorf("got %v", err)
	}
}

// TestProcessEnv: without an Env the homes are those of the machine and names
// begin in the working directory.
func TestProcessEnv(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("seen.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	got := outline(parse(t, Env{}, "( *.txt seen.{t}xt ) :: ~\n( ~ ~"+me.Username+"/x ) :: ~"))
	want := `df:1:1 [] ["seen.txt" "seen.txt"] :: ~` + "\n" +
		fmt.Sprintf("df:2:1 [] [%q %q] :: ~\n", me.HomeDir, me.HomeDir+"/x")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
