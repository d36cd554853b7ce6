package option

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// The numbers are those that a recorded rdist sent.
func TestWire(t *testing.T) {
	want := map[string]string{
		"chknfs": "1000", "chkreadonly": "2000", "chksym": "400000", "compare": "10", "follow": "40", "ignlnks": "100",
		"nochkgroup": "200000", "nochkmode": "100000", "nochkowner": "40000", "nodescend": "20000", "noexec": "4000",
		"numchkgroup": "1000000", "numchkowner": "2000000", "quiet": "400", "remove": "20", "savetargets": "10000",
		"sparse": "4000000", "verify": "1", "whole": "2", "younger": "4",
	}
	var all Set
	for name, octal := range want {
		got, err := Parse(name, 0)
		if err != nil || fmt.Sprintf("%o", got) != octal || got.String() != name {
			t.Errorf("%s is %o (%v, printed %q), want %s", name, got, err, got, octal)
		}
		all |= got
	}
	if all != All || len(table) != len(want) {
		t.Errorf("All is %o, the options together are %o; %d in the table, %d here", All, all, len(table), len(want))
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		list string
		base Set
		want string
		bad  string // the name that is refused
	}{
		{"", 0, "", ""},
		{"", Whole, "whole", ""},
		{"younger,whole,remove", 0, "remove,whole,younger", ""},
		{"remove", Whole, "remove,whole", ""},
		{"WHOLE,Younger", 0, "whole,younger", ""},
		{",,whole,,", 0, "whole", ""},
		{"remove,noremove,nochkmode,NOWHOLE", 0, "nochkmode", ""},
		{"nowhole", Whole | Remove, "remove", ""},
		{"nowhole,whole", 0, "whole", ""},
		{"nodescend", 0, "nodescend", ""},
		{"nodescend,nonodescend", 0, "", ""},
		{"nonochkowner", NoChkOwner | NoChkGroup, "nochkgroup", ""},
		{"nochknfs", ChkNFS, "", ""}, // not to be taken for one of the nochk options
		{"bogus", 0, "", "bogus"},
		{"whole,nobogus,quiet", 0, "", "nobogus"},
		{"no", 0, "", "no"},
		{"n", 0, "", "n"},
		{"whole ", 0, "", "whole "},
		{"nonowhole", Whole, "", "nonowhole"},
	}
	for _, test := range tests {
		got, err := Parse(test.list, test.base)
		var bad *Error
		switch {
		case test.bad != "":
			if !errors.As(err, &bad) || bad.Name != test.bad || err.Error() != `Dist option "`+test.bad+`" is not valid.` {
				t.Errorf("Parse(%q): %v, want a complaint about %q", test.list, err, test.bad)
			}
		case err != nil || got.String() != test.want:
			t.Errorf("Parse(%q, %s) = %s (%v), want %s", test.list, test.base, got, err, test.want)
		}
	}
}

func TestStringOrder(t *testing.T) {
	const want = "chknfs,chkreadonly,chksym,compare,follow,ignlnks,nochkgroup,nochkmode,nochkowner,nodescend,noexec," +
		"numchkgroup,numchkowner,quiet,remove,savetargets,sparse,verify,whole,younger"
	if got := All.String(); got != want {
		t.Errorf("All is printed\n%s, want\n%s", got, want)
	}
	if got := Set(0x80 | 1<<31).String(); got != "" {
		t.Errorf("unknown bits are printed %q", got)
	}
}

func TestLegacy(t *testing.T) {
	want := map[byte]string{
		'b': "compare", 'R': "remove", 'v': "verify", 'w': "whole", 'y': "younger", 'h': "follow", 'i': "ignlnks",
		'q': "quiet", 'x': "noexec", 'N': "chknfs", 'O': "chkreadonly", 's': "savetargets", 'r': "nodescend",
	}
	for c := range 256 {
		got, ok := Legacy(byte(c))
		if name := want[byte(c)]; ok != (name != "") || got.String() != name {
			t.Errorf("-%c is %q (%v), want %q", c, got, ok, name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("whole,nowhole", uint32(3))
	f.Add("NoDescend,,x", uint32(0))
	f.Fuzz(func(t *testing.T, list string, base uint32) {
		got, err := Parse(list, Set(base))
		if err != nil {
			return
		}
		// A printed set reads back as itself.
		again, err := Parse(got.String(), 0)
		if err != nil || again != got&All {
			t.Errorf("%q is %o, printed and read again %o (%v)", strings.ToValidUTF8(list, "?"), got, again, err)
		}
	})
}
