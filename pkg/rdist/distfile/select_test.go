package distfile

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/option"
)

func TestSelect(t *testing.T) {
	const text = `
one: ( /a /b /c ) -> ( h1 u@h2 )
two: ( /b /d /two ) -> h1
( /b /c /c /e ) -> h3
/b: /f -> h1
( /a /e ) :: stamp
`
	// The entries in their order: one/h1 two/h1 /b/h1 one/u@h2 -/h3 -/stamp
	tests := []struct{ names, hosts, want string }{
		{"", "", "one/h1 two/h1 /b/h1 one/u@h2 -/h3 -/stamp"},
		{"one", "", "one/h1 one/u@h2"},
		{"one two", "", "one/h1 two/h1 one/u@h2"},
		{"/a", "", "one/h1:/a one/u@h2:/a -/stamp:/a"},
		{"/e /c /nothing", "", `ERROR Label "/nothing" is not defined in the distfile.`},
		{"/c /e /c", "", "one/h1:/c one/u@h2:/c -/h3:/c,/c,/e -/stamp:/e"},
		{"/b", "", "/b/h1"}, // a label as well as a file: the label
		{"/two", "", "two/h1:/two"},
		{"/c one", "", "one/h1 one/u@h2 -/h3:/c,/c"},
		{"two /c", "", "one/h1:/c two/h1 one/u@h2:/c -/h3:/c,/c"},
		{"three", "", `ERROR Label "three" is not defined in the distfile.`},
		{"(null)", "", `ERROR Label "(null)" is not defined in the distfile.`},
		{"", "h2", "one/u@h2"},
		{"", "h1 h1", "one/h1 two/h1 /b/h1"},
		{"", "u@h2 h3", "one/u@h2 -/h3"},
		{"", "@h2", ""},
		{"", "nowhere", ""},
		{"", "stamp", "-/stamp"},
		{"/a", "h2 stamp", "one/u@h2:/a -/stamp:/a"},
		{"two", "h2", ""},
	}
	env, _ := testEnv(t)
	entries := parse(t, env, text)
	for _, test := range tests {
		taken, err := Select(entries, strings.Fields(test.names), strings.Fields(test.hosts))
		var got []string
		for _, e := range taken {
			label := e.Label
			if label == "" {
				label = "-"
			}
			s := label + "/" + e.Host
			if e.Only != nil {
				s += ":" + strings.Join(e.Only, ",")
			}
			got = append(got, s)
		}
		if err != nil {
			got = []string{"ERROR", err.Error()}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("names %q, hosts %q: %s, want %s", test.names, test.hosts, strings.Join(got, " "), test.want)
		}
	}
}

func TestSelectTellsMore(t *testing.T) {
	_, err := Select(nil, []string{"x"}, nil)
	var name *NameError
	if !errors.As(err, &name) || !strings.Contains(name.Detail(), `"x" is neither a label nor a file`) {
		t.Errorf("got %v", err)
	}
}

func TestSmall(t *testing.T) {
	env, _ := testEnv(t)
	if err := env.Define("V=/v"); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, args := range [][]string{
		{"$V", "g/*.c", "~/x", "u@h{1,2}+:/d:$V"},
		{`a\ b`, "h1:"},
		{"install", "h1"},
	} {
		entries, err := Small(args, option.Remove, env)
		if err != nil {
			t.Fatal(err)
		}
		got += outline(entries)
	}
	const want = `-c [] ["/v" "g/a.c" "g/b.c" "~/x"] -> u@h1 | 0:0 install remove "/d:$V"
-c [] ["/v" "g/a.c" "g/b.c" "~/x"] -> u@h2+ | 0:0 install remove "/d:$V"
-c [] ["a\\ b"] -> h1
-c [] ["install"] -> h1
`
	// The + of the last is not part of h1: only what stands behind the braces.
	if want := strings.ReplaceAll(want, "u@h1 |", "u@h1+ |"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, err := Small([]string{"$N", "-x"}, 0, env)
	const mistakes = `argument "$N": N undefined: ${N} is used here, but no line above gives N a value; a longer name needs braces, ${NAME}` +
		"\n" + `argument "-x": Invalid host name "-x": expected [login@]host, found "-x"`
	if err == nil || err.Error() != mistakes {
		t.Errorf("got\n%v\nwant\n%s", err, mistakes)
	}
	for _, args := range [][]string{nil, {"h1"}, {"a\x00", "h1"}} {
		if _, err := Small(args, 0, env); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func TestPrintFaults(t *testing.T) {
	env, dir := testEnv(t)
	stamp := dir + "/g/a.c"
	entries := parse(t, env, "( ) -> h1\nlab: ( ) -> u@h2+\n/a\\\nb -> h3 install -owhole,remove ; install /d ;\n"+
		"none: ( ) :: x\n/a :: "+dir+"/none\n( /b "+strings.Repeat("a", 2000)+" /c ) :: "+stamp+
		` except /c ; except_pat \\\(a*\\\)*\\\(a*\\\)*\\\(a*\\\)*b\\1 ;`)
	var out strings.Builder
	err := Print(&out, entries, option.Quiet)
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	got := ""
	for _, f := range faults {
		line, _, _ := strings.Cut(f.Msg, "aaaaa")
		got += f.Pos.String() + " " + line
		if f.Refused {
			got += " (refused)"
		}
		got += "\n"
	}
	want := `df:1:1 No files to be updated on h1 for target "(null)"
df:2:1 No files to be updated on u@h2 for target "lab"
df:3:1 Refuse to handle filename containing newline: /a?b (refused)
df:3:1 Refuse to handle filename containing newline: /a?b (refused)
df:5:1 No files to be updated for target "none"
df:6:1 ` + dir + `/none: stat failed: No such file or directory
df:7:1 ` + "\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(faults[6].Msg, "takes too long") {
		t.Errorf("the last is %s", faults[6].Msg)
	}
	if out.String() != "updating host h3\ncomparing dates: /b\n" {
		t.Errorf("printed\n%s", out.String())
	}
	if err := Print(failing{}, entries, 0); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a closed pipe: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
