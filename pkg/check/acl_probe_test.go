package check

import (
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/principal"
)

func TestParseAccess(t *testing.T) {
	const text = "# comment\n\nhost/a@R\nhost/b@R aes256-cts\nhost/c@R aes256-cts \r\n host/d@R\nhost/e@R\t# note\nhost/f@R des3 # note\n"
	want := []access{
		{3, "host/a@R", "host/a@R", "", false},
		{4, "host/b@R aes256-cts", "host/b@R", "aes256-cts", false},
		{5, "host/c@R aes256-cts \r", "host/c@R", "aes256-cts", true},
		{6, " host/d@R", "", "host/d@R", false},
		{7, "host/e@R\t# note", "host/e@R", "", false},
		{8, "host/f@R des3 # note", "host/f@R", "des3", false},
	}
	got := parseAccess(text)
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

func TestAlmost(t *testing.T) {
	wanted := principal.New("R.EXAMPLE", "host", "kdc1.example")
	for _, c := range []struct{ have, why string }{
		{"host/kdc1.example@R.EXAMPLE", ""},
		{"host/kdc2.example@R.EXAMPLE", ""},
		{"kdc1.example@R.EXAMPLE", ""},
		{"host/kdc1.example@r.example", "the realm is in other letters"},
		{"host/kdc1.example@OTHER", "the realm is another"},
		{"host/KDC1.example@R.EXAMPLE", "capital and small"},
		{"host/kdc1@R.EXAMPLE", "the short one, kdc1.example is wanted"},
		{"host/kdc1.example.com@R.EXAMPLE", "the long one"},
	} {
		have, err := principal.Parse(c.have, "")
		if err != nil {
			t.Fatal(err)
		}
		if why := almost(have, wanted); !strings.Contains(why, c.why) || (c.why == "") != (why == "") {
			t.Errorf("%s: %q, want %q", c.have, why, c.why)
		}
	}
}

// Whatever stands in an access list, it can be looked at and told about.
func FuzzAccess(f *testing.F) {
	for _, s := range []string{"host/a@R\n", " host/a@R", "\ufeffhost/a@R\r\n", "a\\\n@", "host/a@R aes256-cts \r", "\"host/a@R\"", "host/a\rhost/b@R\r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		h := &host{realm: "R"}
		wanted := []principal.Name{principal.New("R", "host", "a")}
		for _, a := range parseAccess(text) {
			_ = a.nearMiss(wanted, "R")
			_ = a.nearMiss(nil, "R")
			if len(h.entry(a, "/acl")) == 0 {
				t.Error("no finding")
			}
		}
	})
}
