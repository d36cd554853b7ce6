package wire

import (
	"strings"
	"testing"
)

// FuzzParseListed: what is taken is the name of an entry, and nothing of the
// line is lost.
func FuzzParseListed(f *testing.F) {
	f.Add(true, ListedText(Existing{Known: true, Size: 1, MTime: -2, Mode: 0o644, Owner: "a", Group: ":7"}, "a name"))
	f.Add(true, "1 2 3 4 5 ..")
	f.Add(true, "     x")
	f.Add(false, "a b")
	f.Add(false, "a/b")
	f.Fuzz(func(t *testing.T, isThere bool, text string) {
		op, want := byte(OpQuery), ""
		if isThere {
			op = OpYes
		}
		answer, name, err := ParseListed(op, text)
		if err != nil {
			return
		}
		if want = name; isThere {
			want = answer + " " + name
		}
		if want != text || strings.Count(answer, " ") != 4*strings.Count(want[:len(want)-len(name)], " ")/5 {
			t.Errorf("%q: %q and %q", text, answer, name)
		}
		if strings.ContainsAny(name, "/\x00\n") || name == "" || name == "." || name == ".." {
			t.Errorf("%q is taken for a name", name)
		}
		if e, err := ParseExisting(answer); err == nil && isThere && e.Known && ListedText(e, name) != text {
			if again, err := ParseExisting(e.String()); err != nil || again != e { // numbers may have had zeros in front
				t.Errorf("%q: %+v, then %+v", text, e, again)
			}
		}
	})
}
