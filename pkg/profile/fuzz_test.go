package profile

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// maxFuzz bounds the inputs of the fuzz targets, in bytes.
const maxFuzz = 1 << 14

func FuzzParse(f *testing.F) {
	f.Add("[a]\nx = 1\ny = \"\\n\\\"\" z\ns* = {\n t =\n{\n}*\n}\n[a]*\n")
	f.Add("# c\r\n[libdefaults]\r\n default_realm = R\r\n[realms]\r\nR = {\r\n kdc = a:88\r\n}\r\n")
	f.Add("[a]\nmodule = 1\ninclude\n}\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		// Includes would read this machine's files.
		if len(text) > maxFuzz || strings.Contains(text, "include") {
			return
		}
		root := newSection()
		l := &loader{root: root, open: func(string) (*os.File, error) { return nil, os.ErrNotExist }}
		if err := l.parse("fuzz", []byte(text)); err != nil {
			if e, ok := err.(*SyntaxError); !ok || e.Line < 1 || e.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		p := newProfile(testOptions())
		p.files = []*file{{root: root}}
		checkTree(t, p)
	})
}

// checkTree looks that all that is listed is also found.
func checkTree(t *testing.T, p *Profile, path ...string) {
	for _, name := range p.Names(path...) {
		values := p.Values(append(slices.Clone(path), name)...)
		if len(values) == 0 || strings.Contains(values[0], "\x00") {
			t.Fatalf("%q %q: values %q", path, name, values)
		}
	}
	for _, name := range p.Subsections(path...) {
		checkTree(t, p, append(slices.Clone(path), name)...)
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"300", "1h30m", "10h 0m 0s", "7-12:30:00", "-5", "12:30", "1d2h3m4s", "5x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > maxFuzz {
			return
		}
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if n := d / time.Second; d%time.Second != 0 || n > math.MaxInt32 || n < math.MinInt32 {
			t.Fatalf("ParseDuration(%q) = %v", s, d)
		}
	})
}

func FuzzParseEnctypes(f *testing.F) {
	f.Add("DEFAULT -rc4 +camellia", false)
	f.Add("aes256-cts,des3 bogus\t- + --aes", true)
	f.Fuzz(func(t *testing.T, s string, weak bool) {
		if len(s) > maxFuzz {
			return
		}
		list := ParseEnctypes(s, weak)
		for i, id := range list {
			if slices.Contains(list[:i], id) || strings.HasPrefix(EnctypeName(id), "etype") || !weak && (id == 6 || id == 24) {
				t.Fatalf("ParseEnctypes(%q, %v) = %v", s, weak, list)
			}
		}
	})
}

func FuzzParseKDC(f *testing.F) {
	for _, s := range []string{"a", "a:88", "[::1]:88", "::1", "tcp/a:1", "https://a/b", "[a", "a: 5", "88"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > maxFuzz {
			return
		}
		k, err := ParseKDC(s)
		if err == nil && (k.Host == "" || k.Port < 1 || k.Port > 65535) {
			t.Fatalf("ParseKDC(%q) = %+v", s, k)
		}
	})
}

func FuzzExpandTokens(f *testing.F) {
	f.Add("/a/%{uid}/%{TEMP}%{null}%")
	f.Add("%{x}%{")
	p := newProfile(testOptions())
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > maxFuzz {
			return
		}
		if out, err := p.expandTokens(s); err == nil && !strings.Contains(s, "%{") && out != s {
			t.Fatalf("expandTokens(%q) = %q", s, out)
		}
	})
}
