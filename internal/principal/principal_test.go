package principal

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in, out string
	}{
		{"alice@R", "alice@R"},
		{"bob", "bob@DEFAULT"},
		{`\a\lice@R`, "alice@R"},
		{"a//b@R", "a//b@R"},
		{"@R", "@R"},
		{"", "@DEFAULT"},
		{`sl\/ash@R`, `sl\/ash@R`},
		{`at\@sign@R`, `at\@sign@R`},
		{`tab\tname@R`, `tab\tname@R`},
		{"tab\tname@R", `tab\tname@R`},
		{`nul\0@R`, `nul\0@R`},
		{"host/x.example@", "host/x.example@"},
		{`u@A\/B`, `u@A\/B`},
		{"zoë/ünïcode@R", "zoë/ünïcode@R"},
	} {
		n, err := Parse(c.in, "DEFAULT")
		if err != nil {
			t.Errorf("Parse(%q): %v", c.in, err)
			continue
		}
		if got := n.String(); got != c.out {
			t.Errorf("Parse(%q) = %q, want %q", c.in, got, c.out)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{`a\`, `a@R@S`, `a@R/S`, `a@R\`, strings.Repeat("x", MaxLen+1)} {
		if n, err := Parse(in, "R"); !errors.Is(err, ErrSyntax) {
			t.Errorf("Parse(%.20q) = %v, %v; want ErrSyntax", in, n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`a/b\/c@R`)
	f.Add(`\t\n\b\0@\\`)
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s, "DEFAULT")
		if err != nil {
			return
		}
		again, err := Parse(n.String(), "OTHER")
		if err != nil || !again.Equal(n) {
			t.Fatalf("Parse(%q) = %#v, but its text %q gives %#v, %v", s, n, n.String(), again, err)
		}
	})
}
