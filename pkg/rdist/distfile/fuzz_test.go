package distfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/option"
)

// FuzzParse: whatever is read, there is no panic, and what comes out keeps the
// limits and prints.
func FuzzParse(f *testing.F) {
	sources, err := filepath.Glob("../../../testdata/rdist/parser/*.distfile")
	if err != nil || len(sources) == 0 {
		f.Fatalf("no distfiles to begin with: %v", err)
	}
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	empty := f.TempDir()
	env := Env{
		Home:  func(user string) (string, error) { return empty + "/" + user, nil },
		Getwd: func() (string, error) { return empty, nil },
		Vars:  map[string][]string{"A": {"a", "b{c,d}*"}},
	}
	f.Fuzz(func(t *testing.T, text string) {
		// Absolute patterns would walk through this machine.
		text = strings.ReplaceAll(text, "/", "//x/")
		p := newParser("df", []byte(text), env)
		p.expand.budget = costAll / 64
		p.file()
		for _, e := range p.errs {
			if e.Msg == "" || e.Line < 1 || e.Pos.Line < 1 || e.Pos.Column < 1 && e.Pos.File == "df" {
				t.Errorf("an odd mistake: %+v", e)
			}
		}
		if len(p.errs) > 0 {
			return
		}
		entries := p.list.entries()
		for _, e := range entries {
			if len(e.Files) > MaxNames {
				t.Errorf("%d files", len(e.Files))
			}
			for _, name := range e.Files {
				if name == "" || len(name) > MaxPath || strings.ContainsRune(name, 0) {
					t.Errorf("an odd name: %q", name)
				}
			}
		}
		var faults Faults
		if err := Print(io.Discard, entries, option.Whole); err != nil && !errors.As(err, &faults) {
			t.Error(err)
		}
	})
}

// slowMatch is matchName without its cleverness.
func slowMatch(name string, pattern []octet) bool {
	if len(pattern) == 0 {
		return name == ""
	}
	if pattern[0] == '*' {
		for i := range len(name) + 1 {
			if slowMatch(name[i:], pattern[1:]) {
				return true
			}
		}
		return false
	}
	if name == "" {
		return false
	}
	size, ok := matchOctet(name[0], pattern)
	return ok && slowMatch(name[1:], pattern[size:])
}

func FuzzMatchName(f *testing.F) {
	f.Add("a.c", "*.[a-c]")
	f.Add("[odd]", `\[*\]`)
	f.Add(".hidden", "?hidden")
	f.Fuzz(func(t *testing.T, name, pattern string) {
		if len(name) > 12 || len(pattern) > 12 {
			return
		}
		var text []octet
		for i := 0; i < len(pattern); i++ {
			o := octet(pattern[i])
			if o == '\\' && i+1 < len(pattern) {
				i++
				o = octet(pattern[i]) | quoted
			}
			text = append(text, o)
		}
		want := slowMatch(name, text)
		if strings.HasPrefix(name, ".") && (len(text) == 0 || byte(text[0]) != '.') {
			want = false
		}
		if got := matchName(name, text); got != want {
			t.Errorf("%q and %q: %v, want %v", name, pattern, got, want)
		}
	})
}

// FuzzPattern: the two matchers agree.
func FuzzPattern(f *testing.F) {
	f.Add(`^a*\(b[^c]\)*.$`, "aabxb\xff")
	f.Add(`\(a\)\1`, "aa")
	f.Add(`[]\-a]*\(^x\|$\)`, "x")
	f.Fuzz(func(t *testing.T, text, s string) {
		if len(text) > 100 || len(s) > 100 {
			return
		}
		p, err := CompilePattern(text)
		if err != nil || p.back != nil {
			return
		}
		r := expressionReader{text: text}
		e, err := r.read()
		if err != nil {
			t.Fatal(err)
		}
		want, ok := newBacktracker(e).match(s)
		if got, err := p.Match(s); ok && (err != nil || got != want) {
			t.Errorf("%q and %q: %v %v, want %v", text, s, got, err, want)
		}
	})
}
