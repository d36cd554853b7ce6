package profile

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// recorded is what the real libkrb5 1.20.1 answered; testdata/record.py wrote
// it.
type recorded struct {
	Profiles []struct {
		Files   map[string]string
		List    []string
		Refused bool
		Tree    [][]any
	}
	Durations map[string]*int64
	Permitted map[string][]int32
	Tkt       map[string][]int32
	KDCs      map[string][]string
}

func loadRecorded(t *testing.T) recorded {
	t.Helper()
	data, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// latin1 turns code points into the bytes that they stand for.
func latin1(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

// tree lists a profile in the form of record.py.
func tree(p *Profile, path ...string) [][]any {
	var lines [][]any
	line := func(name string) []any {
		var l []any
		for _, s := range append(slices.Clone(path), name) {
			l = append(l, s)
		}
		return l
	}
	for _, name := range p.Names(path...) {
		var values []any
		for _, v := range p.Values(append(slices.Clone(path), name)...) {
			values = append(values, v)
		}
		lines = append(lines, append(line(name), values))
	}
	for _, name := range p.Subsections(path...) {
		lines = append(lines, line(name))
		lines = append(lines, tree(p, append(slices.Clone(path), name)...)...)
	}
	return lines
}

func rawTree(lines [][]any) [][]any {
	for _, l := range lines {
		for i := range l {
			switch v := l[i].(type) {
			case string:
				l[i] = latin1(v)
			case []any:
				for j := range v {
					v[j] = latin1(v[j].(string))
				}
			}
		}
	}
	return lines
}

// writeFiles writes files below dir; @DIR@ in them stands for dir.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "@DIR@", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// loadList loads a list of files, the way it comes from KRB5_CONFIG.
func loadList(names ...string) (*Profile, error) {
	return Load(Options{Env: env("KRB5_CONFIG", strings.Join(names, ":")), Resolver: fakeDNS{}})
}

func TestParseLikeMIT(t *testing.T) {
	for i, c := range loadRecorded(t).Profiles {
		dir := t.TempDir()
		if len(c.List) == 0 {
			c.List = []string{"a"}
		}
		for name, text := range c.Files {
			c.Files[name] = latin1(text)
		}
		writeFiles(t, dir, c.Files)
		var list []string
		for _, name := range c.List {
			list = append(list, filepath.Join(dir, name))
		}
		// MIT's krb5_init_context makes an empty profile of no file at all.
		nothing := slices.Equal(c.List, []string{"missing"})
		p, err := loadList(list...)
		switch {
		case (err != nil) != (c.Refused && !nothing):
			t.Errorf("case %d, %q: error %v, MIT refuses: %v", i, c.Files, err, c.Refused)
		case err != nil:
			if syntax := new(SyntaxError); !errors.As(err, &syntax) {
				t.Errorf("case %d, %q: %v is no SyntaxError", i, c.Files, err)
			}
		default:
			if d := cmp.Diff(rawTree(c.Tree), tree(p), cmpopts.EquateEmpty()); d != "" {
				t.Errorf("case %d, %q, MIT -, this +:\n%s", i, c.Files, d)
			}
		}
	}
}

func TestDurationsLikeMIT(t *testing.T) {
	for text, want := range loadRecorded(t).Durations {
		got, err := ParseDuration(text)
		switch {
		case (err != nil) != (want == nil):
			t.Errorf("ParseDuration(%q) = %v, %v; MIT says %v", text, got, err, want)
		case err == nil && got != time.Duration(*want)*time.Second:
			t.Errorf("ParseDuration(%q) = %v; MIT says %d s", text, got, *want)
		}
	}
}

func TestEnctypesLikeMIT(t *testing.T) {
	r := loadRecorded(t)
	for text, want := range r.Permitted {
		p, err := Parse("krb5.conf", "[libdefaults]\n"+text, Options{})
		if err != nil {
			if want != nil || r.Tkt[text] != nil {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		got, err := p.PermittedEnctypes()
		if !slices.Equal(got, want) || errors.Is(err, ErrNoEnctypes) != (want == nil) {
			t.Errorf("%q: permitted %v, %v; MIT says %v", text, got, err, want)
		}
		want = r.Tkt[text]
		if got, err = p.TktEnctypes(); !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("%q: tkt %v, %v; MIT says %v", text, got, err, want)
		}
	}
}

func TestKDCsLikeMIT(t *testing.T) {
	for text, want := range loadRecorded(t).KDCs {
		p := mustParse(t, "[libdefaults]\ndns_lookup_kdc = no\n[realms]\nR = {\n"+text+"\n}\n")
		list, err := p.KDCs(context.Background(), "R")
		var got []string
		for _, k := range list {
			got = append(got, k.Addr())
		}
		if !slices.Equal(got, want) || (err != nil) != (len(want) == 0) {
			t.Errorf("%q: %v, %v; MIT says %v", text, got, err, want)
		}
	}
}

func mustParse(t *testing.T, text string) *Profile {
	t.Helper()
	p, err := Parse("krb5.conf", text, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
