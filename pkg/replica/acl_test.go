package replica

import (
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/enctype"
)

func TestACL(t *testing.T) {
	const who = "host/a.test@R"
	for _, c := range []struct {
		text string
		ok   bool
		why  string
	}{
		{"host/a.test@R\n", true, ""},
		{"host/a.test@R", true, ""},
		{"host/a.test@R\r\n", true, ""},
		{"host/b.test@R\nhost/a.test@R\n", true, ""},
		{"host/a.test@R  \t\n", true, ""},
		{"host/a.test@R aes256-cts\n", true, ""},
		{"host/a.test@R AES256-SHA1 \n", true, ""},
		{"host/a.test@R # the primary\n", true, ""},
		{"host/a.test@R aes256-sha1 # the primary\n", true, ""},
		{"host/a.test@R aes128-cts\nhost/a.test@R\n", true, ""},
		{"", false, "no line"},
		{"# host/a.test@R\n", false, "no line"},
		{" host/a.test@R\n", false, "line 1 has blanks in front"},
		{"host/a.test@R2\n", false, "no line"},
		{"host/a.test@R#x\n", false, "no line"},
		{"host/a.test\n", false, "no line"},
		{"HOST/a.test@R\n", false, "no line"},
		{"host/*@R\n", false, "no line"},
		{"host/a.test@R aes128-cts\n", false, `line 1 asks for a ticket in "aes128-cts"`},
		{"host/a.test@R rot13\n", false, `"rot13", which is unknown`},
		{"host/a.test@R aes256-cts aes128-cts\n", false, "unknown"},
	} {
		acl, err := ParseACL([]byte(c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		ok, why := acl.Allows(who, enctype.AES256SHA1)
		if ok != c.ok || !strings.Contains(why, c.why) {
			t.Errorf("%q: %v, %q; want %v, %q", c.text, ok, why, c.ok, c.why)
		}
	}
	if acl, _ := ParseACL([]byte("#host/a.test@R\n")); acl != nil {
		if ok, _ := acl.Allows("#host/a.test@R", enctype.AES256SHA1); ok {
			t.Error("a comment allows the principal of that name")
		}
	}
	if acl, _ := ParseACL([]byte("\nx\n")); acl != nil {
		if ok, _ := acl.Allows("", 0); ok {
			t.Error("the empty principal is allowed by an empty line")
		}
	}
}

func TestACLBounds(t *testing.T) {
	for _, text := range []string{strings.Repeat("x\n", maxACL), strings.Repeat("x", maxACLLine+1)} {
		if _, err := ParseACL([]byte(text)); err == nil {
			t.Errorf("a list of %d bytes was taken", len(text))
		}
	}
}

func FuzzACL(f *testing.F) {
	f.Add([]byte("host/a@R aes256-cts # x\n"), "host/a@R")
	f.Add([]byte(" host/a@R\n\x00\n#"), "")
	f.Fuzz(func(t *testing.T, text []byte, who string) {
		acl, err := ParseACL(text)
		if err != nil {
			return
		}
		if ok, _ := acl.Allows(who, enctype.AES256SHA1); ok && !strings.Contains(string(text), who) {
			t.Fatalf("%q allows %q, which is not in it", text, who)
		}
	})
}
